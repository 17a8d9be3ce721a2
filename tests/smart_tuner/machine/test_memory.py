"""A container's limit counts where it leaves less than the machine has."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from smart_tuner.machine.memory import available_memory

GB = 10**9


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=20 * GB))


def write(folder: Path, files: dict[str, object]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"{text}\n")
    return folder


def version_2(folder: Path, limit: object, used: int, files: int = 0) -> Path:
    statistics = f"anon {used - files}\ninactive_file {files}"
    return write(folder, {"memory.max": limit, "memory.current": used, "memory.stat": statistics})


def test_without_control_groups_it_is_the_machines(tmp_path: Path) -> None:
    assert available_memory(tmp_path) == 20 * GB


def test_a_group_without_a_limit(tmp_path: Path) -> None:
    assert available_memory(version_2(tmp_path, "max", 3 * GB)) == 20 * GB


def test_what_the_limit_leaves(tmp_path: Path) -> None:
    assert available_memory(version_2(tmp_path, 8 * GB, 5 * GB)) == 3 * GB


def test_a_limit_beyond_what_the_machine_has(tmp_path: Path) -> None:
    assert available_memory(version_2(tmp_path, 64 * GB, 5 * GB)) == 20 * GB


def test_pages_of_files_are_taken_back_when_they_are_needed(tmp_path: Path) -> None:
    assert available_memory(version_2(tmp_path, 8 * GB, 7 * GB, files=4 * GB)) == 5 * GB


def test_a_limit_that_was_lowered_below_what_is_held(tmp_path: Path) -> None:
    assert available_memory(version_2(tmp_path, 2 * GB, 3 * GB)) == 0


def test_version_1(tmp_path: Path) -> None:
    files = {
        "memory/memory.limit_in_bytes": 8 * GB,
        "memory/memory.usage_in_bytes": 6 * GB,
        "memory/memory.stat": f"inactive_file 0\ntotal_inactive_file {GB}",
    }
    assert available_memory(write(tmp_path, files)) == 3 * GB
