"""Trials on a Ray cluster, beyond the contract of all executors: nodes that come and go, transferred files."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
from lab import FAKE_TRAINER, Lab, trainers_in
from rich.console import Console
from waiting import wait_until

from smart_tuner.config import Settings
from smart_tuner.errors import SettingsError
from smart_tuner.executors import Executor, Launch
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.executors.ray.executor import RayExecutor
from smart_tuner.machine.capacity import Capacity, Demand
from smart_tuner.main import SmartTunerMain
from trainer.config import TrainerConfig
from trainer.installing import extra_command
from trainer.protocol import EventKind, ExitCode, RunDir, all_events

Make = Callable[..., RayExecutor]


@pytest.fixture
def make(ray_cluster: Any, tmp_path: Path) -> Iterator[Make]:
    """Makes executors whose nodes keep their files in a folder `nodes` of the test."""
    made = []

    def make(command: tuple[str, ...] | None = FAKE_TRAINER, **options: Any) -> RayExecutor:
        nodes = str(tmp_path / "nodes")
        made.append(RayExecutor(ray_cluster.address, 10.0, command, node_folder=nodes, **options))
        return made[-1]

    yield make
    for executor in made:
        executor.close()
    assert not trainers_in(tmp_path)


def prepare(folder: Path, threads: int = 1, device: str = "cpu", **orders: Any) -> Launch:
    folder.mkdir(parents=True)
    config = {"optimizer": {"lr": 3e-3}, "fake": orders}
    RunDir(folder).config.write_text(json.dumps(config), encoding="utf-8")
    return Launch(RunDir(folder), device, threads)


def validated(launch: Launch) -> list[int]:
    return [e.data["index"] for e in all_events(launch.run_dir.events) if e.kind is EventKind.VALIDATION]


def node_of(run: Any) -> str:
    """The first part of the node's id, which is also in the folder's path."""
    return str(run.folder.parents[3].name)


@pytest.mark.slow
def test_a_trial_of_a_lost_node_continues_elsewhere_from_the_last_transferred_checkpoint(
    make: Make, ray_cluster: Any, add_node: Callable[[], Any], tmp_path: Path
) -> None:
    launch = prepare(tmp_path / "run", hold_at=2)
    executor = make()
    with executor.launch(launch) as run:
        for event in run.events():
            if event.data.get("path") == "checkpoints/best.pt" and event.update == 2:  # the last before it waits
                first = node_of(run)
                lost = next(node for node in ray_cluster.worker_nodes if node.node_id.startswith(first))
                ray_cluster.remove_node(lost, allow_graceful=False)
        ended = run.exit
        run.stop()
        run.kill()
    add_node()
    assert ended.lost is not None
    assert ended.lost.startswith("the node that ran it is gone (")
    wait_until(lambda: not trainers_in(tmp_path), "the trainer is gone with its node")
    assert json.loads(launch.run_dir.last_checkpoint.read_text())["done"] == 2
    with executor.launch(replace(launch, offset=launch.run_dir.events.stat().st_size)) as run:
        folders = []
        for event in run.events():
            if event.data.get("index") == 3:
                folders.append(node_of(run))
            elif event.kind is EventKind.STARTED:
                (run.folder / "go").touch()
        assert run.exit.exit_code == ExitCode.FINISHED
        assert run.exit.lost is None
    assert folders
    assert folders != [first]
    assert validated(launch) == [1, 2, 3, 4], "no report lost, none repeated"
    started = [e.data["resumed"] for e in all_events(launch.run_dir.events) if e.kind is EventKind.STARTED]
    assert started == [False, True]


def test_a_trial_is_lost_when_its_process_of_ray_dies(make: Make, tmp_path: Path) -> None:
    launch = prepare(tmp_path / "run", act=["deaf"], hold_at=2)
    with make().launch(launch) as run:
        for event in run.events():
            if event.data.get("path") == "checkpoints/last.pt" and event.update == 2:
                (trainer,) = trainers_in(tmp_path)
                psutil.Process(trainer).parent().kill()
        assert run.exit.lost is not None
        run.stop()
        run.kill()
    wait_until(lambda: not trainers_in(tmp_path), "the trainer is gone with it")
    assert validated(launch) == [1, 2]


def test_files_arrive_before_their_event_and_none_stays_on_the_node(make: Make, tmp_path: Path) -> None:
    launch = prepare(tmp_path / "run")
    with make().launch(launch) as run:
        for event in run.events():
            if event.kind is EventKind.CHECKPOINT:
                saved = json.loads((launch.run_dir.path / event.data["path"]).read_text())
                assert saved["done"] >= event.update
                validations = [e for e in all_events(launch.run_dir.events) if e.kind is EventKind.VALIDATION]
                assert saved["done"] <= len(validations), "a trial that continues from here must not miss a report"
        assert run.folder.is_dir()
        config = json.loads((run.folder / "config.json").read_text())
    assert run.folder.is_relative_to(tmp_path / "nodes")
    assert all(Path(path).is_relative_to(tmp_path / "nodes") for path in config["paths"].values())
    assert not list((tmp_path / "nodes").glob("*/*/*/trials/*"))
    assert launch.run_dir.best_checkpoint.is_file()
    assert not (launch.run_dir.path / "go").exists()


@pytest.mark.slow
def test_a_trial_that_waits_for_capacity_can_be_stopped(make: Make, tmp_path: Path) -> None:
    with make().launch(prepare(tmp_path / "run", threads=2, hold_at=0)) as one:
        assert next(one.events()).kind is EventKind.STARTED
        with make().launch(prepare(tmp_path / "other", threads=2, hold_at=0)) as other:
            assert next(other.events()).kind is EventKind.STARTED
            assert node_of(other) != node_of(one)
            with make().launch(prepare(tmp_path / "third", threads=2)) as third:
                threading.Timer(0.3, third.stop).start()
                assert list(third.events()) == []
                assert third.exit.exit_code == -signal.SIGTERM
                assert third.exit.lost is None


def test_a_trial_that_no_node_can_take_is_refused(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smart_tuner.executors.ray.executor.NODE_SECONDS", 0.0)
    executor = make()
    assert executor.capacity(Demand("tiny", 50)) == Capacity(4, 1, ("cpu",) * 4, here=False)  # there is no GPU
    launch = prepare(tmp_path / "run", threads=64)
    with executor.launch(launch) as run, pytest.raises(SettingsError, match=r"needs 64 CPU on one node, but .*2 CPU"):
        list(run.events())


def test_a_node_with_another_version_is_refused(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smart_tuner.executors.ray.run.code_version", lambda: "9.9.9 (0123)")
    launch = prepare(tmp_path / "run")
    with make().launch(launch) as run, pytest.raises(SettingsError, match=r"here it is 9\.9\.9 \(0123\); install"):
        list(run.events())


def test_a_node_without_the_program_is_refused(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnlyHere:
        __module__ = "only_here"
        __qualname__ = "OnlyHere"

        def __init__(self, *_: Any) -> None: ...

        def describe(self, keys: Any) -> None: ...

    only_here = ModuleType("only_here")
    only_here.OnlyHere = OnlyHere  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "only_here", only_here)
    monkeypatch.setattr("smart_tuner.executors.ray.node.NodeTrial", OnlyHere)
    launch = prepare(tmp_path / "run")
    with make().launch(launch) as run, pytest.raises(SettingsError, match="cannot load smart_tuner; install"):
        list(run.events())


def test_a_node_that_cannot_write_files_counts_as_lost(ray_cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    executor = RayExecutor(ray_cluster.address, 1.0, FAKE_TRAINER, node_folder=str(tmp_path / "file"))
    with executor.launch(prepare(tmp_path / "run")) as run:
        assert list(run.events()) == []
        assert run.exit.lost is not None
        assert "NotADirectoryError" in run.exit.lost
    executor.close()


def test_an_address_without_a_cluster_is_refused(tmp_path: Path) -> None:
    executor = RayExecutor("127.0.0.1:9", 1.0, FAKE_TRAINER)
    launch = prepare(tmp_path / "run")
    with pytest.raises(SettingsError, match=r"`ray_address`: no Ray cluster answers at '127\.0\.0\.1:9'"):
        executor.launch(launch).__enter__()
    executor.close()


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    executor = RayExecutor(None, 1.0, FAKE_TRAINER)
    with pytest.raises(SettingsError, match=re.escape(extra_command("ray"))):
        executor.launch(prepare(tmp_path / "run")).__enter__()
    executor.close()


def test_importing_it_does_not_import_ray() -> None:
    program = "import smart_tuner.executors.ray.executor, sys; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.slow
def test_a_trial_sees_the_gpu_that_ray_gave_it_and_shares_it(
    make: Make, add_node: Callable[..., Any], ray_cluster: Any, tmp_path: Path
) -> None:
    node = add_node(num_gpus=1)
    executor = make(("bash", "-c", 'echo "sees GPU $CUDA_VISIBLE_DEVICES"'), trials_per_device=2)
    assert executor.capacity(Demand("tiny", 50)) == Capacity(2, 1, ("cuda",) * 2, here=False)
    for name in ("a", "b"):
        with executor.launch(prepare(tmp_path / name, device="cuda:3")) as run:
            assert list(run.events()) == []
            assert run.exit.log_tail == "sees GPU 0"
    ray_cluster.remove_node(node)


@pytest.mark.slow
def test_without_an_address_a_local_cluster_starts_and_ends_with_its_tuner(tmp_path: Path) -> None:
    launch = prepare(tmp_path / "run", act=["deaf"], hold_at=1)
    program = """
