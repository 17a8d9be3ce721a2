"""Events survive kills and broken lines, files are replaced whole, and any path will do."""

import json
import math
from pathlib import Path

import pytest

from trainer.protocol import Event, EventKind, EventWriter, RunDir, read_events, write_atomically

WEIRD = ["plain", "a 0", "a'; echo foo", 'say "ё"', "$HOME", "-rf", "новый\tслед"]


def _event(update: int, kind: EventKind = EventKind.PROGRESS, **data: object) -> Event:
    return Event(kind, frames=100 * update, update=update, data=data, time=1000.5 + update)


def _append(path: Path, *events: Event) -> None:
    writer = EventWriter(path)
    for event in events:
        writer.write(event)
    writer.close()


@pytest.mark.parametrize("kind", list(EventKind))
def test_an_event_becomes_one_line_and_comes_back(kind: EventKind) -> None:
    event = _event(3, kind, text="ё \n\r\u2028 \"'", nested={"a": [1, 2.5, None, True]})
    line = event.to_line()
    assert line.endswith("\n")
    assert len(line.encode().splitlines()) == 1
    assert json.loads(line)["kind"] == kind.value
    assert Event.from_line(line) == event


def test_an_event_carries_the_time_it_was_made() -> None:
    first, second = Event(EventKind.STARTED, 0, 0), Event(EventKind.STARTED, 0, 0)
    assert 1.7e9 < first.time <= second.time
    assert first.data == {}


def test_a_loss_that_is_not_finite_comes_back() -> None:
    loss = Event.from_line(_event(1, loss=math.nan).to_line()).data["loss"]
    assert math.isnan(loss)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        '{"kind":"progress"}',
        '{"kind":"dance","frames":0,"update":0,"data":{},"time":1}',
        '{"kind":"progress","frames":"many","update":0,"data":{},"time":1}',
        '{"kind":"progress","frames":1e999,"update":0,"data":{},"time":1}',
        '{"kind":"progress","frames":0,"update":0,"data":3,"time":1}',
        '{"kind":"progress","frames":0,"update":0,"data":{},"time":null}',
    ],
)
def test_a_line_that_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no event"):
        Event.from_line(line)


def test_events_are_read_in_order_and_on_from_an_offset(tmp_path: Path) -> None:
    path = tmp_path / "not yet" / "events.jsonl"
    assert read_events(path) == ([], 0)
    assert read_events(path, 7) == ([], 7)
    events = [_event(i, text="ж" * i) for i in range(5)]
    _append(path, *events[:3])
    first, offset = read_events(path)
    assert first == events[:3]
    assert offset == path.stat().st_size
    assert read_events(path, offset) == ([], offset)
    _append(path, *events[3:])
    assert read_events(path, offset) == (events[3:], path.stat().st_size)
    assert read_events(path)[0] == events


def test_each_event_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events.jsonl")
    for count in range(1, 4):
        writer.write(_event(count))
        assert len(read_events(tmp_path / "events.jsonl")[0]) == count
    writer.close()


def test_a_half_written_last_line_is_left_for_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _append(path, _event(1))
    whole = path.stat().st_size
    line = _event(2, text="ещё").to_line().encode()
    for cut in range(1, len(line)):  # also in the middle of a letter
        path.write_bytes(path.read_bytes()[:whole] + line[:cut])
        assert read_events(path) == ([_event(1)], whole)
    path.write_bytes(path.read_bytes()[:whole] + line)
    assert read_events(path, whole) == ([_event(2, text="ещё")], whole + len(line))


@pytest.mark.parametrize("broken", [b'{"kind":"prog\n', b"\xff\xfe\x00\n", b"\n", b"{}\n", b'{"kind":1}\r\n'])
def test_a_broken_complete_line_is_skipped_and_spoils_no_other(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(_event(1).to_line().encode() + broken + _event(2).to_line().encode())
    assert read_events(path) == ([_event(1), _event(2)], path.stat().st_size)


def test_a_writer_after_a_kill_ends_the_half_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _append(path, _event(1), _event(2))
    seen = len(_event(1).to_line())
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 5)
    _append(path, _event(3))
    assert read_events(path, seen) == ([_event(3)], path.stat().st_size)
    assert len(path.read_bytes().splitlines()) == 3


def test_a_writer_adds_no_empty_lines_to_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _append(path)
    _append(path, _event(1))
    _append(path, _event(2))
    assert path.read_text() == _event(1).to_line() + _event(2).to_line()


def test_a_file_is_replaced_when_its_writing_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "last.pt"
    for content in ("first", "second"):
        with write_atomically(path) as beside:
            assert beside.parent == path.parent
            assert beside.suffix == path.suffix
            beside.write_text(content)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "last.pt"
    path.write_text("old")

    def write_half() -> None:
        with write_atomically(path) as beside:
            beside.write_text("ha")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_directory_names_its_files_and_creates_nothing_by_itself(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "trial-0007")
    names = [run.config, run.events, run.log, run.last_checkpoint, run.best_checkpoint, run.alignments, run.samples]
    assert [str(name.relative_to(run.path)) for name in names] == [
        "config.json",
        "events.jsonl",
        "trainer.log",
        "checkpoints/last.pt",
        "checkpoints/best.pt",
        "alignments",
        "samples",
    ]
    assert not run.path.exists()
    run.create()
    run.create()
    assert sorted(path.name for path in run.path.iterdir()) == ["alignments", "checkpoints", "samples"]


@pytest.mark.parametrize("name", WEIRD)
def test_any_folder_name_will_do(tmp_path: Path, name: str) -> None:
    run = RunDir(tmp_path / name / "trial-0000")
    run.create()
    _append(run.events, _event(1))
    with write_atomically(run.last_checkpoint) as beside:
        beside.write_text("weights")
    assert read_events(run.events)[0] == [_event(1)]
    assert run.last_checkpoint.read_text() == "weights"
    assert [path.name for path in tmp_path.iterdir()] == [name]
