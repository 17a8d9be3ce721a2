"""Files are replaced as a whole, and a lock is held by one process or thread at a time."""

import errno
import os
from pathlib import Path

import pytest

from trainer.files import lock, try_lock, write_atomically


def test_a_file_is_replaced_when_writing_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "last.pt"
    for content in ("first", "second"):
        with write_atomically(path) as beside:
            assert beside.parent == path.parent
            assert beside.suffix == path.suffix
            beside.write_text(content)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == content
    assert list(path.parent.iterdir()) == [path]


def _save(path: Path, content: str, keep: Path) -> None:
    with write_atomically(path, keep) as beside:
        beside.write_text(content)


def test_the_old_file_is_kept_under_another_name(tmp_path: Path) -> None:
    path, keep = tmp_path / "last.pt", tmp_path / "previous.pt"
    _save(path, "first", keep)
    assert not keep.exists()
    for content, before in (("second", "first"), ("third", "second")):
        _save(path, content, keep)
        assert (path.read_text(), keep.read_text()) == (content, before)
    keep.unlink()
    keep.hardlink_to(path)  # as after a kill between the two renamings
    _save(path, "fourth", keep)
    assert (path.read_text(), keep.read_text()) == ("fourth", "third")
    path.unlink()  # as a checkpoint that cannot be read
    _save(path, "fifth", keep)
    assert (path.read_text(), keep.read_text()) == ("fifth", "third")
    assert sorted(tmp_path.iterdir()) == [path, keep]


def test_at_each_moment_one_of_the_names_has_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, keep = tmp_path / "last.pt", tmp_path / "previous.pt"
    _save(path, "first", keep)
    replace = os.replace
    seen = []

    def look(source: Path, target: Path) -> None:
        for _ in range(2):  # before and after
            seen.append({each.read_text() for each in (path, keep) if each.exists()})
            if len(seen) % 2:
                replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    _save(path, "second", keep)
    _save(path, "third", keep)
    assert len(seen) == 8
    assert all(seen)
    assert set().union(*seen) == {"first", "second", "third"}


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSPC])
def test_without_hard_links_the_old_file_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path, keep = tmp_path / "last.pt", tmp_path / "previous.pt"
    _save(path, "first", keep)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    if number == errno.ENOSPC:
        with pytest.raises(OSError, match="No space"):
            _save(path, "second", keep)
        assert path.read_text() == "first"
        assert list(tmp_path.iterdir()) == [path]
        return
    _save(path, "second", keep)
    assert (path.read_text(), keep.read_text()) == ("second", "first")
    assert sorted(tmp_path.iterdir()) == [path, keep]


def test_a_link_that_a_killed_process_of_the_same_number_left_is_not_written_to(tmp_path: Path) -> None:
    path, other = tmp_path / "last.pt", tmp_path / "reported.pt"
    other.write_text("whole")
    with write_atomically(path) as beside:
        beside.write_text("first")
    for again in ("by a write", "by a link"):
        beside.hardlink_to(other)  # as after a kill between the link and the renaming
        with write_atomically(path) as beside:
            if again == "by a write":
                beside.write_text("second")
            else:
                beside.hardlink_to(other)
        assert other.read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == [path, other]


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


def test_a_lock_is_held_by_one_at_a_time_and_waiting_may_end(tmp_path: Path) -> None:
    path, looks = tmp_path / "a.lock", []

    def give_up() -> None:
        looks.append(1)
        if len(looks) == 2:
            raise TimeoutError

    def wait_for_the_lock() -> None:
        with lock(path, give_up):
            pass

    with lock(path):
        with path.open("a") as file:
            assert not try_lock(file)
        with pytest.raises(TimeoutError):
            wait_for_the_lock()
    assert len(looks) == 2
    with lock(path, lambda: pytest.fail("it is free")):
        pass
