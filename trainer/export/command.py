"""`python -m trainer export`: writes a voice as a file for other machines and programs."""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import VoiceError
from trainer.export.formats import FORMATS, NVIDIA, ONNX, SAFETENSORS, format_for
from trainer.files import nearest_above, write_atomically
from trainer.protocol import ExitCode
from trainer.vocoder.names import GRIFFIN_LIM, HIFIGAN

if TYPE_CHECKING:
    from trainer.voice_format import Voice


def add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "export",
        help="write a voice as a file for other machines and programs",
        description="Write a voice as one file: safetensors, which this program reads, too; ONNX; or a checkpoint "
        "that the code of NVIDIA/tacotron2 loads. The way back from NVIDIA's layout is `python -m trainer import`.",
    )
    parser.add_argument("source", type=Path, metavar="VOICE.pt", help="a best.pt, voice.pt or .safetensors")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="where to write it")
    parser.add_argument("--format", choices=FORMATS, help="needed where the name of --to does not say it")
    parser.add_argument(
        "--licence", metavar="TEXT", help="of the recordings, such as 'CC BY 4.0'; it is written into the file"
    )
    parser.add_argument(
        "--vocoder",
        metavar="NAME",
        help=f"for {ONNX}: put the vocoder into the file, too: {HIFIGAN}, or the file of a HiFi-GAN generator",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def export(arguments: argparse.Namespace) -> ExitCode:
    """Raises VoiceError where the voice cannot be read or exported, or the file not be written."""
    source, target = arguments.source, arguments.to
    _refuse_target(source, target, arguments.force)
    form = format_for(target, arguments.format, "--to")
    if arguments.licence is not None and form == NVIDIA:
        raise VoiceError(f"--licence: NVIDIA's layout has no place for it; leave it out, or use {SAFETENSORS}.")
    if arguments.vocoder is not None and (form != ONNX or arguments.vocoder == GRIFFIN_LIM):
        raise VoiceError(
            f"--vocoder {arguments.vocoder}: only {ONNX} takes one, {HIFIGAN} or a file of it; leave it out."
        )
    from trainer import voice_format

    voice = voice_format.load(source)
    if arguments.licence is not None:
        voice = replace(voice, recordings=replace(voice.source, licence=arguments.licence))
    try:
        report = _write(form, voice, arguments)
    except OSError as error:
        raise VoiceError(f"{target}: cannot be written ({_reason(error, voice, target)}).") from error
    print(report)
    return ExitCode.FINISHED


def _refuse_target(source: Path, target: Path, force: bool) -> None:
    if target.is_dir():
        raise VoiceError(f"{target}: is a folder; give the name of a file.")
    if not target.exists():
        above = nearest_above(target.absolute())
        if not above.is_dir():
            raise VoiceError(f"{target}: cannot be written: {above} is a file, not a folder.")
        return
    if source.exists() and target.samefile(source):
        raise VoiceError(f"{target}: is the voice itself; give another name.")
    if not force:
        raise VoiceError(f"{target}: exists and is not overwritten; give another name, or add --force.")


def _reason(error: OSError, voice: "Voice", target: Path) -> str:
    """With the size of the file, and what is free where it was to be."""
    what = error.strerror or str(error)
    needed = sum(tensor.nbytes for tensor in voice.weights.values()) / 1e6
    there = nearest_above(target.absolute())
    return f"{what}: it needs {needed:,.1f} MB, {shutil.disk_usage(there).free / 1e6:,.1f} MB are free in {there}"


def _write(form: str, voice: "Voice", arguments: argparse.Namespace) -> str:
    """Returns the report. Raises VoiceError where the voice does not fit, and OSError where it cannot be written."""
    source, target = arguments.source, arguments.to
    if form == NVIDIA:
        from trainer.nvidia.import_export import export_file

        return export_file(voice, source, target)
    if form == ONNX:
        from trainer.export.onnx_file import onnx_bytes

        content = onnx_bytes(voice, arguments.vocoder)
        with write_atomically(target) as beside:
            beside.write_bytes(content)
    else:
        from trainer.voice_format import save_to_share

        save_to_share(target, voice)
    return _report(voice, source, target)


def _report(voice: "Voice", source: Path, target: Path) -> str:
    from trainer.nvidia.import_export import size

    recordings = voice.source
    hours = "unknown hours" if recordings.hours is None else f"{recordings.hours:.2f} hours"
    licence = recordings.licence or "not stated; state it with --licence before you share the file"
    return "\n".join(
        [
            f"{source}: {size(voice)}",
            f"recordings: {recordings.corpus or 'unknown'}, {hours}; licence: {licence}",
            f"{target}: written, {target.stat().st_size / 1e6:.1f} MB",
        ]
    )
