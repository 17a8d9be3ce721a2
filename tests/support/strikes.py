"""The faults of the campaign: one function each, from the choice of its victims until the fault itself is over.

Each returns a Strike. What becomes of the trials that it struck is watched by `campaign`.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from arena import GRACE, HEARTBEAT, STOP_GRACE, Arena, Trainer, Worker, events_of, kill_and_wait
from servers import PostgresServer
from waiting import wait_until_gone

from trainer.protocol import EventKind

SOON = 5.0  # seconds within which no trainer of a dead worker is left
Checkpoint = Callable[[Path], int]  # the update after which a checkpoint was written; ValueError: it is torn


def fake_saved(path: Path) -> int:
    """By the fake trainer, whose updates are reports."""
    done: int = json.loads(path.read_text())["done"]
    return done


@dataclass
class Struck:
    """A trial at the moment of the fault. good: the update of the checkpoint that it has to go on from, at least."""

    good: int
    reached: int
    size: int  # of the record, in bytes


@dataclass
class Strike:
    kind: str
    detail: str = ""
    trials: dict[int, Struck] = field(default_factory=dict)
    over: float = 0.0  # when the fault was over, on the monotonic clock
    again: list[int] = field(default_factory=list)  # reports trained again, per trial that was started again
    seconds: float = 0.0  # from then until the last of its trials went on

    def __str__(self) -> str:
        return f"{self.kind} ({self.detail}; trials {list(self.trials) or 'none'})"


@dataclass
class Field:
    """What faults choose from. failures: of each trial's attempts, by the faults that count as such."""

    arena: Arena
    rng: random.Random
    server: PostgresServer | None = None
    mounted: Path | None = None
    saved: Checkpoint = fake_saved
    failures: dict[int, int] = field(default_factory=dict)
    expected: dict[int, str] = field(default_factory=dict)

    def note(self, kind: str, numbers: Iterable[int | None], detail: str = "") -> Strike:
        """The state of the trials right before the fault."""
        strike = Strike(kind, detail)
        for number in sorted({number for number in numbers if number is not None}):
            size = len(self.arena.record(number))
            strike.trials[number] = Struck(self.good(number), self.arena.reached(number), size)
        return strike

    def good(self, number: int) -> int:
        run = self.arena.run_dir(number)
        for path in (run.last_checkpoint, run.previous_checkpoint):
            with suppress(FileNotFoundError, ValueError):
                return self.saved(path)
        return 0

    def a_trainer(self, fits: Callable[[Trainer], bool] = lambda trainer: True) -> Trainer:
        """At work on a trial that nothing worse than another attempt can happen to."""

        def choose() -> Trainer | None:
            running = {row.number for row in self.arena.rows() if row.state == "RUNNING"}
            fitting = [
                trainer
                for trainer in self.arena.at_work()
                if trainer.trial in running - self.expected.keys()
                and self.failures.get(trainer.trial or 0, 0) < 2
                and fits(trainer)
            ]
            return self.rng.choice(fitting) if fitting else None

        return self.arena.wait(choose, "a trainer at work that fits")  # type: ignore[no-any-return]

    def a_worker(self) -> tuple[Worker, list[Trainer]]:
        """One with trials at work, and its trainers, those that stand by among them."""

        def choose() -> tuple[Worker, list[Trainer]] | None:
            pids = {trainer.worker for trainer in self.arena.at_work()}
            busy = [worker for worker in self.arena.workers if worker.runs() and worker.pid in pids]
            if not busy:
                return None
            worker = self.rng.choice(busy)
            return worker, [trainer for trainer in self.arena.trainers() if trainer.worker == worker.pid]

        return self.arena.wait(choose, "a worker at work")  # type: ignore[no-any-return]

    def everything(self) -> list[int | None]:
        return [trainer.trial for trainer in self.arena.at_work()]

    def tell(self, trainer: Trainer, *acts: str) -> None:
        """Have a fake trainer do this before its next report, and wait until it does."""
        assert trainer.trial is not None
        path = self.arena.run_dir(trainer.trial).path / "do"
        path.with_name("do.new").write_text(json.dumps(acts))
        path.with_name("do.new").replace(path)
        self.arena.wait(lambda: not path.exists() or not trainer.process.is_running(), f"the trainer does {acts}", 15)
        path.unlink(missing_ok=True)  # it had ended before

    def fails(self, trainer: Trainer) -> None:
        assert trainer.trial is not None
        self.failures[trainer.trial] = self.failures.get(trainer.trial, 0) + 1


