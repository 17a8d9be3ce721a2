"""Where the recordings of a list are: in which folder, by how much of the written path, with which extension.

`wavs/`, `wav/` and `clips/` are looked for beside the list; paths of other machines are followed by their last part.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from trainer.data.recordings import AUDIO_SUFFIXES, Recordings, has_audio_suffix

FOLDERS = ("wavs", "wav", "clips", "audio", "audios", "recordings", "sounds", "data")
OTHER_FOLDERS = 20  # looked at, beside these
TRIED = 50  # names of a list


class Part(StrEnum):
    """How much of a name in the list is used."""

    WHOLE = "the whole path"
    SLASHES = "the path, with / for \\"
    LAST = "the last part of the path"


@dataclass(frozen=True)
class Place:
    """folder: relative to the corpus's, "" or with a slash at its end; suffix: after a name that has no extension."""

    folder: str
    part: Part = Part.WHOLE
    suffix: str = ""

    def path(self, written: str) -> str:
        if self.part is not Part.WHOLE:
            written = written.replace("\\", "/")
            if self.part is Part.LAST:
                written = written.rpartition("/")[2]
        return f"{self.folder}{written}{'' if not self.suffix or has_audio_suffix(written) else self.suffix}"

    @property
    def is_outside(self) -> bool:
        """Of the corpus: looked at where none of the names is found inside, and used only with leave."""
        return self.folder.startswith("../")

    @property
    def shown(self) -> str:
        """For the line that names the layout."""
        where = f"in {self.folder}" if self.folder else "beside the list"
        return where if self.part is Part.WHOLE else f"{where}, by {self.part}"


@dataclass(frozen=True)
class Placed:
    """A place, and how many of the tried names have a recording there."""

    place: Place
    found: int
    tried: int


def place_of(names: Sequence[str], recordings: Recordings, folders: Sequence[str]) -> Placed:
    """The place where most of `names` have a recording; the first of `folders` where none has."""
    step = max(1, len(names) // TRIED)
    tried = names[::step][:TRIED]
    best = Placed(Place(folders[0], suffix="" if _suffixed(tried) else ".wav"), 0, len(tried))
    for place in _candidates(tried, recordings, folders):
        if best.found and place.is_outside:
            continue
        found = sum(recordings.exists(place.path(name)) for name in tried)
        if found > best.found:
            best = Placed(place, found, len(tried))
        if found == len(tried):
            break
    return best


def _candidates(names: Sequence[str], recordings: Recordings, folders: Sequence[str]) -> Iterator[Place]:
    for part in Part:
        if part is not Part.WHOLE and not any("/" in name or "\\" in name for name in names):
            return
        for folder in folders:
            place = Place(folder, part)
            yield Place(folder, part, "" if _suffixed(names) else _suffix(place, names, recordings))


def _suffix(place: Place, names: Sequence[str], recordings: Recordings) -> str:
    """The extension of the first recording that is there."""
    for name in names[:3]:
        for suffix in AUDIO_SUFFIXES:
            if recordings.is_there(place.path(name) + suffix):
                return suffix
    return AUDIO_SUFFIXES[0]


def _suffixed(names: Sequence[str]) -> bool:
    return all(map(has_audio_suffix, names))


def folders_of(root: Path, beside: str, ids: bool) -> list[str]:
    """Where recordings may be, in the order in which places are tried; each ends with a slash, or is "".

    beside: the list's folder, relative to `root`; ids: whether those of LJSpeech are likelier than paths.
    """
    known = [f"{beside}{name}/" for name in FOLDERS]
    first = [known[0], beside, *known[1:]] if ids else [beside, *known]
    if beside:
        first += ["", *(f"{name}/" for name in FOLDERS)]
    first += [f"{beside}{name}/" for name in _folders_in(root / beside)]
    if beside:
        first += [f"{name}/" for name in _folders_in(root)]
    first += [f"../{name}" for name in ("", *(f"{name}/" for name in (*FOLDERS, *_folders_in(root.parent))))]
    return list(dict.fromkeys(first))


def _folders_in(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except OSError:
        return []
    return names[:OTHER_FOLDERS]
