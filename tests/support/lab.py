"""A workspace with a small study whose trials the fake trainer runs."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import yaml
from optuna.storages import RDBStorage
from rich.console import Console

from smart_tuner.config import Settings
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.history import History
from smart_tuner.main import SmartTunerMain
from smart_tuner.sampler import sampler_of
from smart_tuner.spec import StudySpec, parse_study
from smart_tuner.store.curves import StudyCurves
from smart_tuner.store.paused import PausedTrials
from smart_tuner.store.queue import Queue
from smart_tuner.store.storage import open_storage
from smart_tuner.study import open_study, unsearched
from trainer.protocol import Event, EventKind, RunDir, all_events

SUPPORT = Path(__file__).parent
FAKE_TRAINER = (sys.executable, str(SUPPORT / "fake_trainer.py"))
REPORTS = 4
GUIDED = {"optimizer.lr": 2e-3, "guided_attention.enabled": True}
UNGUIDED = {"optimizer.lr": 2e-3, "guided_attention.enabled": False}
STUDY: dict[str, Any] = {
    "name": "lab",
    "corpus": "demo:en",
    "preset": "tiny",
    "budget": {"frames": 1000, "reports": REPORTS},
    "search": {
        "optimizer.lr": {"type": "float", "low": 5e-4, "high": 5e-3, "log": True},
        "guided_attention.enabled": {"type": "categorical", "choices": [True, False]},
    },
    "enqueue": [GUIDED, UNGUIDED],
    "sampler": {"seed": 1},
    "trials": 6,
}


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def trainers_in(folder: Path) -> list[int]:
    """Fake trainers that run trials below `folder`, found by their command or, after standby, by their log."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if FAKE_TRAINER[1] not in command:
            continue
        with suppress(psutil.NoSuchProcess, OSError):
            output = str(Path(f"/proc/{process.pid}/fd/1").readlink())
            words = [output] if "--standby" in command else [*command, output]  # what it waits for is not its trial
            if any(str(folder) in word for word in words) and is_alive(process.pid):
                found.append(process.pid)
    return found


def study_spec(**changes: Any) -> StudySpec:
    return parse_study({**STUDY, **changes}, "lab.yaml")


def open_queue(url: str, target: int, spec: StudySpec | None = None) -> tuple[RDBStorage, optuna.Study, Queue]:
    spec = spec or study_spec()
    storage = open_storage(url)
    study = open_study(storage, spec)
    study.sampler = sampler_of(spec, History(spec, unsearched(study)))
    paused = PausedTrials(spec, StudyCurves(study, storage, spec.objective.figure))
    return storage, study, Queue(study, storage, target, paused)


@dataclass
class Lab:
    """`order` sets what the fake trainers do, by trial number; see fake_trainer.py."""

    path: Path
    monkeypatch: pytest.MonkeyPatch
    console: Console = field(default_factory=lambda: Console(file=open(os.devnull, "w"), width=200))  # noqa: PTH123, SIM115

    def __post_init__(self) -> None:
        self.workspace = self.path / "рабочее место"
        self.study_file = self.path / "lab.yaml"
        self.define()
        self.order()

    def define(self, **changes: Any) -> None:
        self.study_file.write_text(yaml.safe_dump({**STUDY, **changes}, allow_unicode=True), encoding="utf-8")

    def order(self, **by_trial: dict[str, Any]) -> None:
        """order(t0={"act": ["crash"]}, any={"pause": 0.1}); trials that should be pruned wait for that by default."""
        orders = {"*": {"hold_unguided_at": 2}}
        orders |= {"*" if name == "any" else name[1:]: order for name, order in by_trial.items()}
        self.monkeypatch.setenv("FAKE_TRAINER", json.dumps(orders))

    @property
    def url(self) -> str:
        return f"sqlite:///{self.workspace}/studies.db"

    def tuner(self, jobs: int = 1, executor: Any = None, overrides: dict[str, Any] | None = None) -> SmartTunerMain:
        settings = Settings(workspace=self.workspace, mlflow=False, jobs=jobs, device="cpu")
        return SmartTunerMain(
            self.study_file,
            settings=settings,
            overrides=overrides,
            executor=executor or LocalExecutor(5.0, FAKE_TRAINER),
            console=self.console,
        )

    def study(self) -> optuna.Study:
        return optuna.load_study(study_name="lab", storage=open_storage(self.url))

    def states(self) -> list[str]:
        return [trial.state.name for trial in self.study().get_trials(deepcopy=False)]

    def run_dir(self, number: int) -> RunDir:
        return RunDir(self.workspace / "runs" / "lab" / f"trial-{number:04d}")

    def events(self, number: int, kind: EventKind | None = None) -> list[Event]:
        return [e for e in all_events(self.run_dir(number).events) if kind in (None, e.kind)]

    def validated(self, number: int) -> list[int]:
        return [event.data["index"] for event in self.events(number, EventKind.VALIDATION)]

    def resumed(self, number: int) -> list[bool]:
        """Whether each start of the trial went on from a checkpoint."""
        return [event.data["resumed"] for event in self.events(number, EventKind.STARTED)]

    def process(self, trials: int, jobs: int = 1, storage: str = "") -> subprocess.Popen[str]:
        """A tuner in another process."""
        arguments = [str(self.study_file), str(self.workspace), str(trials), storage, str(jobs)]
        return subprocess.Popen(
            [sys.executable, str(SUPPORT / "tuner_process.py"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
