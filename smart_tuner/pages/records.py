"""Reads events, pictures and sounds from trial directories for a page. Trials of other machines have none here."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from smart_tuner.artifacts import Artifact
from trainer.protocol import Event, EventReader

_PROGRESS = b'{"kind":"progress"'
_MEDIA = {".png": "image/png", ".wav": "audio/wav"}
_LARGEST = 20 * 2**20  # bytes of a picture or sound; a page contains several


def condensed_events(path: Path) -> list[Event]:
    """The events of a record, but of consecutive progress events, which are most of it, only the last."""
    try:
        return list(EventReader(path, choose=_condensed).read())
    except OSError:
        return []


def _condensed(lines: Iterable[bytes]) -> Iterator[bytes]:
    held: bytes | None = None
    for line in lines:
        if line.startswith(_PROGRESS):
            held = line
            continue
        if held is not None:
            yield held
        held = None
        yield line
    if held is not None:
        yield held


def shown(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """The newest artifact of each kind for each sentence, if a page can contain it."""
    newest = {(artifact.kind, artifact.sentence): artifact for artifact in artifacts}
    return [artifact for artifact in newest.values() if _can_be_shown(artifact.file)]


def data_uri(artifact: Artifact) -> str | None:
    """The file as a data URI; None if it does not exist or cannot be read."""
    return file_uri(artifact.file) if artifact.file is not None else None


def file_uri(file: Path | str) -> str | None:
    """A picture or a sound as a data URI; None if it cannot be read."""
    file = Path(file)
    try:
        content = base64.b64encode(file.read_bytes()).decode()
    except OSError:
        return None
    return f"data:{_MEDIA[file.suffix]};base64,{content}"


def _can_be_shown(file: Path | None) -> bool:
    with suppress(OSError):
        return file is not None and file.suffix in _MEDIA and file.stat().st_size <= _LARGEST
    return False