def kill_trainer(at: Field) -> Strike:
    trainer = at.a_trainer()
    strike = at.note("kill -9 of a trainer", [trainer.trial])
    trainer.process.kill()
    at.fails(trainer)
    return strike


def kill_worker(at: Field) -> Strike:
    worker, trainers = at.a_worker()
    strike = at.note("kill -9 of a worker", [trainer.trial for trainer in trainers], worker.machine)
    kill_and_wait(worker.process)  # type: ignore[arg-type]
    wait_until_gone([trainer.process for trainer in trainers], SOON)
    return strike


def kill_both(at: Field) -> Strike:
    worker, trainers = at.a_worker()
    strike = at.note("kill -9 of a worker and its trainers", [trainer.trial for trainer in trainers], worker.machine)
    for pid in (worker.pid, *(trainer.process.pid for trainer in trainers)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until_gone([trainer.process for trainer in trainers], SOON)
    return strike


def kill_postgres(at: Field) -> Strike:
    assert at.server is not None
    away = at.rng.uniform(1, 3)
    strike = at.note("kill -9 of PostgreSQL", at.everything(), f"{away:.1f} s away")
    at.server.kill()
    at.arena.sleep(away)
    at.server.start()
    return strike


def kill_three_times(at: Field) -> Strike:
    trainer = at.a_trainer(lambda trainer: not at.failures.get(trainer.trial or 0))
    number = trainer.trial
    assert number is not None
    strike = at.note("kill -9 of a trial's trainer, three times", [number])
    at.expected[number] = "FAIL"
    before = starts_of(at, number)
    for failed in range(3):
        begun = at.arena.wait(lambda nth=failed: _started(at, number, before + nth), "the trial is started again")
        at.arena.sleep(at.rng.uniform(0, 0.5))
        begun.process.kill()
        at.fails(begun)
        at.arena.wait(lambda nth=failed: len(at.arena.row(number).attributes.get("failures", [])) > nth, "it is noted")
    return strike


def _started(at: Field, number: int, times: int) -> Trainer | None:
    begun = starts_of(at, number) >= times
    return next((trainer for trainer in at.arena.at_work() if trainer.trial == number), None) if begun else None


def starts_of(at: Field, number: int) -> int:
    return sum(event.kind is EventKind.STARTED for event in events_of(at.arena.record(number)))


def stop_worker(at: Field) -> Strike:
    """A machine that does not answer. What was its own is somebody else's when it comes back."""
    worker, trainers = at.a_worker()
    strike = at.note("SIGSTOP of a worker, until others have its trials", [t.trial for t in trainers], worker.machine)
    os.kill(worker.pid, signal.SIGSTOP)
    frozen = at.rng.random() < 0.3  # all of the machine
    for trainer in trainers if frozen else []:
        trainer.process.suspend()
    strike.detail += ", its trainers too" * frozen
    at.arena.sleep(GRACE + HEARTBEAT)
    other = at.arena.add(f"{worker.machine}-substitute-{len(at.arena.workers)}")

    def is_taken_over() -> bool:
        rows = {row.number: row for row in at.arena.rows()}
        return all(
            rows[number].finished or rows[number].attributes.get("owner", {}).get("pid") != worker.pid
            for number in strike.trials
        )

    at.arena.wait(is_taken_over, "its trials are taken over")
    finished = {row.number for row in at.arena.rows() if row.finished}
    os.kill(worker.pid, signal.SIGCONT)
    for trainer in trainers if frozen else []:
        with suppress(psutil.NoSuchProcess):
            trainer.process.resume()
    at_work = [t.process for t in trainers if t.trial is not None and t.trial not in finished]
    wait_until_gone(at_work, SOON + 2 * HEARTBEAT + STOP_GRACE)
    at.arena.sleep(0.3)
    assert worker.runs(), "the worker goes on with other trials"
    leave(at, other)
    return strike


def leave(at: Field, worker: Worker) -> None:
    worker.wanted = False
    if worker.runs():
        os.kill(worker.pid, signal.SIGTERM)
        worker.process.wait(30)  # type: ignore[union-attr]


def stop_trainer(at: Field) -> Strike:
    """It is silent for longer than the study's `silent_minutes`."""
    trainer = at.a_trainer()
    strike = at.note("SIGSTOP of a trainer, for longer than it may be silent", [trainer.trial])
    trainer.process.suspend()
    at.fails(trainer)
    at.arena.wait(lambda: not trainer.process.is_running(), "the silent trainer is killed", 20)
    return strike


def fill_disk(at: Field) -> Strike:
    assert at.mounted is not None
    away = at.rng.uniform(1, 2.5)
    strike = at.note("full disk", at.everything(), f"for {away:.1f} s")
    filler = at.mounted / "filler"
    until = time.monotonic() + away
    while time.monotonic() < until:  # whatever is removed meanwhile
        with suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        at.arena.sleep(0.1)
    filler.unlink()
    return strike


def make_read_only(at: Field) -> Strike:
    """A second mount, read-only, over the workspace: what was open stays so, as a remount is refused meanwhile."""
    assert at.mounted is not None
    away = at.rng.uniform(1, 2.5)
    strike = at.note("read-only workspace", at.everything(), f"for {away:.1f} s")
    mount("--bind", str(at.mounted), str(at.mounted))
    try:
        until = time.monotonic() + away
        at.arena.wait(
            lambda: mount("-o", "remount,bind,ro", str(at.mounted), check=False) == 0, "a moment to remount", 9
        )
        at.arena.sleep(until - time.monotonic())
    finally:
        subprocess.run(["umount", "-l", str(at.mounted)], check=True)
    return strike


def mount(*arguments: str, check: bool = True) -> int:
    return subprocess.run(["mount", *arguments], capture_output=True, check=check).returncode


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own. Raises OSError where none can be mounted."""
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", f"size={megabytes}m", "faults", str(folder))
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise OSError(f"nothing can be mounted here: {error}") from error
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def jump(at: Field) -> Strike:
    machine = at.rng.choice([worker.machine for worker in at.arena.workers if worker.runs()])
    hours = at.rng.choice([-1, 1]) * at.rng.uniform(1, 12)
    here = [worker.pid for worker in at.arena.workers if worker.machine == machine and worker.runs()]
    numbers = [trainer.trial for trainer in at.arena.at_work() if trainer.worker in here]
    strike = at.note("jump of a machine's clock", numbers, f"{machine} {hours:+.1f} h")
    at.arena.shift_clock(machine, 3600 * hours)
    return strike


def cut_record(at: Field) -> Strike:
    """What is cut off is lost to people, not to the store, which has it before."""
    trainer = at.a_trainer(lambda trainer: at.arena.reached(trainer.trial or 0) > 0)
    number = trainer.trial
    assert number is not None
    trainer.process.suspend()
    at.arena.wait(lambda: at.arena.row(number).reached >= at.arena.reached(number), "the store has all reports", 10)
    size = at.rng.randrange(len(at.arena.record(number)))
    strike = at.note("events.jsonl cut anywhere", [number], f"{size} of {len(at.arena.record(number))} bytes are left")
    os.truncate(at.arena.run_dir(number).events, size)
    strike.trials[number].size = size
    trainer.process.resume()
    return strike


def spoil_checkpoint(at: Field, killed: bool | None = None) -> Strike:
    """The trainer is killed then, so that what is to be read is what was spoiled; or it goes on and saves another."""

    def has_two(trainer: Trainer) -> bool:
        run = at.arena.run_dir(trainer.trial or 0)
        return run.last_checkpoint.exists() and run.previous_checkpoint.exists()

    def was_spoiled(checkpoint: Path) -> bool:
        """By an earlier fault, after which the trainer went on and saved another one."""
        try:
            at.saved(checkpoint)
        except ValueError:
            return True
        return False

    killed = at.rng.random() < 0.7 if killed is None else killed
    while True:
        trainer = at.a_trainer(has_two)
        assert trainer.trial is not None
        run = at.arena.run_dir(trainer.trial)
        trainer.process.suspend()
        in_a_save = run.last_checkpoint.samefile(run.previous_checkpoint)  # then both are one file
        if not in_a_save and not was_spoiled(run.previous_checkpoint):
            break
        trainer.process.resume()
    strike = at.note("corrupt last.pt", [trainer.trial])
    strike.trials[trainer.trial].good = at.saved(run.previous_checkpoint)
    strike.detail = spoil(run.last_checkpoint, at.rng) + (", the trainer killed" if killed else ", at work")
    if killed:
        at.fails(trainer)
        trainer.process.kill()
    else:
        trainer.process.resume()
    return strike


def spoil(path: Path, rng: random.Random) -> str:
    whole = path.read_bytes()
    how = rng.choice(["empty", "torn", "overwritten"])
    if how == "overwritten":
        begin = rng.randrange(max(1, len(whole) // 2))
        with path.open("r+b") as file:
            file.seek(begin)
            file.write(b"\xff" * (len(whole) - begin))
    else:
        os.truncate(path, 0 if how == "empty" else rng.randrange(1, len(whole)))
    return how


def be_deaf(at: Field) -> Strike:
    """It hangs and does not listen to SIGTERM, while its worker is asked to leave."""
    trainer = at.a_trainer()
    at.tell(trainer, "deaf now", "hang")
    worker = next(worker for worker in at.arena.workers if worker.process and worker.pid == trainer.worker)
    trainers = [t for t in at.arena.trainers() if t.worker == trainer.worker]
    strike = at.note("trainer deaf to SIGTERM", [t.trial for t in trainers])
    os.kill(worker.pid, signal.SIGTERM)
    at.arena.wait(lambda: not trainer.process.is_running(), "the deaf trainer is killed", 10 + STOP_GRACE)
    wait_until_gone([t.process for t in trainers])
    return strike


def flood(at: Field) -> Strike:
    trainer = at.a_trainer()
    strike = at.note("flood in the log", [trainer.trial], "50 MB")
    at.tell(trainer, "flood")
    return strike


def write_garbage(at: Field) -> Strike:
    trainer = at.a_trainer()
    act = at.rng.choice(["garbage", "garbage events", "truncate"])
    strike = at.note("garbage among the events", [trainer.trial], act)
    at.tell(trainer, act)
    return strike


def lack_memory(at: Field) -> Strike:
    """No fault of the machine's: these parameters are pruned, and not tried again."""
    trainer = at.a_trainer()
    assert trainer.trial is not None
    strike = at.note("out of memory", [trainer.trial], "exit code 12")
    at.expected[trainer.trial] = "PRUNED"
    at.tell(trainer, "memory")
    if at.arena.wait(lambda: at.arena.row(trainer.trial or 0).finished, "the trial has ended", 15):
        row = at.arena.row(trainer.trial)
        if row.state == "COMPLETE":  # it had just finished
            del at.expected[trainer.trial]
        else:
            assert row.attributes["reason"].startswith("out of memory: "), row
    return strike


def _ask_to_leave(at: Field, number: signal.Signals) -> Strike:
    worker, trainers = at.a_worker()
    strike = at.note(f"{number.name} to a worker", [trainer.trial for trainer in trainers], worker.machine)
    assert worker.process is not None
    os.kill(worker.pid, number)
    code = worker.process.wait(STOP_GRACE + 20)
    assert code == 130, f"exit code {code}: {at.arena.tail(worker.log)}"
    wait_until_gone([trainer.process for trainer in trainers], SOON)
    return strike


def terminate_worker(at: Field) -> Strike:
    return _ask_to_leave(at, signal.SIGTERM)


def interrupt_worker(at: Field) -> Strike:
    return _ask_to_leave(at, signal.SIGINT)


def stop_now(at: Field) -> Strike:
    strike = at.note("smart-tuner stop --now, then resume", at.everything())
    at.arena.order("stop", "--now")
    at.arena.wait(lambda: all(row.state != "RUNNING" for row in at.arena.rows()), "no trial runs", 20)
    at.arena.wait(lambda: not at.arena.at_work(), "no trainer is at work", 10)
    at.arena.order("resume")
    return strike


def kill_real(at: Field) -> Strike:
    """In the middle of training, after its first checkpoint."""
    trainer = at.a_trainer(lambda trainer: at.good(trainer.trial or 0) > 0)
    strike = at.note("kill -9 of the real trainer", [trainer.trial])
    trainer.process.kill()
    at.fails(trainer)
    return strike


def spoil_real(at: Field) -> Strike:
    strike = spoil_checkpoint(at, killed=True)
    strike.kind = "corrupt last.pt of the real trainer"
    return strike


def lack_real_memory(at: Field) -> Strike:
    """The trial that is limited needs more as soon as it trains."""
    (limited,) = at.expected
    row = at.arena.wait(
        lambda: next((r for r in at.arena.rows() if r.number == limited and r.finished), None), "its end"
    )
    assert row.state == "PRUNED", row
    assert row.attributes["reason"].startswith("out of memory: "), row
    return at.note("out of memory, real trainer", [limited], "RLIMIT_AS")
