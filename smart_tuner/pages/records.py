"""What the trial directories here hold for a page: events, pictures, sounds. A trial of another machine has none."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainer.protocol import Event, EventKind, EventReader, RunDir

_PROGRESS = b'{"kind":"progress"'
_MEDIA = {".png": "image/png", ".wav": "audio/wav"}
_LARGEST = 20 * 2**20  # bytes of a picture or sound; a page holds several


@dataclass(frozen=True)
class Exhibit:
    """A picture or sound that a trainer made on its way."""

    what: str  # alignment, mel, or sample
    text: str  # the sentence
    path: Path

    def data_uri(self) -> str:
        """The file itself, as what a page can hold. Raises OSError where it is gone."""
        content = base64.b64encode(self.path.read_bytes()).decode()
        return f"data:{_MEDIA[self.path.suffix]};base64,{content}"


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


def exhibits(run_dir: RunDir, events: Sequence[Event]) -> list[Exhibit]:
    """The newest of each kind for each sentence. A path that leads out of the trial directory is passed over."""
    newest: dict[tuple[str, str], str] = {}
    for event in events:
        if event.kind is not EventKind.ARTIFACT:
            continue
        what, text = event.data["what"], str(event.data.get("text", ""))
        newest[what, text] = event.data["path"]
    found = (Exhibit(*key, path) for key, name in newest.items() if (path := run_dir.file(name)) is not None)
    return [exhibit for exhibit in found if _can_be_shown(exhibit.path)]


def _can_be_shown(path: Path) -> bool:
    with suppress(OSError):
        return path.suffix in _MEDIA and path.stat().st_size <= _LARGEST
    return False
