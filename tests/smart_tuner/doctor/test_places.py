"""What `doctor` says of the workspace and its disks. Nothing is made there."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from smart_tuner.doctor import places
from smart_tuner.doctor.places import check_disks, check_workspace, network_file_system
from trainer.findings import State


def test_a_workspace_is_tried_and_not_made(tmp_path: Path) -> None:
    finding = check_workspace(tmp_path / "a" / "b")
    assert (finding.state, "does not exist yet" in finding.found) == (State.OK, True)
    assert check_workspace(tmp_path).found == f"{tmp_path} can be written."
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for workspace in (tmp_path / "file", tmp_path / "file" / "below"):
        finding = check_workspace(workspace)
        assert (finding.state, "another folder" in finding.mend) == (State.ERROR, True)


def test_a_workspace_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    finding = check_workspace(tmp_path)
    assert (finding.state, "Permission denied" in finding.found) == (State.ERROR, True)
    assert "fix its permissions" in finding.mend


def test_a_full_disk_is_an_error(disk: Callable[[int], Path]) -> None:
    folder = disk(2**20)
    assert check_disks(folder)[0].state is State.ERROR
    (folder / "all of it").write_bytes(bytes(os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize))
    finding = check_workspace(folder)
    assert (finding.state, "No space left" in finding.found) == (State.ERROR, True)


@pytest.mark.parametrize(("free", "state"), [(1e8, State.ERROR), (2e9, State.WARNING), (9e9, State.OK)])
def test_the_space_of_a_disk_is_told(
    free: float, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places.shutil, "disk_usage", lambda folder: SimpleNamespace(free=int(free)))
    (finding,) = check_disks(tmp_path)
    assert (finding.state, finding.found.startswith(f"{free / 1e9:.1f} GB free")) == (state, True)


def test_the_disk_of_the_cache_is_named_where_it_is_another(tmp_path: Path, disk: Callable[[int], Path]) -> None:
    (tmp_path / "cache").symlink_to(disk(2**20))
    found = check_disks(tmp_path)
    assert [finding.check for finding in found] == ["disk", "cache's disk"]
    assert found[1].state is State.ERROR


def test_a_network_file_system_is_known_by_its_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint=str(tmp_path), fstype="nfs4")]
    monkeypatch.setattr(places.psutil, "disk_partitions", lambda all: mounts)
    assert network_file_system(tmp_path / "w" / "studies.db") == "nfs4"
    assert network_file_system(Path("/no/such/file")) is None
