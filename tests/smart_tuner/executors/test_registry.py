"""A further executor needs a module with `from_settings` and a line in the registry, nothing else."""

import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from lab import FAKE_TRAINER, Lab
from tuner_process import no_corpus

import smart_tuner.run.corpus
from smart_tuner.config import Settings, load_settings
from smart_tuner.errors import SettingsError
from smart_tuner.executors import Launch, Run
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.executors.registry import EXECUTORS
from smart_tuner.machine.admission import FreeAdmission
from smart_tuner.machine.capacity import Capacity, Demand
from smart_tuner.main import SmartTunerMain
from trainer.config import TrainerConfig


class Cluster:
    """Claims two nodes with a GPU each, and runs everything on the CPU here."""

    runs_may_wait = True

    def __init__(self, settings: Settings) -> None:
        self.launched: list[Launch] = []
        self._nodes = LocalExecutor(settings.stop_grace_seconds, FAKE_TRAINER, standby=False)

    def capacity(self, demand: Demand) -> Capacity:
        return Capacity(2, 3, ("cuda", "cuda"), here=False)

    def admission(self, capacity: Capacity, preset: str) -> FreeAdmission:
        return FreeAdmission()

    def launch(self, launch: Launch) -> AbstractContextManager[Run]:
        self.launched.append(launch)
        return self._nodes.launch(replace(launch, device="cpu"))

    def close(self) -> None:
        self._nodes.close()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Cluster]:
    """The executors that were made by the registry under the name `cluster`."""
    made: list[Cluster] = []
    module = ModuleType("their_cluster")

    def from_settings(settings: Settings) -> Cluster:
        made.append(Cluster(settings))
        return made[-1]

    module.from_settings = from_settings  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_cluster", module)
    monkeypatch.setitem(EXECUTORS, "cluster", "their_cluster")
    return made


def test_a_study_runs_on_an_executor_that_was_added_to_the_registry(
    lab: Lab, made: list[Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[TrainerConfig] = []

    def prepare(config: TrainerConfig, *_: Any) -> dict[str, Any]:
        checked.append(config)
        return no_corpus()

    monkeypatch.setattr(smart_tuner.run.corpus, "prepare_corpus", prepare)
    settings = load_settings(workspace=lab.workspace, mlflow=False, executor="cluster")
    result = SmartTunerMain(lab.study_file, settings=settings, console=lab.console).optimize(3)
    assert sum(result.states.values()) == 3
    (cluster,) = made
    assert sorted(launch.run_dir.path.name for launch in cluster.launched) == ["trial-0000", "trial-0001", "trial-0002"]
    assert {(launch.device, launch.threads) for launch in cluster.launched} == {("cuda", 3)}  # as its `capacity` says
    assert [config.device.name for config in checked] == ["cpu"]  # this machine need not have what the nodes have


def test_a_name_that_is_not_in_the_registry_is_refused(made: list[Cluster]) -> None:
    with pytest.raises(SettingsError, match="`executor` must be 'local' or 'ray' or 'cluster', but got 'slurm'"):
        load_settings(executor="slurm")


def test_local_runs_load_nothing_of_ray() -> None:
    program = (
        "import sys\n"
        "from smart_tuner.config import load_settings\n"
        "from smart_tuner.executors.registry import make_executor\n"
        "import smart_tuner.main\n"
        "make_executor(load_settings())\n"
        "print([name for name in sys.modules if name == 'ray' or name.startswith('smart_tuner.executors.ray')])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"
