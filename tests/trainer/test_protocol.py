"""Events survive kills and broken lines, and trial directories may have any name."""

import json
import math
from pathlib import Path

import pytest

from trainer.files import write_atomically
from trainer.protocol import (
    CHUNK,
    LONGEST_LINE,
    REQUIRED,
    Event,
    EventKind,
    EventReader,
    EventWriter,
    RunDir,
    all_events,
)

WEIRD = ["plain", "a 0", "a'; echo foo", 'say "ё"', "$HOME", "-rf", "новый\tслед"]
# The smallest valid data of each kind.
DATA: dict[EventKind, dict[str, object]] = {
    EventKind.STARTED: {"config": {}},
    EventKind.PROGRESS: {"loss": 1.5, "frames_per_second": 100, "memory_bytes": 10**9},
    EventKind.VALIDATION: {"index": 1, "best": True, "loss": 1.5, "alignment": 0.5},
    EventKind.CHECKPOINT: {"path": "checkpoints/last.pt", "best": False},
    EventKind.ARTIFACT: {"path": "samples/a.wav", "what": "sample"},
    EventKind.CORRECTION: {"what": "skip", "reason": "not finite"},
    EventKind.FREE_RUNNING: {"alignment": 0.5},
    EventKind.FINISHED: {"seconds": 1.5},
    EventKind.STOPPED: {"reason": "received SIGTERM"},
    EventKind.FAILED: {"reason": "boom", "exit_code": 1},
}


def _event(update: int, kind: EventKind = EventKind.PROGRESS, **data: object) -> Event:
    return Event(kind, frames=100 * update, update=update, data={**DATA[kind], **data}, time=1000.5 + update)


def _append(path: Path, *events: Event) -> None:
    writer = EventWriter(path)
    for event in events:
        writer.write(event)
    writer.close()


@pytest.mark.parametrize("kind", list(EventKind))
def test_an_event_becomes_one_line_and_is_read_back(kind: EventKind) -> None:
    event = _event(3, kind, text="ё \n\r\u2028 \"'", nested={"a": [1, 2.5, None, True]})
    line = event.to_line()
    assert line.endswith("\n")
    assert len(line.encode().splitlines()) == 1
    assert json.loads(line)["kind"] == kind.value
    assert Event.from_line(line) == event


def test_an_event_has_the_time_it_was_made() -> None:
    first, second = Event(EventKind.STARTED, 0, 0), Event(EventKind.STARTED, 0, 0)
    assert 1.7e9 < first.time <= second.time
    assert first.data == {}


def test_a_loss_that_is_not_finite_survives() -> None:
    for kind in (EventKind.PROGRESS, EventKind.VALIDATION):
        loss = Event.from_line(_event(1, kind, loss=math.nan).to_line()).data["loss"]
        assert math.isnan(loss)
        assert Event.from_line(_event(1, kind, loss=math.inf).to_line()).data["loss"] == math.inf


VALUES = [None, [], "", -1, 0, 1.5, True, {}, math.nan, math.inf]
ANY_NUMBER, ANY_AMOUNT = {"-1", "0", "1.5", "nan", "inf"}, {"0", "1.5"}
# Which of VALUES each key accepts, by their repr.
ACCEPTED = {
    "config": {"{}"},
    "loss": ANY_NUMBER,
    "alignment": ANY_NUMBER,
    "frames_per_second": ANY_AMOUNT,
    "memory_bytes": ANY_AMOUNT,
    "seconds": ANY_AMOUNT,
    "exit_code": {"0"},
    "index": {"0"},
    "best": {"True"},
    "path": {"''"},
    "what": {"''"},
    "reason": {"''"},
}


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind in EventKind for key in REQUIRED[kind]])
def test_a_key_is_required_and_accepts_values_of_its_type_only(kind: EventKind, key: str) -> None:
    def is_event(data: dict[str, object]) -> bool:
        try:
            return Event.from_line(Event(kind, 1, 1, data).to_line()).kind is kind
        except ValueError:
            return False

    assert {repr(value) for value in VALUES if is_event(DATA[kind] | {key: value})} == ACCEPTED[key]
    assert not is_event({name: value for name, value in DATA[kind].items() if name != key})


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": -1},
        {"frames": 1.0},
        {"frames": True},
        {"frames": 2**63},
        {"update": -1},
        {"update": "3"},
        {"time": math.nan},
        {"time": math.inf},
        {"time": "5"},
        {"time": True},
        {"time": 1e300},
        {"kind": ["progress"]},
        {"kind": 3},
        {"data": [["loss", 1.0], ["frames_per_second", 1], ["memory_bytes", 1]]},
    ],
)
def test_impossible_frames_times_and_kinds_are_refused(changes: dict[str, object]) -> None:
    whole = {"kind": "progress", "frames": 1, "update": 1, "data": DATA[EventKind.PROGRESS], "time": 5}
    assert Event.from_line(json.dumps(whole)).time == 5.0
    with pytest.raises(ValueError, match="no event"):
        Event.from_line(json.dumps(whole | changes))


