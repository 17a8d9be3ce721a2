"""A GPU has a number of slots for all processes of this user together; the slot of a dead process is free again."""

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smart_tuner.machine.gpu_leases import Lease, Leases, shared_folder

HOLDER = """
import sys
from pathlib import Path
from smart_tuner.machine.gpu_leases import Leases
lease = Leases(Path(sys.argv[1])).take("GPU-0", int(sys.argv[2]))
lease.report(123.0)
print("taken", flush=True)
input()
"""
Hold = Callable[[int], "subprocess.Popen[bytes]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "user" / "devices"


@pytest.fixture
def leases(folder: Path) -> Leases:
    return Leases(folder)


@pytest.fixture
def hold(folder: Path) -> Iterator[Hold]:
    """Have another process take one of the first `slots`."""
    begun = []

    def hold(slots: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", HOLDER, str(folder), str(slots)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"taken\n"
        return process

    yield hold
    for process in begun:
        process.kill()
        process.communicate()


def take(leases: Leases, uuid: str = "GPU-0", slots: int = 1) -> Lease:
    lease = leases.take(uuid, slots)
    assert lease is not None
    return lease


def test_there_are_as_many_slots_as_requested(leases: Leases) -> None:
    first = take(leases, slots=2)
    second = take(leases, slots=2)
    assert leases.take("GPU-0", 2) is None
    other = take(leases, "GPU-1", slots=1)
    first.release()
    first.release()
    third = take(leases, slots=2)
    assert leases.take("GPU-0", 2) is None
    for lease in (second, other, third):
        lease.release()


def test_another_process_holds_its_slot_until_it_dies(leases: Leases, hold: Hold) -> None:
    holder = hold(1)
    assert leases.take("GPU-0", 1) is None
    assert [(note.pid, note.held) for note in leases.notes("GPU-0", 1)] == [(holder.pid, 123.0)]
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert leases.notes("GPU-0") == []
    take(leases).release()


def test_a_smaller_number_of_slots_limits_only_its_own_tuner(leases: Leases, hold: Hold) -> None:
    holder = hold(2)
    assert leases.take("GPU-0", 1) is None  # the first slot is held
    mine = take(leases, slots=2)
    assert sorted(note.pid for note in leases.notes("GPU-0")) == sorted([holder.pid, os.getpid()])
    holder.kill()
    holder.wait()
    beside = take(leases, slots=1)  # holders of further slots do not matter
    mine.release()
    beside.release()


def test_a_note_shows_what_is_held_until_the_release(leases: Leases) -> None:
    lease = take(leases)
    assert [note.held for note in leases.notes("GPU-0")] == [None]
    lease.report(7e9)
    assert [note.held for note in leases.notes("GPU-0")] == [7e9]
    lease.report(5e8)
    assert [note.held for note in leases.notes("GPU-0")] == [5e8]
    lease.release()
    lease.report(1.0)
    assert leases.notes("GPU-0") == []


def test_the_note_of_a_process_whose_number_was_reused_is_ignored(leases: Leases, folder: Path) -> None:
    lease, file = take(leases), folder / "GPU-0.0.lock"
    note = json.loads(file.read_text())
    assert [one.pid for one in leases.notes("GPU-0")] == [os.getpid()]
    file.write_text(json.dumps({**note, "started": note["started"] - 3600}))
    assert leases.notes("GPU-0") == []
    lease.release()


def test_a_slot_survives_the_removal_of_its_file(leases: Leases, folder: Path) -> None:
    first = take(leases)
    (folder / "GPU-0.0.lock").unlink()
    second = take(leases)
    assert leases.take("GPU-0", 1) is None
    first.release()
    assert leases.take("GPU-0", 1) is None
    second.release()


def test_a_slot_survives_the_removal_of_its_file_while_it_is_taken(
    leases: Leases, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def remove_before(file: int, operation: int) -> None:
        (folder / "GPU-0.0.lock").unlink()
        flock(file, operation)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", remove_before)
        assert leases.take("GPU-0", 1) is None  # the next try succeeds
    lease = take(leases)
    assert leases.take("GPU-0", 1) is None
    lease.release()


def test_no_other_user_may_write_to_the_folder(leases: Leases, folder: Path) -> None:
    lease = take(leases, "GPU/../../0")
    assert [path.name for path in folder.iterdir()] == ["GPU_______0.0.lock"]
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    assert next(folder.iterdir()).stat().st_mode & 0o777 == 0o600
    lease.release()
    assert str(os.getuid()) in str(shared_folder())


@pytest.mark.parametrize("hindrance", ["a file", "open to all", "a link"])
def test_without_a_safe_folder_there_are_slots_for_all_and_one_warning(
    leases: Leases, folder: Path, caplog: pytest.LogCaptureFixture, hindrance: str, tmp_path: Path
) -> None:
    if hindrance == "a file":
        folder.parent.write_text("")
    elif hindrance == "a link":
        folder.parent.symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere").mkdir(mode=0o700)
    else:
        folder.mkdir(parents=True)
        folder.parent.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        for lease in [take(leases) for _ in range(3)]:
            lease.report(1.0)
            lease.release()
    assert len(caplog.records) == 1
    assert str(folder) in caplog.text
    assert leases.notes("GPU-0") == []
