"""A store, a workspace, a study, and workers that are restarted when they die: what the fault campaign acts on.

Reads the state of trials from the store's tables, the trial directories and the list of processes, and never uses the
code under test for that.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from lab import FAKE_TRAINER, SUPPORT, is_alive
from sqlalchemy import NullPool, create_engine, text

from trainer.protocol import Event, EventKind, RunDir, parse_lines

HEARTBEAT = 1  # seconds, as the following two
GRACE = 4
STOP_GRACE = 1.0
FEW_WORKERS = 4  # more of them look less often, or they would need all cores
STUDY: dict[str, Any] = {
    "name": "faults",
    "corpus": "demo:en",
    "preset": "tiny",
    "budget": {"frames": 1000, "reports": 12},
    "objective": {"metric": "validation_loss"},  # every report has it, so that a lost one is found
    "search": {"optimizer.lr": {"type": "float", "low": 5e-4, "high": 5e-3, "log": True}},
    "pruner": {"kind": "none"},
    "sampler": {"seed": 1},
    "trials": 8,
}
_ROWS = """SELECT t.number, t.state, t.trial_id, t.datetime_start FROM trials t ORDER BY t.number"""
_BROKEN = 4  # exit code of a worker after five failed attempts in a row
_EXPECTED_CODES = {0, 2, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}


@dataclass
class Row:
    """A trial, as in the tables."""

    number: int
    state: str
    start: str
    values: list[float] = field(default_factory=list)
    reports: list[tuple[int, float]] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.state in ("COMPLETE", "PRUNED", "FAIL")

    @property
    def paused(self) -> bool:
        return self.state == "WAITING" and "paused" in self.attributes

    @property
    def reached(self) -> int:
        return max((index for index, _ in self.reports), default=0)


@dataclass(frozen=True)
class Trainer:
    """trial: None on standby. worker: the id of the process that started it."""

    process: psutil.Process
    trial: int | None
    worker: int


@dataclass
class Worker:
    machine: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = True

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Deployment:
    """machines: one name for each worker; workers with equal names are on one machine. Use as a context.

    jobs: trials at once in each worker.
    """

    def __init__(
        self,
        path: Path,
        url: str | None,
        machines: Sequence[str],
        shim: Path | None = None,
        study: dict[str, Any] | None = None,
        command: Sequence[str] = FAKE_TRAINER,
        orders: dict[str, Any] | None = None,
        workspace: Path | None = None,
        jobs: int = 2,
    ) -> None:
        self.path = path
        self.workspace = workspace or path / "work space"
        self.shim = shim
        self.url = url or f"sqlite:///{self.workspace}/studies.db"
        self.definition = {**STUDY, **(study or {})}
        self.target = self.definition["trials"]
        self.reports = self.definition["budget"]["reports"]
        self.command = list(command)
        self.jobs = jobs
        self.pauses = self.definition["pruner"]["kind"] == "promotion"
        self._orders = orders
        self.is_fake = self.command == list(FAKE_TRAINER)
        self.pace_file = path / "pace"
        self.deaths: list[str] = []  # of workers that no fault explains
        self.broken = 0  # workers that stopped after five failed attempts in a row
        self.workers = [Worker(name, path / f"worker-{i}.log") for i, name in enumerate(machines)]
        self.supervised = True
        self.pace(0.3)

    def __enter__(self) -> "Deployment":
        self.workspace.mkdir(exist_ok=True)
        self.study_file = self.path / "study.yaml"
        self.study_file.write_text(yaml.safe_dump(self.definition))
        for worker in self.workers:
            self.shift_clock(worker.machine, 0.0)
        self.submit(self.target)
        self.supervise()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervised = False
        for worker in self.workers:
            if worker.runs():
                os.kill(worker.pid, signal.SIGKILL)
                os.kill(worker.pid, signal.SIGCONT)
                worker.process.wait(30)  # type: ignore[union-attr]
        for trainer in self.trainers():
            trainer.process.kill()

    def run_command(self, *words: str) -> None:
        """`smart-tuner ...` for this study."""
        where = ["--study", str(self.study_file), "--workspace", str(self.workspace), "--storage", self.url]
        command = [sys.executable, "-m", "smart_tuner", *words, *where]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def submit(self, target: int) -> None:
        """Submit the study with this number of trials; it may already have workers."""
        self.target = target
        self.run_command("optimize", "--detach", "--trials", str(target))

    # The workers

    def supervise(self) -> None:
        """Restart dead workers."""
        for worker in self.workers:
            if worker.process is not None and (code := worker.process.poll()) is not None:
                if code == _BROKEN:
                    self.broken += 1
                elif code not in _EXPECTED_CODES:
                    self.deaths.append(f"exit code {code}: {self.tail(worker.log)}")
                worker.process = None
            if worker.process is None and worker.wanted and self.supervised:
                self.start(worker)

    def start(self, worker: Worker) -> None:
        options = {
            "workspace": str(self.workspace),
            "storage": self.url,
            "jobs": self.jobs,
            "machine": worker.machine,
            "heartbeat": HEARTBEAT,
            "grace": GRACE,
            "watch": 0.2 if len(self.workers) <= FEW_WORKERS else 1.0,
            "stop_grace": STOP_GRACE,
            "command": self.command,
        }
        orders = {"*": {"save_every": 2, "pace": str(self.pace_file), **(self._orders or {})}}
        environment = {**os.environ, "FAKE_TRAINER": json.dumps(orders), "COVERAGE_PROCESS_START": ""}
        if self.shim is not None:
            environment |= {"LD_PRELOAD": str(self.shim), "CLOCK_SHIFT": str(self._clock(worker.machine))}
        command = [sys.executable, str(SUPPORT / "fault_worker.py"), json.dumps(options)]
        with worker.log.open("ab") as log:
            worker.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def add(self, machine: str) -> Worker:
        worker = Worker(machine, self.path / f"worker-{len(self.workers)}.log")
        self.shift_clock(machine, 0.0)
        self.workers.append(worker)
        self.supervise()
        return worker

    def end_workers(self, seconds: float = 20.0) -> None:
        """Stop all workers by SIGTERM, and restart none."""
        self.supervised = False
        for worker in self.workers:
            worker.wanted = False
            if worker.runs():
                os.kill(worker.pid, signal.SIGTERM)
        for worker in self.workers:
            if worker.process is not None:
                worker.process.wait(seconds)
        self.supervise()

    def shift_clock(self, machine: str, seconds: float) -> None:
        """Written in place, because processes have the file mapped."""
        with self._clock(machine).open("r+b" if self._clock(machine).exists() else "wb") as file:
            file.write(struct.pack("d", seconds))

    def _clock(self, machine: str) -> Path:
        return self.path / f"clock-{machine}"

    def pace(self, seconds: float) -> None:
        """Set how long a report takes from now on."""
        beside = self.pace_file.with_suffix(".new")
        beside.write_text(f"{seconds:.3f}")
        beside.replace(self.pace_file)

    # Waiting

    @property
    def patience(self) -> float:
        """Seconds that anything may take; more with many workers, which start slowly on one machine."""
        return max(45.0, 10.0 * len(self.workers))

    def sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.supervise()
            time.sleep(0.05)

    def wait(self, condition: Callable[[], Any], what: str, seconds: float | None = None) -> Any:
        """seconds: by default `patience`."""
        seconds = self.patience if seconds is None else seconds
        until = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < until, f"waited {seconds:g} s in vain: {what}"
            self.supervise()
            time.sleep(0.05)
        return value

    # State

    def rows(self) -> list[Row]:
        """Raises the driver's error while the store is away."""
        is_sqlite = self.url.startswith("sqlite")
        # One transaction for all tables; sqlite3 would begin one for each SELECT.
        engine = create_engine(self.url, poolclass=NullPool, isolation_level=None if is_sqlite else "REPEATABLE READ")
        with closing(engine.connect()) as connection:
            if is_sqlite:
                connection.exec_driver_sql("BEGIN")
            rows = {
                trial_id: Row(number, state, str(start))
                for number, state, trial_id, start in connection.execute(text(_ROWS))
            }
            for trial_id, value in connection.execute(text("SELECT trial_id, value FROM trial_values")):
                rows[trial_id].values.append(value)
            reports = "SELECT trial_id, step, intermediate_value FROM trial_intermediate_values ORDER BY step"
            for trial_id, step, value in connection.execute(text(reports)):
                rows[trial_id].reports.append((step, value))
            attributes = "SELECT trial_id, key, value_json FROM trial_user_attributes"
            for trial_id, key, value in connection.execute(text(attributes)):
                rows[trial_id].attributes[key] = json.loads(value)
        engine.dispose()
        return sorted(rows.values(), key=lambda row: row.number)

    def row(self, number: int) -> Row:
        return self.rows()[number]

    def run_dir(self, number: int) -> RunDir:
        return RunDir(self.workspace / "runs" / self.definition["name"] / f"trial-{number:04d}")

    def record(self, number: int) -> bytes:
        try:
            return self.run_dir(number).events.read_bytes()
        except FileNotFoundError:
            return b""

    def reached(self, number: int) -> int:
        """The index of the last report in the record."""
        return max(
            (e.data["index"] for e in events_of(self.record(number)) if e.kind is EventKind.VALIDATION), default=0
        )

    def trainers(self) -> list[Trainer]:
        found = []
        for process in psutil.process_iter(["cmdline", "ppid"]):
            command = process.info["cmdline"] or []
            if self.command[1] not in command or not is_alive(process.pid):
                continue
            with suppress(psutil.NoSuchProcess, OSError):
                output = str(Path(f"/proc/{process.pid}/fd/1").readlink())
                words = [output] if "--standby" in command else [*command, output]
                trial = next((_trial_in(word) for word in words if str(self.workspace) in word), None)
                if trial is not None or process.info["ppid"] in [w.pid for w in self.workers if w.process]:
                    found.append(Trainer(process, trial, process.info["ppid"]))
        return found

    def at_work(self) -> list[Trainer]:
        """Trainers that have written an event."""
        return [t for t in self.trainers() if t.trial is not None and self.record(t.trial)]

    def describe(self) -> str:
        with suppress(Exception):
            rows = "\n".join(
                f"  {r.number} {r.state} {r.start} reached {r.reached} {_key_attributes(r)}" for r in self.rows()
            )
            logs = "\n".join(f"  {w.machine} {w.process and w.pid}: {self.tail(w.log)}" for w in self.workers)
            return f"{rows}\n{logs}\n{self.trainers()}"
        return "the store does not answer"

    @staticmethod
    def tail(log: Path, lines: int = 8) -> str:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def _key_attributes(row: Row) -> dict[str, Any]:
    return {key: row.attributes[key] for key in ("owner", "failures", "reason") if key in row.attributes}


def _trial_in(word: str) -> int | None:
    parts = [part for part in Path(word).parts if part.startswith("trial-")]
    return int(parts[-1].removeprefix("trial-")) if parts else None


def events_of(record: bytes) -> list[Event]:
    """The readable events of a part of a file."""
    return list(parse_lines(record.splitlines()))


def kill_and_wait(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
