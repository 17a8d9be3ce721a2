"""`python -m trainer import` and `export`: files in, files out, and what a person is told about it."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from trainer import checkpoint, voice
from trainer.config import TrainerConfig, flatten, shapes_model
from trainer.errors import VoiceError
from trainer.nvidia.checkpoint import export_voice, hparams, import_voice
from trainer.nvidia.symbols import Mapped, read_table


def import_file(source: Path, target: Path, table: Path | None) -> str:
    """Make a voice of NVIDIA's checkpoint; table: a file of its symbols. Returns what to say.

    Raises UserError where `target` is there already, or `source` or `table` cannot be used; nothing is written then.
    """
    _refuse_overwriting(target)
    imported = import_voice(voice.read(source), read_table(table) if table else None, source)
    try:
        voice.save(target, imported.voice)
    except (OSError, RuntimeError) as error:  # torch has the second for a file that cannot be opened
        raise VoiceError(f"{target}: cannot be written ({error}).") from error
    config, symbols = imported.voice.config, imported.symbols
    trained = "" if imported.iteration is None else f", {imported.iteration} iterations"
    settings = _settings(config)
    lines = [
        f"{source}: {_size(imported.voice)}{trained}",
        _listed("symbols taken over", symbols.taken),
        _listed("new symbols, not trained yet", symbols.new),
        _listed("left out, since no text becomes them here", symbols.left_out),
        f"{target}: written. To train it on, set `warm_start: {target}`"
        + (f", and also {settings}." if settings else "; `preset: full` has its shapes."),
    ]
    return "\n".join(lines)


def export_file(source: Path, target: Path) -> str:
    """Make NVIDIA's checkpoint of a voice. Returns what to say.

    Raises UserError where `target` is there already, or `source` is no voice that NVIDIA's code can hold; nothing is
    written then.
    """
    _refuse_overwriting(target)
    known = voice.load(source)
    content, symbols = export_voice(known, source)
    try:
        checkpoint.save(target, content)
    except (OSError, RuntimeError) as error:
        raise VoiceError(f"{target}: cannot be written ({error}).") from error
    lines = [
        f"{source}: {_size(known)}",
        _listed("symbols handed over", symbols.taken),
        "capital letters have the rows of the small ones",
        _listed("rows of zeros, not to be used", symbols.new),
        _listed("left out, since their table has no place for them", symbols.left_out),
        *_cautions(known.config, symbols),
        f"{target}: written; its optimiser is a fresh one.",
    ]
    return "\n".join(lines)


def _cautions(config: TrainerConfig, symbols: Mapped) -> Iterable[str]:
    """What is to be known before NVIDIA's code is used with the export."""
    changed = hparams(config)
    yield f"hparams: {','.join(f'{name}={value}' for name, value in changed.items()) or 'the defaults'}"
    if config.model.reduction > 1:
        yield f"with n_frames_per_step={config.model.reduction} their code can speak, but not train"
    fixed = {"encoder_dropout", "prenet_dropout", "postnet_dropout"}
    for name, value in asdict(config.model).items():
        if name in fixed and value != 0.5:
            yield f"`model.{name}` was {value:g}; in their code it is always 0.5"


def _refuse_overwriting(target: Path) -> None:
    if target.exists():
        raise VoiceError(f"{target}: is there already and is not overwritten; remove it, or give another name to --to.")


def _size(known: voice.Voice) -> str:
    parameters = sum(tensor.numel() for tensor in known.weights.values() if tensor.is_floating_point())
    model, audio = known.config.model, known.config.audio
    return f"{parameters / 1e6:.1f} million numbers, {audio.n_mels} mel bins, reduction factor {model.reduction}"


def _settings(config: TrainerConfig) -> str:
    """What must be set beside `preset: full` for a model of the same shapes."""
    ours, defaults = flatten(asdict(config)), flatten(asdict(TrainerConfig()))
    return ", ".join(f"`{key}: {ours[key]}`" for key in ours if shapes_model(key) and ours[key] != defaults[key])


def _listed(what: str, symbols: tuple[str, ...]) -> str:
    return f"{what} ({len(symbols)}): {' '.join(map(_shown, symbols)) or 'none'}"


def _shown(symbol: str) -> str:
    return repr(symbol) if symbol.isspace() else symbol
