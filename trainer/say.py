"""`python -m trainer say`: texts to sound files, or to standard output as they are spoken."""

import argparse
import io
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import ConfigError, CorpusError
from trainer.exit_reports import print_to_stderr
from trainer.files import nearest_above, write_atomically
from trainer.protocol import ExitCode
from trainer.vocoder.names import add_vocoder

if TYPE_CHECKING:
    from trainer.audio import Samples
    from trainer.synthesis import Sentence, Synthesizer

FORMATS = (".wav", ".flac", ".ogg")
STDOUT = "-"
OUT = "speech.wav"
BLOCK = 2**16  # samples that are encoded at once: with those of minutes libsndfile's Vorbis overflows its stack
PLAYERS = (("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"), ("paplay",), ("aplay", "-q"), ("afplay",))


def add_say(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "say",
        help="say a text with a voice",
        description="Say each text, sentence by sentence, and write it to a sound file. Without texts, standard input "
        "is one text.",
    )
    parser.add_argument("voice", type=Path, metavar="VOICE.pt", help="a best.pt, or what `import` wrote")
    parser.add_argument("text", nargs="*", help="each becomes a file")
    parser.add_argument(
        "--texts", type=Path, metavar="FILE", help="say this file, a text per line; blank lines do not count"
    )
    parser.add_argument(
        "--out",
        default=OUT,
        metavar="FILE",
        help=f"{', '.join(FORMATS)}; numbered in the order of the texts where there are several; {STDOUT}: WAV "
        "on standard output, as it is spoken (default: %(default)s)",
    )
    parser.add_argument("--play", action="store_true", help="play each text")
    parser.add_argument(
        "--device",
        default="cpu",
        help="cpu, cuda, one such as cuda:1, or auto: a GPU if there is one; it takes seconds to start, and pays for "
        "long texts (default: %(default)s)",
    )
    add_vocoder(parser)


def say(arguments: argparse.Namespace) -> ExitCode:
    """Raises UserError where the voice, the vocoder, a text or the file cannot be used, before anything is spoken."""
    out = _checked_out(arguments.out)
    if out is None and arguments.play:
        raise ConfigError(f"--play and --out {STDOUT} exclude each other: standard output is for a player of yours.")
    player = _player() if arguments.play else None
    from trainer import voice_format
    from trainer.device import named_device
    from trainer.evaluation.verdict import heard
    from trainer.synthesis import Synthesizer
    from trainer.vocoder.vocoders import open_vocoder

    device = named_device(arguments.device)
    voice = voice_format.load(arguments.voice)
    synthesizer = Synthesizer(voice, open_vocoder(arguments.vocoder, voice.config.audio, device), device)
    texts = _texts(arguments)
    _check(texts, synthesizer)
    print_to_stderr(f"{arguments.voice}, {synthesizer.vocoder.name}")
    if verdict := heard(voice.figures or {}):
        print_to_stderr(f"What is heard of this voice: {verdict}. {verdict.advice}")
    for where, text in texts:
        if words := synthesizer.accented(text):
            print_to_stderr(f"{where}: read without accents: {', '.join(words)}")
        if letters := synthesizer.untrained(text):
            print_to_stderr(
                f"{where}: in no text of this voice's corpus: {', '.join(letters)}; their sounds are guesses"
            )
    if out is None:
        with suppress(BrokenPipeError):  # the player was closed
            _write_to_stdout(texts, synthesizer)
        return ExitCode.FINISHED
    for number, (where, text) in enumerate(texts, 1):
        path = out if len(texts) == 1 else out.with_name(f"{out.stem}-{number:03d}{out.suffix}")
        if len(texts) > 1:
            print_to_stderr(f"{where}: {path.name}")
        _write(path, [sound for _, sound in _spoken(text, synthesizer)], synthesizer.audio.sample_rate)
        print(path, flush=True)
        if player:
            _play(player, path)
    return ExitCode.FINISHED


def _checked_out(given: str) -> Path | None:
    """None: standard output."""
    if given == STDOUT:
        if sys.stdout.isatty():
            raise ConfigError(f"--out {STDOUT}: writes sound to the terminal; name a file, or pipe it to a player.")
        return None
    path = Path(given)
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"--out {given}: must end with {', '.join(FORMATS)}.")
    if path.is_dir():
        raise ConfigError(f"--out {given}: is a folder; give the name of a file.")
    above = nearest_above(path)
    if not above.is_dir():
        raise ConfigError(f"--out {given}: cannot be written: {above} is a file, not a folder.")
    if not os.access(above, os.W_OK):
        raise ConfigError(f"--out {given}: the folder {above} cannot be written to; name another.")
    return path


