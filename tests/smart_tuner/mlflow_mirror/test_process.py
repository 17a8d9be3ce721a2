"""The process of the mirror: when it is killed, when a store is unavailable, and how often it works."""

import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab import is_alive
from mirror_lab import Lab, progress
from waiting import wait_until

from smart_tuner.errors import MlflowUnavailable
from smart_tuner.mlflow_mirror import sink as mlflow_sink
from smart_tuner.mlflow_mirror.mirror import MlflowMirror, Synced
from smart_tuner.mlflow_mirror.process import ORPHAN_SECONDS, Pending, Rounds
from smart_tuner.mlflow_mirror.sink import MlflowSink, known_run_id, sync_now
from smart_tuner.results import feasible_trials

LOGGER = "smart_tuner.mlflow_mirror.sink"
CLOSED_PORT = "http://me:hunter2@127.0.0.1:9"


@pytest.mark.slow
def test_the_process_brings_everything_up_to_date_even_if_it_is_killed(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    sink = MlflowSink(lab.job(), restart_pause=0.01)
    trial = lab.begin()
    lab.write(0, [progress(1)])
    sink.notify(0)
    wait_until(lambda: any("trial" in run.data.tags for run in lab.runs()), seconds=60)
    assert sink._process is not None
    sink._process.kill()
    lab.finish(trial, 0.5)
    lab.begin()  # without `notify`
    assert sink.close(timeout=60)
    assert lab.best() == ["trial-0000"]
    assert lab.run(1).info.status == "RUNNING"
    assert sink.close(timeout=0)
    assert not is_alive(sink._process.pid)
    assert [record.levelno for record in caplog.records if record.name == LOGGER] in ([], [logging.WARNING])


@pytest.mark.slow
def test_an_unreachable_mlflow_is_logged_once_without_the_password(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    lab.write(lab.begin().number, [progress(1)])
    sink = MlflowSink(lab.job(CLOSED_PORT))
    sink.notify(0)
    wait_until(lambda: len(caplog.records) >= 3, seconds=60)
    assert not sink.close(timeout=0.2)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "http://me:***@127.0.0.1:9 is behind" in warnings[0]
    assert "smart-tuner sync" in warnings[0]
    assert "hunter2" not in caplog.text
    assert sink._process is not None
    assert not is_alive(sink._process.pid)


def test_the_process_gets_the_environment_of_mlflow_and_none_of_our_secrets(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needed = ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD")
    for name in (*needed, "telegram_token", "TELEGRAM_CHAT_ID", "smart_tuner_storage", "HF_TOKEN"):
        monkeypatch.setenv(name, "hunter2")
    names = "sorted(name for name, value in os.environ.items() if value == 'hunter2')"
    command = f"import json, os; print(json.dumps({{'behind': ' '.join({names})}}))"
    monkeypatch.setattr(mlflow_sink, "_COMMAND", ("-c", command))
    sink = MlflowSink(lab.job())
    sink.notify(0)
    wait_until(lambda: "is behind" in caplog.text, seconds=60)
    sink.close(timeout=0)
    assert f"is behind ({' '.join(needed)})" in caplog.messages[0]


class Misread(MlflowMirror):
    """Its driver takes the end of the password for the host."""

    def sync_study(self, **options: Any) -> Synced:
        raise OSError("failed to resolve host 'eim@host'")

    def run_id(self, number: int) -> str | None:
        raise OSError("failed to resolve host 'eim@host'")


@pytest.mark.parametrize("where", ["tracking uri", "storage"])
def test_a_part_of_a_password_that_a_driver_takes_for_the_host_is_shown_nowhere(
    lab: Lab, where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    url = "postgresql+psycopg://me:geh@eim@host/mlflow"
    job = lab.job(url) if where == "tracking uri" else replace(lab.job(), storage_url=url)
    mirror = Misread(job.mirror, lab.study, feasible_trials)
    output = io.StringIO()
    assert not Rounds(mirror, job, Pending(), output).sync_study()
    with pytest.raises(MlflowUnavailable, match="its message is withheld") as caught:
        sync_now(mirror, job.storage_url)
    assert known_run_id(mirror, job.storage_url, 0) is None
    monkeypatch.setattr(mlflow_sink, "_COMMAND", ("-c", """print('{"behind": "eim@host"}\\neim@host'); exit(3)"""))
    sink = MlflowSink(job)
    sink.notify(0)
    wait_until(lambda: "its process has exited: exit code 3; " in caplog.text, seconds=60)
    sink.close(timeout=0)
    for shown in (output.getvalue(), str(caught.value), *caplog.messages[:3]):
        assert "withheld" in shown
        assert not re.search("geh|eim", shown)


@pytest.mark.parametrize("what", ["store", pytest.param("artifacts", marks=pytest.mark.slow)])
def test_the_process_waits_while_the_disk_is_full(
    lab: Lab, disk: Callable[[int], Path], caplog: pytest.LogCaptureFixture, what: str
) -> None:
    store, artifacts = lab.workspace / "mlflow.db", lab.workspace / "mlartifacts"
    small = disk(store.stat().st_size + 2**20)
    if what == "store":
        lab = replace(lab, uri=f"sqlite:///{shutil.copy(store, small)}")
    else:
        artifacts.symlink_to(small)
    trial = lab.begin()
    lab.write(0, [progress(update) for update in range(1, 50)])
    lab.finish(trial, 0.5)
    with (small / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))
    sink = MlflowSink(lab.job(first_wait=0.1, longest_wait=0.1))
    sink.notify(0)
    wait_until(lambda: "is behind" in caplog.text, seconds=60)
    (small / "filler").unlink()
    assert sink.close(timeout=60)
    assert len(lab.curve(0, "train/loss")) == 49
    assert lab.run(0).info.status == "FINISHED"
    files = [file.path for file in lab.client.list_artifacts(lab.run(0).info.run_id)]
    assert {"config.json", "trainer.log"} <= set(files)


def test_nobody_waits_for_a_stopped_process(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    sink = MlflowSink(lab.job())
    sink.notify(0)
    wait_until(lambda: sink._process is not None, seconds=60)
    assert sink._process is not None
    os.kill(sink._process.pid, signal.SIGSTOP)
    began = time.monotonic()
    for number in range(100_000):  # more than a pipe holds
        sink.notify(number)
    time.sleep(0.2)
    assert not sink.close(timeout=0.1)
    assert time.monotonic() - began < 5
    assert not caplog.messages  # the caller reports what is missing
    assert not is_alive(sink._process.pid)


@pytest.mark.slow
def test_a_process_at_our_own_priority_replaces_a_starved_one_at_the_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError("only root gives a priority back")

    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(mlflow_sink, "_LOOK_SECONDS", 0.1)
    trial = lab.begin()
    lab.write(0, [progress(1)])
    lab.finish(trial, 0.5)
    sink = MlflowSink(lab.job())
    sink.notify(0)
    wait_until(lambda: sink._process is not None, seconds=60)
    assert sink._process is not None
    starved = sink._process.pid
    os.kill(starved, signal.SIGSTOP)
    assert sink.close(timeout=60)
    assert not is_alive(starved)
    assert lab.best() == ["trial-0000"]


def test_a_process_that_waits_for_a_slow_mlflow_at_the_end_is_not_replaced(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError("only root gives a priority back")

    starts = tmp_path / "starts"
    wait = "next(line for line in sys.stdin if 'finish' in line); time.sleep(2)"
    program = f"import sys, time; open({str(starts)!r}, 'a').write('started '); {wait}"
    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(mlflow_sink, "_LOOK_SECONDS", 0.5)
    monkeypatch.setattr(mlflow_sink, "_COMMAND", ("-c", program))
    sink = MlflowSink(lab.job())
    sink.notify(0)
    wait_until(starts.exists, seconds=60)
    assert sink.close(timeout=60)
    assert starts.read_text() == "started "


def test_the_process_does_not_outlive_a_killed_tuner_and_syncs_once_more(lab: Lab) -> None:
    trial = lab.begin()
    lab.write(0, [progress(1)])
    argv = [sys.executable, "-m", "smart_tuner.mlflow_mirror.process"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(lab.job().to_line())
        process.stdin.flush()
        wait_until(lambda: bool(lab.runs()), seconds=60)
        lab.finish(trial, 0.5)
        process.stdin.close()
        assert process.wait(ORPHAN_SECONDS + 10) == 0
    assert lab.run(0).info.status == "FINISHED"


class Failing(MlflowMirror):
    """Fails the first few times, and always for some trials."""

    failures = 0
    calls = 0
    bad: tuple[int, ...] = ()

    def sync_study(self, **options: Any) -> Synced:
        return Synced(0, 0, 0)

    def sync_trials(self, numbers: Sequence[int]) -> Iterator[int]:
        self.calls += 1
        for number in numbers:
            if self.calls <= self.failures or number in self.bad:
                raise OSError("the store is down")
            yield from super().sync_trials([number])


def test_rounds_go_on_after_an_outage_and_past_a_trial_that_fails(lab: Lab) -> None:
    for number in range(3):
        lab.begin()
        lab.write(number, [progress(1)])
    mirror = Failing(lab.settings(), lab.study, feasible_trials)
    mirror.failures = 3
    mirror.bad = (0,)
    output = io.StringIO()
    pending = Pending()
    rounds = Rounds(mirror, lab.job(pause=0.01, first_wait=0.01, longest_wait=0.02), pending, output)
    pending.add([0, 1, 2])  # added once, tried until it works
    thread = threading.Thread(target=rounds.run)
    thread.start()
    wait_until(lambda: len([run for run in lab.runs() if "trial" in run.data.tags]) == 2, seconds=60)
    pending.finish(1.0)
    thread.join(10)
    assert not thread.is_alive()
    assert mirror.calls > 4
    assert json.loads(output.getvalue().splitlines()[0]) == {"behind": "OSError: the store is down"}


def test_the_pause_after_a_round_is_many_times_its_cpu_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100, 3))  # each round takes three seconds of CPU
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    pauses: list[float] = []

    class Watched(Pending):
        def is_finishing(self, within: float = 0.0) -> bool:
            pauses.append(within)
            return len(pauses) > 4

        def take(self) -> list[int]:
            return []

    assert Rounds(Failing(lab.settings(), lab.study, feasible_trials), lab.job(), Watched(), sys.stdout).run()
    assert pauses == [0.0, 60.0, 0.0, 60.0, 0.0]
