"""The contract of all executors. Another executor is one more line in `MAKERS`."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from lab import FAKE_TRAINER, is_alive, trainers_in
from waiting import wait_until

from smart_tuner.executors import Executor, Launch
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.machine.capacity import Demand
from trainer.protocol import EventKind, EventReader, ExitCode, RunDir, all_events


def on_ray(grace: float, folder: Path) -> Executor:
    from smart_tuner.executors.ray.executor import RayExecutor

    # Beside `folder`, with a name that begins in the same way, so that `trainers_in(folder)` finds its trainers.
    nodes = folder.with_name(f"{folder.name}-nodes")
    return RayExecutor(os.environ["RAY_TEST_CLUSTER"], grace, FAKE_TRAINER, node_folder=str(nodes))


# Each makes an executor of the fake trainer, from the grace time in seconds and the test's folder.
MAKERS: dict[str, Callable[[float, Path], Executor]] = {
    "local": lambda grace, _: LocalExecutor(grace, FAKE_TRAINER, standby=False),
    "local, with standby": lambda grace, _: LocalExecutor(grace, FAKE_TRAINER),
    "ray": on_ray,
}
SLOW = {"ray": pytest.mark.slow}  # 40 s on two cores; test_ray.py has the fast tests
WHOLE_TRIAL = ["started", *(["progress", "validation", "checkpoint"] * 4), "free_running", "finished"]


@pytest.fixture(params=[pytest.param(name, marks=SLOW.get(name, ())) for name in MAKERS])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Executor]]:
    made = []
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")

    def make(grace: float = 10.0) -> Executor:
        made.append(MAKERS[request.param](grace, tmp_path))
        return made[-1]

    yield make
    for executor in made:
        executor.close()
    assert not trainers_in(tmp_path)
    assert not [child for child in psutil.Process().children() if FAKE_TRAINER[1] in child.cmdline()]


def prepare(folder: Path, **orders: Any) -> Launch:
    folder.mkdir(parents=True, exist_ok=True)
    config = {"optimizer": {"lr": 3e-3}, "fake": orders}
    RunDir(folder).config.write_text(json.dumps(config), encoding="utf-8")
    return Launch(RunDir(folder), device="cpu", threads=1)


def folder_of(run: Any, launch: Launch) -> Path:
    """The folder in which the trainer works: the trial's directory, or the node's copy of it."""
    return getattr(run, "folder", launch.run_dir.path)


def kinds(events: list[Any]) -> list[str]:
    """All but the events of best checkpoints."""
    return [e.kind.value for e in events if not e.data.get("path", "").endswith("best.pt")]


@pytest.mark.parametrize(("demand", "most"), [(Demand("tiny", 1, 5, "cpu"), 1), (Demand("tiny", 50, 3, "cpu"), 3)])
def test_capacity_names_a_device_for_each_trial_and_no_more_than_are_asked_for(
    make: Callable[..., Executor], demand: Demand, most: int
) -> None:
    capacity = make().capacity(demand)
    assert capacity.devices == ("cpu",) * most
    assert (capacity.jobs, capacity.threads >= 1) == (most, True)


def test_by_default_there_is_capacity_for_at_least_one_trial(make: Callable[..., Executor]) -> None:
    capacity = make().capacity(Demand("full", 1))
    assert (capacity.jobs, len(capacity.devices)) == (1, 1)


def test_admission_admits_the_first_trial_and_none_after_the_run_was_given_up(make: Callable[..., Executor]) -> None:
    executor = make()
    capacity = executor.capacity(Demand("tiny", 2, 2, "cpu"))
    admission = executor.admission(capacity, "tiny")
    given_up = threading.Event()
    assert admission.enter(0, capacity.devices[0], given_up, lambda: True)
    admission.note_held(0, 1e9)
    admission.leave(0)
    admission.leave(1)  # it has not entered
    given_up.set()
    assert not admission.enter(1, capacity.devices[1], given_up, lambda: True)


def test_all_events_of_a_trial_come_in_order(make: Callable[..., Executor], tmp_path: Path) -> None:
    with make().launch(prepare(tmp_path / "run")) as run:
        events = list(run.events())
        ended = run.exit
    assert kinds(events) == WHOLE_TRIAL
    assert [e.frames for e in events] == sorted(e.frames for e in events)
    assert [e.data["index"] for e in events if e.kind is EventKind.VALIDATION] == [1, 2, 3, 4]
    assert ended.exit_code == ExitCode.FINISHED
    assert ended.log_tail == "fake trainer at work"


def test_events_are_followed_live(make: Callable[..., Executor], tmp_path: Path) -> None:
    launch = prepare(tmp_path / "run", hold_at=2)
    with make().launch(launch) as run:
        seen = []
        for event in run.events():
            seen.append(event)
            if event.data.get("index") == 2:  # the trainer now waits for the file `go`
                assert trainers_in(tmp_path)
                (folder_of(run, launch) / "go").touch()
    assert kinds(seen) == WHOLE_TRIAL


def test_an_unfinished_line_is_read_when_it_is_complete(make: Callable[..., Executor], tmp_path: Path) -> None:
    launch = prepare(tmp_path / "run", act=["half line"])
    with make().launch(launch) as run:
        events = run.events()
        seen = [next(events)]
        reader = threading.Thread(target=lambda: seen.extend(events))
        reader.start()
        wait_until(lambda: (folder_of(run, launch) / "half").exists())
        time.sleep(0.25)  # two looks at the half line
        assert EventKind.CORRECTION not in [e.kind for e in seen]
        (folder_of(run, launch) / "go").touch()
        reader.join(20)
    assert [e.data["what"] for e in seen if e.kind is EventKind.CORRECTION] == ["половина"]
    assert len(kinds(seen)) == len(WHOLE_TRIAL) + 1


def test_lines_that_are_no_events_are_skipped(make: Callable[..., Executor], tmp_path: Path) -> None:
    with make().launch(prepare(tmp_path / "run", act=["garbage"])) as run:
        assert kinds(list(run.events())) == WHOLE_TRIAL


def test_stop_lets_the_trainer_save_and_may_be_repeated(make: Callable[..., Executor], tmp_path: Path) -> None:
    with make().launch(prepare(tmp_path / "run", hold_at=2)) as run:
        seen = []
        for event in run.events():
            seen.append(event)
            if event.data.get("index") == 2:
                for _ in range(3):
                    run.stop()
        ended = run.exit
        run.stop()
        run.kill()
    assert seen[-1].kind is EventKind.STOPPED
    assert seen[-1].data["reason"] in ("received SIGTERM", "asked by the process that watches this trial")
    assert ended.exit_code == ExitCode.STOPPED


def test_a_trainer_that_ignores_the_request_is_killed_with_its_children_after_the_grace_time(
    make: Callable[..., Executor], tmp_path: Path
) -> None:
    launch = prepare(tmp_path / "run", act=["deaf", "child"], hold_at=2)
    with make(0.5).launch(launch) as run:
        asked = child = 0.0
        for event in run.events():
            if event.data.get("index") == 2:
                child = int((folder_of(run, launch) / "child.pid").read_text())
                assert is_alive(int(child))
                asked = time.monotonic()
                run.stop()
        took = time.monotonic() - asked
        ended = run.exit
    assert ended.exit_code == -signal.SIGKILL
    assert 0.4 < took < 5
    wait_until(lambda: not is_alive(int(child)), "the grandchild is gone", 5)


def test_kill_ends_it_at_once_with_its_children(make: Callable[..., Executor], tmp_path: Path) -> None:
    launch = prepare(tmp_path / "run", act=["deaf", "child"], hold_at=2)
    with make().launch(launch) as run:
        child = 0
        for event in run.events():
            if event.data.get("index") == 2:
                child = int((folder_of(run, launch) / "child.pid").read_text())
                run.kill()
                run.kill()
        assert run.exit.exit_code == -signal.SIGKILL
    wait_until(lambda: not is_alive(child), "the grandchild is gone", 5)


def test_a_child_that_outlives_its_trainer_is_killed_at_the_end_of_the_block(
    make: Callable[..., Executor], tmp_path: Path
) -> None:
    launch = prepare(tmp_path / "run", act=["child"], hold_at=2)
    with make().launch(launch) as run:
        child = 0
        for event in run.events():
            if event.data.get("index") == 2:
                child = int((folder_of(run, launch) / "child.pid").read_text())
                assert is_alive(child)
                (folder_of(run, launch) / "go").touch()
        assert child
    wait_until(lambda: not is_alive(child), "the grandchild is gone", 5)


def test_leaving_the_block_early_leaves_no_process(make: Callable[..., Executor], tmp_path: Path) -> None:
    launch = prepare(tmp_path / "run", act=["deaf"], hold_at=0)

    def leave_by_a_mistake() -> None:
        with make().launch(launch) as run:
            next(run.events())
            assert trainers_in(tmp_path)
            raise LookupError

    with pytest.raises(LookupError):
        leave_by_a_mistake()
    assert not trainers_in(tmp_path)


@pytest.mark.parametrize(
    ("act", "exit_code", "last_line"),
    [
        ("crash", ExitCode.CRASHED, "RuntimeError: the fake broke"),
        ("leave", ExitCode.FINISHED, "fake trainer at work"),
        ("killed", -signal.SIGKILL, "fake trainer at work"),
        ("diverged", ExitCode.DIVERGED, "fake trainer at work"),
        ("out of memory", ExitCode.OUT_OF_MEMORY, "fake trainer at work"),
    ],
)
def test_the_exit_has_the_exit_code_and_the_end_of_the_log(
    make: Callable[..., Executor], tmp_path: Path, act: str, exit_code: int, last_line: str
) -> None:
    with make().launch(prepare(tmp_path / "run", act=[act])) as run:
        list(run.events())
        assert run.exit.exit_code == exit_code
        assert run.exit.log_tail.splitlines()[-1] == last_line


def test_the_exit_has_only_the_end_of_a_long_log(make: Callable[..., Executor], tmp_path: Path) -> None:
    launch = prepare(tmp_path / "run", act=["crash"])
    launch.run_dir.log.write_bytes(b"\xff" * 100_000 + b"\nline\n" * 100_000)
    with make().launch(launch) as run:
        list(run.events())
        tail = run.exit.log_tail
    assert tail.endswith("the fake broke")
    assert len(tail.splitlines()) <= 20


@pytest.mark.parametrize("name", ["a 0", "a'; echo foo", "проба №1", "$HOME", "--config"])
def test_unusual_paths_work(make: Callable[..., Executor], tmp_path: Path, name: str) -> None:
    with make().launch(prepare(tmp_path / name / "trial-0000")) as run:
        assert kinds(list(run.events())) == WHOLE_TRIAL
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def cut(record: Path) -> None:
    os.truncate(record, record.stat().st_size - 200)


def tear(record: Path) -> None:
    with record.open("ab") as file:
        file.write(b'{"kind":"progress","frames":')


@pytest.mark.parametrize("spoil", [lambda record: None, cut, tear])
def test_a_continued_trial_yields_only_new_events_and_its_record_is_complete(
    make: Callable[..., Executor], tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    launch = prepare(tmp_path / "run", hold_at=2)
    with make().launch(launch) as run:
        for event in run.events():
            if event.data.get("index") == 2:
                run.stop()
    spoil(launch.run_dir.events)
    record = EventReader(launch.run_dir.events)
    history = list(record.read())
    with make().launch(replace(prepare(tmp_path / "run"), offset=record.offset)) as run:
        news = list(run.events())
    assert [e.data["resumed"] for e in news if e.kind is EventKind.STARTED] == [True]
    assert [e.data["index"] for e in news if e.kind is EventKind.VALIDATION] == [3, 4]
    assert news[-1].kind is EventKind.FINISHED
    assert all_events(launch.run_dir.events) == [*history, *news]


def test_an_executor_runs_several_trials_in_turn(make: Callable[..., Executor], tmp_path: Path) -> None:
    executor = make()
    for name in ("a", "b", "c"):
        with executor.launch(prepare(tmp_path / name)) as run:
            assert kinds(list(run.events())) == WHOLE_TRIAL
            assert run.exit.exit_code == ExitCode.FINISHED
            assert run.exit.log_tail == "fake trainer at work"
    executor.close()
    with executor.launch(prepare(tmp_path / "d")) as run:
        assert kinds(list(run.events())) == WHOLE_TRIAL


TUNER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from contract_under_test import MAKERS
from smart_tuner.executors import Launch
from trainer.protocol import RunDir
with MAKERS[sys.argv[2]](10.0, Path(sys.argv[1])).launch(Launch(RunDir(Path(sys.argv[3])), "cpu", 1)) as run:
    for event in run.events():
        print(event.kind, flush=True)
"""


def test_no_trainer_outlives_a_tuner_that_is_killed(
    request: pytest.FixtureRequest, make: Callable[..., Executor], tmp_path: Path
) -> None:
    launch = prepare(tmp_path / "run", act=["deaf"], hold_at=1)
    (tmp_path / "contract_under_test.py").symlink_to(__file__)
    name = request.node.callspec.params["make"]
    paths = os.pathsep.join(["tests/support", os.environ.get("PYTHONPATH", "")])
    tuner = subprocess.Popen(
        [sys.executable, "-c", TUNER, str(tmp_path), name, str(launch.run_dir.path)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths},
        cwd=request.config.rootpath,
    )
    wait_until(lambda: launch.run_dir.last_checkpoint.exists())
    trainer = trainers_in(tmp_path)
    tuner.kill()
    tuner.wait()
    assert trainer
    wait_until(lambda: not trainers_in(tmp_path), "the trainer is gone", 10)
