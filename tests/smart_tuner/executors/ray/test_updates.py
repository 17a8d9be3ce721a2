"""Updates from a node have events and checkpoints that agree, whatever the trainer writes meanwhile."""

from pathlib import Path
from typing import Any

import pytest

from smart_tuner.executors.ray.updates import LOG_BYTES, Delivery, Received, Updates
from trainer.files import write_atomically
from trainer.protocol import Event, EventKind, EventWriter, RunDir


class Trainer:
    """Writes what a trainer writes, step by step."""

    def __init__(self, folder: Path) -> None:
        self.run_dir = RunDir(folder / "run")
        self.run_dir.create()
        self.events = EventWriter(self.run_dir.events)

    def validate(self, index: int) -> None:
        data = {"index": index, "best": True, "loss": 1.0, "alignment": 0.5}
        self.events.write(Event(EventKind.VALIDATION, index, index, data))

    def save(self, index: int) -> None:
        with write_atomically(self.run_dir.last_checkpoint, self.run_dir.previous_checkpoint) as beside:
            beside.write_text(str(index))

    def announce(self, index: int) -> None:
        self.events.write(Event(EventKind.CHECKPOINT, index, index, {"path": "checkpoints/last.pt", "best": False}))


@pytest.fixture
def trainer(tmp_path: Path) -> Any:
    trainer = Trainer(tmp_path)
    yield trainer
    trainer.events.close()


def events_in(delivery: Delivery, kind: EventKind) -> list[int]:
    events = [Event.from_line(line) for line in delivery.events.decode().splitlines()]
    return [event.update for event in events if event.kind is kind]


def saved(updates: Updates, delivery: Delivery) -> int:
    (number,) = [file.number for file in delivery.replaced if file.name == "checkpoints/last.pt"]
    return int(updates.read(number, 0))


def test_events_without_a_checkpoint_go_alone(trainer: Trainer, tmp_path: Path) -> None:
    updates = Updates(trainer.run_dir, tmp_path)
    trainer.save(1)
    trainer.validate(1)
    delivery = updates.delivery(Received(0), ended=False)
    assert events_in(delivery, EventKind.VALIDATION) == [1]
    assert delivery.replaced == ()
    assert delivery.size == trainer.run_dir.events.stat().st_size


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_checkpoint_never_includes_a_report_that_is_not_sent_with_it(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    updates = Updates(trainer.run_dir, tmp_path)
    link, left = updates.link, [lambda: trainer.validate(2), lambda: trainer.save(2), lambda: trainer.announce(2)]

    def link_while_the_trainer_goes_on(received: Received) -> Any:
        for step in left[:steps]:
            step()
        del left[:steps]
        return link(received)

    monkeypatch.setattr(updates, "link", link_while_the_trainer_goes_on)
    trainer.validate(1)
    trainer.save(1)
    trainer.announce(1)
    delivery = updates.delivery(Received(0), ended=False)
    assert saved(updates, delivery) <= max(events_in(delivery, EventKind.VALIDATION))
    assert saved(updates, delivery) >= max(events_in(delivery, EventKind.CHECKPOINT))


def test_a_file_is_sent_as_it_was_when_it_was_linked_and_the_previous_one_is_not_sent_again(
    trainer: Trainer, tmp_path: Path
) -> None:
    updates = Updates(trainer.run_dir, tmp_path)
    for index in (1, 2):
        trainer.save(index)
    trainer.announce(2)
    delivery = updates.delivery(Received(0), ended=False)
    assert [file.name for file in delivery.replaced] == ["checkpoints/last.pt"]
    trainer.save(3)
    assert saved(updates, delivery) == 2


def test_a_received_file_is_not_sent_again_but_a_lost_answer_is(trainer: Trainer, tmp_path: Path) -> None:
    updates = Updates(trainer.run_dir, tmp_path)
    trainer.save(1)
    trainer.announce(1)
    first, again = (updates.delivery(Received(0), ended=True) for _ in range(2))
    assert again.events == first.events
    assert [file.name for file in again.replaced] == [file.name for file in first.replaced]
    received = Received(first.size, stamps={file.name: file.stamp for file in first.replaced})
    assert updates.delivery(received, ended=True) == Delivery(b"", first.size, (), ())


def test_a_half_written_line_waits_and_a_record_that_was_cut_is_sent_again(trainer: Trainer, tmp_path: Path) -> None:
    updates = Updates(trainer.run_dir, tmp_path)
    trainer.validate(1)
    whole = trainer.run_dir.events.stat().st_size
    with trainer.run_dir.events.open("ab") as file:
        file.write(b'{"kind":')
    assert updates.delivery(Received(0), ended=False).size == whole
    assert updates.delivery(Received(whole), ended=False).events == b""
    assert events_in(updates.delivery(Received(10 * whole), ended=False), EventKind.VALIDATION) == [1]


def test_of_a_log_that_grows_too_fast_the_end_is_sent_and_tensorboard_as_a_whole(
    trainer: Trainer, tmp_path: Path
) -> None:
    updates = Updates(trainer.run_dir, tmp_path)
    (tmp_path / "tensorboard" / "sub").mkdir(parents=True)
    (tmp_path / "tensorboard" / "sub" / "events").write_bytes(b"12345")
    trainer.run_dir.log.write_bytes(b"x" * (LOG_BYTES + 1) + b"the end")
    log, board = updates.delivery(Received(0, appended={"tensorboard/sub/events": 2}), ended=True).appended
    assert log.size == LOG_BYTES + 8
    assert log.data.startswith(b"\n... 8 bytes are left out here ...\n")
    assert log.data.endswith(b"the end")
    assert (board.name, board.data, board.size) == ("tensorboard/sub/events", b"345", 5)


def test_the_list_of_suspects_is_sent_when_it_has_changed(trainer: Trainer, tmp_path: Path) -> None:
    updates = Updates(trainer.run_dir, tmp_path)
    received = Received(0)

    def sent() -> list[str]:
        files = [file for file in updates.link(received) if file.name == "suspects.csv"]
        received.stamps |= {file.name: file.stamp for file in files}
        return [updates.read(file.number, 0).decode() for file in files]

    assert sent() == []
    for content in ("id\n1\n", "id\n1\n2\n"):
        with write_atomically(trainer.run_dir.suspects) as beside:
            beside.write_text(content, encoding="utf-8")
        assert sent() == [content]
        assert sent() == []