@pytest.mark.parametrize(
    "loss", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, "1" * 400, '"\\ud800"', '"\\uDFFF\\u0041"', "1e999999]"]
)
def test_malicious_json_is_refused(loss: str) -> None:
    line = _event(1, note="").to_line()
    assert Event.from_line(line.replace('"note":""', '"note":"\\ud83d\\ude00"')).data["note"] == "\N{GRINNING FACE}"
    with pytest.raises(ValueError, match="no event"):
        Event.from_line(line.replace('"note":""', f'"note":{loss}'))
    with pytest.raises(ValueError, match="no event"):
        Event.from_line(loss)


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


def _look(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    reader = EventReader(path, offset)
    return reader.look(), reader.offset


def test_events_are_read_in_order_and_from_an_offset_on(tmp_path: Path) -> None:
    path = tmp_path / "not yet" / "events.jsonl"
    assert _look(path) == ([], 0)
    assert _look(path, 7) == ([], 7)
    events = [_event(i, text="ж" * i) for i in range(5)]
    _append(path, *events[:3])
    first, offset = _look(path)
    assert first == events[:3]
    assert offset == path.stat().st_size
    assert _look(path, offset) == ([], offset)
    _append(path, *events[3:])
    assert _look(path, offset) == (events[3:], path.stat().st_size)
    assert _look(path)[0] == events


def test_each_event_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events.jsonl")
    for count in range(1, 4):
        writer.write(_event(count))
        assert len(_look(tmp_path / "events.jsonl")[0]) == count
    writer.close()


def test_a_half_written_last_line_is_left_for_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _append(path, _event(1))
    whole = path.stat().st_size
    line = _event(2, text="ещё").to_line().encode()
    for cut in range(1, len(line)):  # also in the middle of a letter
        path.write_bytes(path.read_bytes()[:whole] + line[:cut])
        assert _look(path) == ([_event(1)], whole)
    path.write_bytes(path.read_bytes()[:whole] + line)
    assert _look(path, whole) == ([_event(2, text="ещё")], whole + len(line))


@pytest.mark.parametrize("broken", [b'{"kind":"prog\n', b"\xff\xfe\x00\n", b"\n", b"{}\n", b'{"kind":1}\r\n'])
def test_a_broken_complete_line_is_skipped_and_spoils_no_other(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(_event(1).to_line().encode() + broken + _event(2).to_line().encode())
    assert _look(path) == ([_event(1), _event(2)], path.stat().st_size)


def test_a_writer_after_a_kill_ends_the_half_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _append(path, _event(1), _event(2))
    seen = len(_event(1).to_line())
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 5)
    _append(path, _event(3))
    assert _look(path, seen) == ([_event(3)], path.stat().st_size)
    assert len(path.read_bytes().splitlines()) == 3


def test_a_writer_adds_no_empty_lines_to_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _append(path)
    _append(path, _event(1))
    _append(path, _event(2))
    assert path.read_text() == _event(1).to_line() + _event(2).to_line()


def _looks(path: Path) -> tuple[list[Event], int]:
    """Look until the offset no longer moves; return all events, and the number of looks that moved it."""
    reader = EventReader(path)
    events: list[Event] = []
    for moved in range(1000):
        before = reader.offset
        events += reader.look()
        if reader.offset == before:
            return events, moved
    pytest.fail("the offset always moves")


def test_a_long_record_is_read_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events = [_event(i, text="x" * 100_000) for i in range(100)]  # 10 MB
    _append(path, *events)
    first, offset = _look(path)
    assert 0 < offset <= CHUNK
    assert first == events[: len(first)]
    assert _looks(path) == (events, 3)
    assert all_events(path) == events
    assert all_events(tmp_path / "none") == []


@pytest.mark.parametrize("size", [LONGEST_LINE + 1, 3_000_000, CHUNK - 1, CHUNK, CHUNK + 1, 9_000_000])
@pytest.mark.parametrize("inside", [b"x", b'{"a": 1} ', _event(9).to_line().encode().rstrip() + b" "])
def test_a_line_that_is_too_long_is_skipped_wherever_chunks_end(tmp_path: Path, size: int, inside: bytes) -> None:
    path = tmp_path / "events.jsonl"
    long = (inside * (size // len(inside) + 1))[:size] + b"\n"
    path.write_bytes(_event(1).to_line().encode() + long + _event(2).to_line().encode() + long)
    _append(path, _event(3))
    assert all_events(path) == [_event(1), _event(2), _event(3)]
    assert _looks(path)[1] <= path.stat().st_size // LONGEST_LINE + 2


def test_a_line_that_grows_without_end_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _append(path, _event(1))
    events, offset = _look(path)
    assert events == [_event(1)]
    with path.open("ab") as file:
        file.write(b"x" * LONGEST_LINE)
    assert _look(path, offset) == ([], offset), "the line may still become an event"
    for _ in range(3):
        with path.open("ab") as file:
            file.write(b"x" * 1000)
        found, after = _look(path, offset)
        assert (found, after) == ([], path.stat().st_size)
        offset = after
    with path.open("ab") as file:
        file.write(_event(2).to_line().encode() + _event(3).to_line().encode())
    assert _look(path, offset) == ([_event(3)], path.stat().st_size), "the long line ends with event 2"


def test_a_record_that_became_shorter_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _append(path, _event(1), _event(2))
    offset = _look(path)[1]
    with path.open("r+b") as file:
        file.truncate(offset - 10)
    assert _look(path, offset) == ([_event(1)], len(_event(1).to_line()))
    _append(path, _event(3))
    assert all_events(path) == [_event(1), _event(3)]
    path.write_bytes(b"")
    assert _look(path, offset) == ([], 0)


def test_bytes_of_all_kinds_raise_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        bytes(range(256)) * 3 + b"\n" + b"[" * 900_000 + b"\n" + b'"\\ud800"\n\x00\n' + b"9" * 10_000 + b"\n"
    )
    _append(path, _event(1))
    assert all_events(path) == [_event(1)]


def test_a_reason_that_is_not_valid_text_is_written(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _append(path, _event(1, EventKind.STOPPED, reason="cannot read caf\udce9.wav"))
    assert all_events(path)[0].data["reason"] == "cannot read caf?.wav"


def test_a_run_directory_names_its_files_and_creates_nothing_by_itself(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "trial-0007")
    checkpoints = [run.last_checkpoint, run.previous_checkpoint, run.best_checkpoint]
    names = [run.config, run.events, run.log, *checkpoints, run.alignments, run.samples]
    assert [str(name.relative_to(run.path)) for name in names] == [
        "config.json",
        "events.jsonl",
        "trainer.log",
        "checkpoints/last.pt",
        "checkpoints/previous.pt",
        "checkpoints/best.pt",
        "alignments",
        "samples",
    ]
    assert not run.path.exists()
    run.create()
    run.create()
    assert sorted(path.name for path in run.path.iterdir()) == ["alignments", "checkpoints", "samples"]
    assert not run.has_checkpoint()
    run.previous_checkpoint.touch()
    assert run.has_checkpoint()


@pytest.mark.parametrize("name", WEIRD)
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    run = RunDir(tmp_path / name / "trial-0000")
    run.create()
    _append(run.events, _event(1))
    with write_atomically(run.last_checkpoint) as beside:
        beside.write_text("weights")
    assert _look(run.events)[0] == [_event(1)]
    assert run.last_checkpoint.read_text() == "weights"
    assert [path.name for path in tmp_path.iterdir()] == [name]