import sys
from pathlib import Path
from smart_tuner.executors import Launch
from smart_tuner.executors.ray.executor import RayExecutor
from trainer.protocol import RunDir
executor = RayExecutor(None, 5.0, tuple(sys.argv[2:]), node_folder=sys.argv[1] + "/nodes")
with executor.launch(Launch(RunDir(Path(sys.argv[1]) / "run"), "cpu", 1)) as run:
    for event in run.events():
        pass
"""
    tuner = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), *FAKE_TRAINER], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: launch.run_dir.last_checkpoint.exists(), seconds=60)
        assert trainers_in(tmp_path)
    finally:
        tuner.kill()
        tuner.wait()
    wait_until(lambda: not trainers_in(tmp_path), "the trainer is gone", 20)


@pytest.mark.slow
def test_a_study_loses_no_trial_when_a_node_is_lost(
    lab: Lab, ray_cluster: Any, add_node: Callable[[], Any], tmp_path: Path
) -> None:
    slowly = ("env", "FAKE_TRAINER=" + json.dumps({"*": {"pause": 0.4}}))
    executor = RayExecutor(ray_cluster.address, 5.0, slowly + FAKE_TRAINER, node_folder=str(tmp_path / "nodes"))

    def lose_a_node() -> None:
        wait_until(lambda: lab.run_dir(1).last_checkpoint.exists())
        ray_cluster.remove_node(next(iter(ray_cluster.worker_nodes)), allow_graceful=False)

    loser = threading.Thread(target=lose_a_node)
    loser.start()
    lab.tuner(jobs=4, executor=executor).optimize(6)
    loser.join()
    add_node()
    assert len(lab.states()) == 6
    assert set(lab.states()) <= {"COMPLETE", "PRUNED"}
    assert any(len(lab.resumed(number)) > 1 for number in range(6))
    for number, state in enumerate(lab.states()):
        seen = lab.validated(number)
        assert sorted(set(seen)) == list(range(1, max(seen) + 1)), "no report is missing"
        assert state == "PRUNED" or max(seen) == 4


@pytest.mark.slow
def test_trials_that_pause_go_on_from_their_checkpoints_on_any_node(lab: Lab, make: Make) -> None:
    lr = {"type": "float", "low": 5e-4, "high": 5e-3, "log": True}
    lab.define(
        pruner={"kind": "promotion"}, objective={"metric": "validation_loss"}, enqueue=[], search={"optimizer.lr": lr}
    )
    slowly = ("env", "FAKE_TRAINER=" + json.dumps({"*": {"pause": 0.4}}))
    lab.tuner(jobs=2, executor=make((*slowly, *FAKE_TRAINER))).optimize(6)
    assert set(lab.states()) == {"COMPLETE", "PRUNED"}
    assert any(len(lab.resumed(number)) > 1 for number in range(6))
    for number in range(6):
        seen = lab.validated(number)
        assert seen == list(range(1, len(seen) + 1)), "nothing is trained again"
        assert lab.resumed(number) == [False] + [True] * (len(lab.resumed(number)) - 1)


REAL_STUDY = {
    "corpus": "demo:en:24",
    "budget.frames": 30_000,
    "budget.reports": 6,
    "constraints.alignment.at_least": 0.0,
    "pruner.kind": "none",  # pruning depends on which trial is first
    "sampler.kind": "random",
    "fixed.logging.pictures": False,
    "fixed.logging.samples": False,
    "fixed.validation.free_running_utterances": 4,
}


@pytest.mark.slow
def test_a_study_that_loses_a_node_has_the_same_results_as_on_one_machine(
    ray_cluster: Any, add_node: Callable[[], Any], tmp_path: Path
) -> None:
    """With the real trainer: bit-equal parameters, curves and values for the same seeds."""

    def results(folder: str, executor: Executor) -> list[dict[str, Any]]:
        settings = Settings(workspace=tmp_path / folder, mlflow=False, jobs=2, device="cpu")
        tuner = SmartTunerMain(settings=settings, overrides=REAL_STUDY, executor=executor, console=Console(quiet=True))
        tuner.optimize(4)
        trials = tuner.study().trials
        kept = ("validation_loss", "alignment", "gate_f1", "free_running_alignment")
        return [
            {
                "state": t.state.name,
                "value": t.value,
                "params": t.params,
                "curve": t.intermediate_values,
                "figures": {name: t.user_attrs["metrics"].get(name) for name in kept},
            }
            for t in trials
        ]

    def lose_a_node() -> None:
        run = RunDir(tmp_path / "ray" / "runs" / "quickstart" / "trial-0001")
        wait_until(run.last_checkpoint.exists, seconds=120)
        (started, *_) = (e for e in all_events(run.events) if e.kind is EventKind.STARTED)
        (lost,) = (n for n in ray_cluster.worker_nodes if n.node_id[:8] in started.data["config"]["paths"]["run"])
        ray_cluster.remove_node(lost, allow_graceful=False)

    local = results("local", LocalExecutor())
    loser = threading.Thread(target=lose_a_node)
    loser.start()
    try:
        on_ray = results("ray", RayExecutor(ray_cluster.address, 20.0, node_folder=str(tmp_path / "nodes")))
    finally:
        loser.join()
        add_node()
    starts = [
        len([e for e in all_events(RunDir(run).events) if e.kind is EventKind.STARTED])
        for run in sorted((tmp_path / "ray" / "runs" / "quickstart").iterdir())
    ]
    assert max(starts) > 1, "a trial was at work on the node that was lost"
    assert on_ray == local


def speech(folder: Path) -> Path:
    """Six clips of noise in LJSpeech layout."""
    random = np.random.default_rng(1)
    (folder / "wavs").mkdir(parents=True)
    for i in range(6):
        soundfile.write(folder / "wavs" / f"{i}.wav", random.normal(0, 0.1, 8000 + 500 * i), 8000)
    lines = [f"{i}|the words of clip {'abcdef'[i]}\n" for i in range(6)]
    (folder / "metadata.csv").write_text("".join(lines), encoding="utf-8")
    return folder


def real(folder: Path, corpus: Path, name: str, /, **changes: Any) -> Launch:
    run = RunDir(folder / "runs" / name)
    raw: dict[str, Any] = {
        "preset": "tiny",
        "corpus": {"source": str(corpus)},
        "text": {"language": "en"},
        "audio": {"sample_rate": 8000, "fmax": 4000.0},
        "batch": {"size": 2},
        "budget": {"frames": 300, "reports": 2},
        "validation": {"free_running_utterances": 0},
        "logging": {"pictures": False, "samples": False, "tensorboard": True},
        "device": {"name": "cpu", "threads": 1},
        "paths": {
            "run": str(run.path),
            "tensorboard": str(folder / "logs" / name),
            "cache": str(folder / "cache"),
        },
        **changes,
    }
    run.path.mkdir(parents=True)
    run.config.write_text(TrainerConfig.from_mapping(raw).to_json(), encoding="utf-8")
    return Launch(run, "cpu", 1)


def finish(executor: RayExecutor, launch: Launch) -> Any:
    with executor.launch(launch) as run:
        list(run.events())
        assert run.exit.exit_code == ExitCode.FINISHED, run.exit.log_tail
    return run


@pytest.mark.slow
def test_prepared_features_go_to_each_node_once_and_the_corpus_to_none(make: Make, tmp_path: Path) -> None:
    corpus = speech(tmp_path / "speech")
    launches = [real(tmp_path / "workspace", corpus, f"trial-{i:04d}") for i in range(3)]
    prepared = [sys.executable, "-m", "trainer", "--prepare", "--config", str(launches[0].run_dir.config)]
    subprocess.run(prepared, check=True, capture_output=True)
    executor = make(None)
    runs = [finish(executor, launches[0])]
    (shared,) = (tmp_path / "nodes").glob("*/*/*/shared/prepared-*")
    before = {path: path.stat().st_ino for path in shared.rglob("*.npy")}
    for recording in (corpus / "wavs").iterdir():
        recording.unlink()  # they are no longer needed
    runs += [finish(executor, launch) for launch in launches[1:]]
    assert {path: path.stat().st_ino for path in shared.rglob("*.npy")} == before, "they were sent once"
    nodes = {node_of(run) for run in runs}
    assert len(list((tmp_path / "nodes").glob("*/*/*/shared/prepared-*"))) == len(nodes)
    assert not list((tmp_path / "nodes").glob("*/*/*/cache/features"))
    for launch in launches:
        started = all_events(launch.run_dir.events)[0].data["config"]
        assert str(tmp_path / "workspace") not in json.dumps(started)
        assert Path(started["paths"]["features"]).is_relative_to(tmp_path / "nodes")
        assert started["corpus"]["source"] == str(corpus)
        assert list((tmp_path / "workspace" / "logs" / launch.run_dir.path.name).glob("events.out.tfevents.*"))
        assert validated(launch) == [1, 2]


@pytest.mark.slow
def test_a_node_prepares_missing_features_and_receives_the_voice(make: Make, tmp_path: Path) -> None:
    corpus = speech(tmp_path / "speech")
    executor = make(None)
    first = real(tmp_path / "workspace", corpus, "trial-0000")
    finish(executor, first)
    assert not (tmp_path / "workspace" / "cache").exists()
    assert list((tmp_path / "nodes").glob("*/*/*/cache/features/*/mels.npy"))
    voice = first.run_dir.best_checkpoint.rename(tmp_path / "voice.pt")
    second = real(tmp_path / "workspace", corpus, "trial-0001", warm_start=str(voice))
    finish(executor, second)
    assert "starts with the weights of" in second.run_dir.log.read_text(encoding="utf-8")
    (sent,) = (tmp_path / "nodes").glob("*/*/*/shared/warm_start-*/voice.pt")
    assert sent.read_bytes() == voice.read_bytes()
    assert os.fspath(voice) not in json.dumps(all_events(second.run_dir.events)[0].data["config"])


@pytest.mark.slow
def test_a_node_receives_the_state_to_continue_and_the_clips_to_leave_out(make: Make, tmp_path: Path) -> None:
    corpus = speech(tmp_path / "speech")
    executor = make(None)
    first = real(tmp_path / "workspace", corpus, "trial-0000")
    finish(executor, first)
    state = first.run_dir.last_checkpoint.rename(tmp_path / "another's last.pt")
    listed = tmp_path / "clips to leave out.csv"
    listed.write_text("id\n0\n", encoding="utf-8")
    both = {
        "continue_from": str(state),
        "corpus": {"source": str(corpus), "leave_out": str(listed)},
        "budget": {"frames": 600, "reports": 2},
    }
    second = real(tmp_path / "workspace", corpus, "trial-0001", **both)
    finish(executor, second)
    assert "goes on from" in second.run_dir.log.read_text(encoding="utf-8")
    assert all_events(second.run_dir.events)[0].data["config"]["corpus"]["leave_out"] != str(listed)
    for sent, own in (("continue_from-*/another's last.pt", state), ("corpus.leave_out-*/clips*.csv", listed)):
        (copy,) = (tmp_path / "nodes").glob(f"*/*/*/shared/{sent}")
        assert copy.read_bytes() == own.read_bytes()


OWN_CLUSTER = """
import os, psutil
from smart_tuner.executors.ray.cluster import Connection
connection = Connection(None)
connection.open()
children = psutil.Process().children(recursive=True)
print(len(children), [each.name() for each in children if "hunter2" in " ".join(each.environ().values())])
connection.close()
assert os.environ["TELEGRAM_TOKEN"] == "hunter2"
"""


@pytest.mark.slow
def test_the_processes_of_an_own_cluster_get_no_secret(tmp_path: Path) -> None:
    secrets = {
        "TELEGRAM_TOKEN": "hunter2",
        "SMART_TUNER_STORAGE": "postgresql://me:hunter2@host/s",
        "PGPASSWORD": "hunter2",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
    }
    environment = {**os.environ, **secrets}
    done = subprocess.run(
        [sys.executable, "-c", OWN_CLUSTER], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    number, _, holders = done.stdout.strip().partition(" ")
    assert int(number) > 0
    assert holders == "[]"
