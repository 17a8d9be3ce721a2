"""`python -m trainer import`, and `export` to NVIDIA's layout: convert a file, and report what became of its symbols.

`trainer.export.command` checks what is exported to where.
"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from trainer import checkpoint_files, voice_format
from trainer.config import AudioConfig, TrainerConfig
from trainer.embeddings import spelled
from trainer.errors import VoiceError
from trainer.nvidia.checkpoint import export_voice, hparams, import_voice
from trainer.nvidia.symbols import read_table


def import_file(source: Path, target: Path, table: Path | None) -> str:
    """Convert NVIDIA's checkpoint into a voice; table: a file of its symbols. Returns the report.

    Raises UserError where `target` exists, or `source` or `table` cannot be used; then nothing is written.
    """
    _refuse_overwriting(target)
    imported = import_voice(voice_format.read(source), read_table(table) if table else None, source)
    try:
        voice_format.save(target, imported.voice)
    except (OSError, RuntimeError) as error:  # torch's error for a file that cannot be opened is a RuntimeError
        raise VoiceError(f"{target}: cannot be written ({error}).") from error
    n_mels, symbols = imported.voice.config.audio.n_mels, imported.symbols
    trained = "" if imported.iteration is None else f", {imported.iteration} iterations"
    lines = [
        f"{source}: {size(imported.voice)}{trained}",
        _listed("symbols kept", symbols.taken),
        _listed("new symbols, not trained yet", symbols.new),
        _listed("left out, since no text contains them after normalisation", symbols.left_out),
        f"{target}: written. To train it further, set `preset: voice` and `warm_start: {target}`"
        + (f", and also `audio.n_mels: {n_mels}`." if n_mels != AudioConfig().n_mels else "."),
    ]
    return "\n".join(lines)


def export_file(given: voice_format.Voice, source: Path, target: Path) -> str:
    """Write a voice, read from `source`, as NVIDIA's checkpoint. Returns the report.

    Raises VoiceError where NVIDIA's code cannot represent it, and OSError where `target` cannot be written.
    """
    content, symbols = export_voice(given, source)
    checkpoint_files.save(target, content)
    lines = [
        f"{source}: {size(given)}",
        _listed("symbols kept", symbols.taken),
        "capital letters get the rows of the small ones",
        _listed("rows of zeros, do not use them", symbols.new),
        _listed("left out, since NVIDIA's table lacks them", symbols.left_out),
        *_cautions(given.config),
        f"{target}: written; its optimiser is new.",
    ]
    return "\n".join(lines)


def _cautions(config: TrainerConfig) -> Iterable[str]:
    """What to know before using the export with NVIDIA's code."""
    changed = hparams(config)
    yield f"hparams: {','.join(f'{name}={value}' for name, value in changed.items()) or 'the defaults'}"
    if config.model.reduction > 1:
        yield f"with n_frames_per_step={config.model.reduction} NVIDIA's code can speak, but not train"
    fixed = {"encoder_dropout", "prenet_dropout", "postnet_dropout"}
    for name, value in asdict(config.model).items():
        if name in fixed and value != 0.5:
            yield f"`model.{name}` was {value:g}; in NVIDIA's code it is always 0.5"


def _refuse_overwriting(target: Path) -> None:
    if target.exists():
        raise VoiceError(f"{target}: exists and is not overwritten; remove it, or give another name to --to.")


def size(given: voice_format.Voice) -> str:
    """In words."""
    parameters = sum(tensor.numel() for tensor in given.weights.values() if tensor.is_floating_point())
    model, audio = given.config.model, given.config.audio
    return f"{parameters / 1e6:.1f} million parameters, {audio.n_mels} mel bins, reduction factor {model.reduction}"


def _listed(what: str, symbols: tuple[str, ...]) -> str:
    return f"{what} ({len(symbols)}): {spelled(symbols)}"
