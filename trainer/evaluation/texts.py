"""A file of texts to speak, one per line: read and checked as a whole, before any time is spent."""

from dataclasses import dataclass
from pathlib import Path

from trainer.errors import CorpusError
from trainer.synthesis import Synthesizer

SHOWN_PROBLEMS = 100


@dataclass(frozen=True)
class Line:
    number: int  # in the file, from 1
    sentences: tuple[str, ...]  # normalised; each is spoken by itself


def read_texts(path: Path, synthesizer: Synthesizer) -> list[Line]:
    """The lines of `path` that are not blank. Raises CorpusError, which names each line that cannot be spoken."""
    lines: list[Line] = []
    problems: list[str] = []
    for number, text in read_lines(path):
        try:
            lines.append(Line(number, tuple(synthesizer.sentences(text))))
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        shown = "\n".join(problems[:SHOWN_PROBLEMS])
        raise CorpusError(shown + (f"\n... and {more} more lines." if more > 0 else ""))
    return lines


def read_lines(path: Path) -> list[tuple[int, str]]:
    """(number from 1, text) of each line that is not blank. Raises CorpusError where the file has none."""
    lines = [(number, text) for number, text in enumerate(_read(path), 1) if text.strip()]
    if not lines:
        raise CorpusError(f"{path}: is empty; write one text per line.")
    return lines


def _read(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); give a file with one text per line.") from error
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise CorpusError(
            f"{path}:{number}: is not UTF-8 (byte 0x{content[error.start]:02x}); save the file as UTF-8."
        ) from error
