"""Recordings with a text file beside each: `name.wav` with `name.txt` or `name.lab`.

Also in folders below, and with the texts in a folder beside that of the recordings (`wav/a.wav`, `txt/a.txt`). Hidden
files are left out. Links to folders are followed only with leave.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trainer.data.faults import CorpusFaults, Fault, FaultKind, cannot_be_read
from trainer.data.recordings import has_audio_suffix, stem

TEXT_SUFFIXES = (".normalized.txt", ".txt", ".lab")  # the first one that is there; LibriTTS has the first
LONGEST_TEXT = 2**16  # bytes of a file
MOST_FILES = 2_000_000  # in a folder with all below it
DEEPEST = 8


@dataclass(frozen=True)
class Pair:
    """Paths relative to the corpus's folder; text: None where the recording has none."""

    recording: str
    text: str | None

    @property
    def folder(self) -> str:
        """That of the recording; "" for the corpus's own."""
        return os.path.dirname(self.recording)  # noqa: PTH120

    @property
    def place(self) -> tuple[str, str]:
        """The first folders of the recording and of its text: they differ where texts have a folder of their own."""
        return _first(self.recording), _first(self.text or self.recording)


class Walk:
    """The recordings and texts in a folder, and which belong together."""

    def __init__(self, folder: Path, follow_links: bool) -> None:
        self._audio: list[str] = []
        self._texts = dict[str, str]()
        for path in _files(folder, follow_links):
            if has_audio_suffix(path):
                self._audio.append(path)
            elif suffix := next((each for each in TEXT_SUFFIXES if path.lower().endswith(each)), None):
                name = path[: -len(suffix)]
                if name not in self._texts or suffix == TEXT_SUFFIXES[0]:
                    self._texts[name] = path

    @property
    def recordings(self) -> int:
        return len(self._audio)

    @cached_property
    def paired(self) -> int:
        return sum(pair.text is not None for pair in self.pairs())

    @property
    def is_pairs(self) -> bool:
        """Whether most recordings have a text."""
        return self.paired > len(self._audio) / 2

    def pairs(self) -> Iterator[Pair]:
        """In the order of their names."""
        for recording in sorted(self._audio):
            yield Pair(recording, self._texts.get(stem(recording)) or self._parallel.get(_below(stem(recording))))

    @property
    def without_recording(self) -> list[str]:
        used = {pair.text for pair in self.pairs()}
        return sorted(path for path in self._texts.values() if path not in used)

    @cached_property
    def _parallel(self) -> dict[str, str]:
        """Texts by their path without the first folder."""
        return {_below(name): path for name, path in self._texts.items() if os.sep in name}


def read_text(root: Path, path: str) -> str | Fault:
    """The lines of a text file, joined."""
    try:
        with (root / path).open("rb") as file:
            content = file.read(LONGEST_TEXT + 1)
    except OSError as error:
        return Fault(FaultKind.NO_TEXT, path, f"{cannot_be_read(error)}.")
    if len(content) > LONGEST_TEXT:
        return Fault(FaultKind.LONG_TEXT, path, f"is longer than {LONGEST_TEXT:,} bytes; a clip holds a few sentences.")
    try:
        return " ".join(content.decode("utf-8-sig").split())
    except UnicodeDecodeError as error:
        return Fault(
            FaultKind.ENCODING, path, f"is not UTF-8 (byte 0x{content[error.start]:02x}); save the file as UTF-8."
        )


def place_of_text(recording: str, place: tuple[str, str]) -> str:
    """The path at which the text of a recording is expected. place: that of other pairs of the corpus."""
    name = f"{stem(recording)}.txt"
    sounds, texts = place
    if sounds == texts or _first(recording) != sounds:
        return name
    return os.path.join(texts, _below(name))  # noqa: PTH118


def _first(path: str) -> str:
    return path.partition(os.sep)[0] if os.sep in path else ""


def _below(path: str) -> str:
    return path.partition(os.sep)[2]


def _files(folder: Path, follow_links: bool) -> Iterator[str]:
    """Paths relative to `folder`, without hidden ones."""
    prefix = len(str(folder).rstrip(os.sep)) + 1
    seen = {os.path.realpath(folder)}
    count = 0
    for here, folders, names in os.walk(folder, followlinks=follow_links):
        depth = here[prefix:].count(os.sep) + 1 if len(here) > prefix else 0
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")) and depth < DEEPEST)
        if follow_links:  # a link may lead back
            real = {name: os.path.realpath(os.path.join(here, name)) for name in folders}  # noqa: PTH118
            folders[:] = [name for name in folders if real[name] not in seen]
            seen.update(real[name] for name in folders)
        for name in names:
            if not name.startswith("."):
                yield os.path.join(here, name)[prefix:]  # noqa: PTH118
        count += len(names)
        if count > MOST_FILES:
            text = f"holds more than {MOST_FILES:,} files; give the folder of one corpus."
            raise CorpusFaults([Fault(FaultKind.LAYOUT, str(folder), text)])