def _player() -> Sequence[str]:
    found = next((player for player in PLAYERS if shutil.which(player[0])), None)
    if found is None:
        names = ", ".join(player[0] for player in PLAYERS)
        raise ConfigError(f"--play: no player is installed; install one of {names}, or leave out --play.")
    return found


def _texts(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """(where, text) of each text that is not blank."""
    if arguments.texts and arguments.text:
        raise ConfigError("--texts and texts on the command line exclude each other.")
    if arguments.texts:
        from trainer.evaluation.texts import read_lines

        return [(f"{arguments.texts}:{number}", line) for number, line in read_lines(arguments.texts)]
    given = list(enumerate(arguments.text, 1)) or [(0, _standard_input())]
    return [(f"text {number}" if number else "standard input", text) for number, text in given]


def _standard_input() -> str:
    if sys.stdin.isatty():
        raise ConfigError("there is no text; give one on the command line, by --texts, or on standard input.")
    return sys.stdin.read()


def _check(texts: Sequence[tuple[str, str]], synthesizer: "Synthesizer") -> None:
    """Raises CorpusError with all that cannot be spoken."""
    problems = []
    for where, text in texts:
        try:
            synthesizer.sentences(text)
        except ValueError as error:
            problems.append(f"{where}: {error}")
    if problems:
        raise CorpusError("\n".join(problems))


def _spoken(text: str, synthesizer: "Synthesizer") -> Iterator[tuple["Sentence", "Samples"]]:
    """Each sentence with its sound. Prints how it went, and how long it took for its length."""
    rate = synthesizer.audio.sample_rate
    began = time.perf_counter()
    for sentence, sound in synthesizer.stream(text):
        seconds = len(sound) / rate
        print_to_stderr(f"  {described(sentence, seconds, (time.perf_counter() - began) / max(seconds, 1e-3))}")
        yield sentence, sound
        began = time.perf_counter()


def described(sentence: "Sentence", seconds: float, real_time_factor: float) -> str:
    """One line. real_time_factor: seconds of work for a second of sound."""
    from trainer.evaluation.faults import faults

    parts = [f"“{sentence.text}”", f"{seconds:.1f} s"]
    if not math.isnan(sentence.alignment):  # of very short texts
        parts.append(f"alignment {sentence.alignment:.2f}")
    parts.append(f"real-time factor {real_time_factor:.2f}")
    if sentence.attempts > 1:
        parts.append(f"spoken {sentence.attempts} times, the best is kept")
    return "; ".join([", ".join(parts), *faults(sentence)])


def _write(path: Path, sounds: "Sequence[Samples]", sample_rate: int) -> None:
    import numpy as np

    from trainer.audio import to_wav

    samples = np.concatenate(sounds)
    try:
        with write_atomically(path) as beside:
            if path.suffix.lower() == ".wav":
                beside.write_bytes(to_wav(samples, sample_rate))
            else:
                beside.write_bytes(_encoded(samples, sample_rate, path.suffix[1:].upper()))
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written ({error.strerror}).") from error


def _encoded(samples: "Samples", sample_rate: int, form: str) -> bytes:
    """In memory: where the disk is full, soundfile fails by an assertion. form: FLAC or OGG."""
    import soundfile

    scaled = _within_full_scale(samples)
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", sample_rate, channels=1, format=form) as file:
        for start in range(0, len(scaled), BLOCK):
            file.write(scaled[start : start + BLOCK])
    return content.getvalue()


def _within_full_scale(samples: "Samples") -> "Samples":
    import numpy as np

    scaled: Samples = samples / max(1.0, float(np.abs(samples).max(initial=0.0)))
    return scaled


def _write_to_stdout(texts: Sequence[tuple[str, str]], synthesizer: "Synthesizer") -> None:
    """WAV of unknown length, as players accept it: sentence after sentence, each as soon as it is spoken."""
    _write_at_once(_streamed_header(synthesizer.audio.sample_rate))
    for _, text in texts:
        for _, sound in _spoken(text, synthesizer):
            _write_at_once((_within_full_scale(sound) * 32767).astype("<i2").tobytes())


def _write_at_once(content: bytes) -> None:
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigError(f"--out {STDOUT}: cannot be written ({error.strerror}).") from error


def _streamed_header(sample_rate: int) -> bytes:
    """Of 16-bit mono, with the largest length: nobody knows it yet."""
    from trainer.audio import to_wav

    header = bytearray(to_wav([], sample_rate))
    header[4:8] = header[40:44] = b"\xff" * 4
    return bytes(header)


def _play(player: Sequence[str], path: Path) -> None:
    """Goes on where the player fails: the file is written."""
    with tempfile.TemporaryFile() as complaints:
        code = subprocess.run([*player, str(path.absolute())], stderr=complaints, check=False).returncode
        complaints.seek(0)
        if code:
            print_to_stderr(f"{player[0]} could not play it ({complaints.read(300).decode(errors='replace').strip()})")
