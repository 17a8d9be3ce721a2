"""A trainer of this machine: its log stays within limits, its record is read to the end, its GPU is released."""

import os
import signal
import sys
import threading
from pathlib import Path

import fake_gpus
import pytest
from fake_gpus import FakeGpus
from lab import FAKE_TRAINER
from waiting import wait_until

from smart_tuner.executors import Launch, local
from smart_tuner.executors.local import LocalExecutor
from tests.contract.test_executors import WHOLE_TRIAL, kinds, prepare
from trainer.protocol import ExitCode

CHATTERBOX = """
import os, sys, time
from pathlib import Path
folder = Path(sys.argv[2]).parent
for line in range(20_000):
    print(f"line {line}", flush=True)
    if line % 100 == 0:
        time.sleep(0.005)
        (folder / "largest").write_text(str(max(os.fstat(1).st_size, int((folder / "largest").read_text()))))
print("the last line", flush=True)
"""


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    monkeypatch.setattr(local, "RELEASE_SECONDS", 0.3)
    return fake_gpus.install(tmp_path / "driver", monkeypatch, count=2)


def on_gpu(launch: Launch) -> Launch:
    return Launch(launch.run_dir, "cuda:1", launch.threads)


def test_of_a_log_that_is_too_large_the_end_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOG_LIMIT", 20_000)
    monkeypatch.setattr(local, "LOG_KEPT", 2_000)
    launch = prepare(tmp_path / "run")
    (tmp_path / "run" / "largest").write_text("0")
    with LocalExecutor(command=(sys.executable, "-c", CHATTERBOX), standby=False).launch(launch) as run:
        list(run.events())
        ended = run.exit
    assert ended.log_tail.endswith("the last line")
    log = launch.run_dir.log.read_bytes()
    assert len(log) <= 25_000
    assert b"\0" not in log
    assert b"[the log had " in log  # not at the start: the trainer writes meanwhile
    assert int((tmp_path / "run" / "largest").read_text()) < 100_000  # of 200 kB


def test_a_log_within_the_limit_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOG_LIMIT", 1_000)
    launch = prepare(tmp_path / "run")
    launch.run_dir.log.write_text("x" * 900 + "\n")
    with LocalExecutor(command=FAKE_TRAINER, standby=False).launch(launch) as run:
        list(run.events())
    assert launch.run_dir.log.read_text() == "x" * 900 + "\nfake trainer at work\n"


def test_the_record_is_read_to_its_end_in_small_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.protocol.CHUNK", 1000)  # one or two events
    with LocalExecutor(command=FAKE_TRAINER, standby=False).launch(prepare(tmp_path / "run")) as run:
        wait_until(run._tree.has_ended)
        assert kinds(list(run.events())) == WHOLE_TRIAL


def test_a_released_gpu_costs_one_call_of_the_driver(gpus: FakeGpus, tmp_path: Path) -> None:
    gpus.hold((1, os.getpid(), 100))  # somebody else's
    with LocalExecutor(command=FAKE_TRAINER, standby=False).launch(on_gpu(prepare(tmp_path / "run"))) as run:
        list(run.events())
        assert gpus.asked() == []
    (asked,) = gpus.asked()
    assert "compute-apps" in asked
    assert asked.endswith("--id=1")
    run.close()
    assert len(gpus.asked()) == 1


def test_the_next_trial_waits_until_the_memory_is_released(gpus: FakeGpus, tmp_path: Path) -> None:
    with LocalExecutor(command=FAKE_TRAINER, standby=False).launch(on_gpu(prepare(tmp_path / "run"))) as run:
        list(run.events())
        gpus.hold((1, run.pid, 100))
        timer = threading.Timer(0.1, gpus.hold)
        timer.start()
    assert not timer.is_alive()
    assert len(gpus.asked()) > 1


def test_memory_that_is_never_released_is_logged(
    gpus: FakeGpus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with LocalExecutor(command=FAKE_TRAINER, standby=False).launch(on_gpu(prepare(tmp_path / "run"))) as run:
        list(run.events())
        gpus.hold((1, run.pid, 100))
    (record,) = caplog.records
    assert record.getMessage() == f"cuda:1: its memory is still held by killed process {run.pid}"


def test_on_the_cpu_the_driver_is_not_called(gpus: FakeGpus, tmp_path: Path) -> None:
    with LocalExecutor(command=FAKE_TRAINER, standby=False).launch(prepare(tmp_path / "run")) as run:
        list(run.events())
    assert gpus.asked() == []


def test_a_trainer_sees_only_its_own_gpu(gpus: FakeGpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    show = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    with LocalExecutor(command=(sys.executable, "-c", show), standby=False).launch(on_gpu(prepare(tmp_path))) as run:
        list(run.events())
        assert run.exit.log_tail == "GPU-5"


def test_a_trainer_that_the_kernel_kills_for_memory_has_that_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = iter([3, 4])
    monkeypatch.setattr(local, "memory_kills", lambda: next(kills))
    with LocalExecutor(5.0, FAKE_TRAINER, standby=False).launch(prepare(tmp_path / "run", act=["killed"])) as run:
        list(run.events())
        assert run.exit.exit_code == ExitCode.OUT_OF_MEMORY


def test_a_trainer_that_we_or_others_kill_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "memory_kills", lambda: 3)
    executor = LocalExecutor(5.0, FAKE_TRAINER, standby=False)
    with executor.launch(prepare(tmp_path / "killed", act=["killed"])) as run:
        list(run.events())
        assert run.exit.exit_code == -signal.SIGKILL
    kills = iter(range(99))
    monkeypatch.setattr(local, "memory_kills", lambda: next(kills))
    with executor.launch(prepare(tmp_path / "ours", hold_at=1)) as run:
        next(run.events())
        run.kill()
        list(run.events())
        assert run.exit.exit_code == -signal.SIGKILL
