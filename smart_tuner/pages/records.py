"""What the trial directories here hold for a page: events, pictures, sounds. A trial of another machine has none."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from smart_tuner.artifacts import Artifact
from trainer.protocol import Event, EventReader

_PROGRESS = b'{"kind":"progress"'
_MEDIA = {".png": "image/png", ".wav": "audio/wav"}
_LARGEST = 20 * 2**20  # bytes of a picture or sound; a page holds several


def telling_events(path: Path) -> list[Event]:
    """The events of a record. Of progress events in a row, which are most of it, one look keeps the last only."""
    try:
        return list(EventReader(path, choose=_telling_lines).read())
    except OSError:
        return []


def _telling_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
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
    """The newest of each kind for each sentence, as far as a page can hold it."""
    newest = {(artifact.kind, artifact.sentence): artifact for artifact in artifacts}
    return [artifact for artifact in newest.values() if _can_be_shown(artifact.file)]


def data_uri(artifact: Artifact) -> str | None:
    """The file itself, as what a page can hold; None where there is no such file, or no more."""
    if (file := artifact.file) is None:
        return None
    try:
        content = base64.b64encode(file.read_bytes()).decode()
    except OSError:
        return None
    return f"data:{_MEDIA[file.suffix]};base64,{content}"


def _can_be_shown(file: Path | None) -> bool:
    with suppress(OSError):
        return file is not None and file.suffix in _MEDIA and file.stat().st_size <= _LARGEST
    return False
