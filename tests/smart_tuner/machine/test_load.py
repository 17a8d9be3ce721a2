"""How busy the machine is, measured by a thread."""

from pathlib import Path

import fake_gpus
import pytest
from waiting import wait_until

from smart_tuner.machine import load
from smart_tuner.machine.load import GpuLoad, LoadGauge, measure

MIB = 2**20


def test_gpus_are_measured_with_their_memory_and_how_busy_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = fake_gpus.install(tmp_path / "driver", monkeypatch, count=2)
    gpus.use(0, 300, busy=45)
    gpus.use(1, 0, busy="[N/A]")
    assert measure().gpus == (
        GpuLoad("cuda:0", 0.45, 300 * MIB, 1000 * MIB),
        GpuLoad("cuda:1", None, 0, 1000 * MIB),
    )


def test_without_a_gpu_only_the_machine_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "read_cards", lambda: {})
    found = measure()
    assert found.gpus == ()
    assert 0 < found.used < found.total
    assert 0 <= found.busy <= 1


def test_the_gauge_does_not_wait_for_a_driver_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\ntouch asked\nexec sleep 5\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)
    with LoadGauge(seconds=0.01) as gauge:
        wait_until((tmp_path / "asked").exists)
        assert gauge.now is None
