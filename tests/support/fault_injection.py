"""The faults of the campaign: one function each. It chooses what to hit, causes the fault, and returns when it is over.

Each returns an Injection. `campaign` watches how the trials that were hit continue.
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
from deployment import GRACE, HEARTBEAT, STOP_GRACE, Deployment, Trainer, Worker, events_of, kill_and_wait
from servers import PostgresServer
from waiting import wait_until_gone

from trainer.protocol import EventKind

SOON_SECONDS = 5.0  # after which no trainer of a dead worker may be left
ReadCheckpoint = Callable[[Path], int]  # returns the update after which it was written; ValueError: it is damaged


def saved_by_fake(path: Path) -> int:
    """The fake trainer counts reports as updates."""
    done: int = json.loads(path.read_text())["done"]
    return done


@dataclass
class TrialBefore:
    """A trial at the moment of the fault. good: the update of the last good checkpoint, from which it must continue."""

    good: int
    reached: int
    size: int  # of the record, in bytes


@dataclass
class Injection:
    """One fault that was caused, and the trials that it hit."""

    kind: str
    detail: str = ""
    trials: dict[int, TrialBefore] = field(default_factory=dict)
    over: float = 0.0  # when the fault was over, on the monotonic clock
    again: list[int] = field(default_factory=list)  # reports trained again, for each restarted trial
    seconds: float = 0.0  # from `over` until the last of its trials has continued

    def __str__(self) -> str:
        return f"{self.kind} ({self.detail}; trials {list(self.trials) or 'none'})"


@dataclass
class Injector:
    """What faults choose from. failures: failed attempts of each trial that faults caused. expected: ends of trials."""

    deployment: Deployment
    rng: random.Random
    server: PostgresServer | None = None
    mounted: Path | None = None
    saved: ReadCheckpoint = saved_by_fake
    failures: dict[int, int] = field(default_factory=dict)
    expected: dict[int, str] = field(default_factory=dict)

    def state_before(self, kind: str, numbers: Iterable[int | None], detail: str = "") -> Injection:
        """The state of the trials right before the fault."""
        injection = Injection(kind, detail)
        for number in sorted({number for number in numbers if number is not None}):
            size = len(self.deployment.record(number))
            injection.trials[number] = TrialBefore(self.good(number), self.deployment.reached(number), size)
        return injection

    def good(self, number: int) -> int:
        run = self.deployment.run_dir(number)
        for path in (run.last_checkpoint, run.previous_checkpoint):
            with suppress(FileNotFoundError, ValueError):
                return self.saved(path)
        return 0

    def choose_trainer(self, fits: Callable[[Trainer], bool] = lambda trainer: True) -> Trainer:
        """One that runs a trial which may fail once more and is still retried."""

        def choose() -> Trainer | None:
            running = {row.number for row in self.deployment.rows() if row.state == "RUNNING"}
            fitting = [
                trainer
                for trainer in self.deployment.at_work()
                if trainer.trial in running - self.expected.keys()
                and self.failures.get(trainer.trial or 0, 0) < 2
                and fits(trainer)
            ]
            return self.rng.choice(fitting) if fitting else None

        return self.deployment.wait(choose, "a running trainer that fits")  # type: ignore[no-any-return]

    def choose_worker(self) -> tuple[Worker, list[Trainer]]:
        """One with running trials, and its trainers, including those on standby."""

        def choose() -> tuple[Worker, list[Trainer]] | None:
            pids = {trainer.worker for trainer in self.deployment.at_work()}
            busy = [worker for worker in self.deployment.workers if worker.runs() and worker.pid in pids]
            if not busy:
                return None
            worker = self.rng.choice(busy)
            return worker, [trainer for trainer in self.deployment.trainers() if trainer.worker == worker.pid]

        return self.deployment.wait(choose, "a worker with running trials")  # type: ignore[no-any-return]

    def trials_at_work(self) -> list[int | None]:
        return [trainer.trial for trainer in self.deployment.at_work()]

    def have_do(self, trainer: Trainer, *acts: str) -> None:
        """Order a fake trainer to do this before its next report, and wait until it has begun."""
        assert trainer.trial is not None
        path = self.deployment.run_dir(trainer.trial).path / "do"
        path.with_name("do.new").write_text(json.dumps(acts))
        path.with_name("do.new").replace(path)
        self.deployment.wait(
            lambda: not path.exists() or not trainer.process.is_running(), f"the trainer does {acts}", 15
        )
        path.unlink(missing_ok=True)  # if the trainer had already ended

    def count_failure(self, trainer: Trainer) -> None:
        assert trainer.trial is not None
        self.failures[trainer.trial] = self.failures.get(trainer.trial, 0) + 1


def kill_trainer(injector: Injector) -> Injection:
    while True:
        trainer = injector.choose_trainer()
        injection = injector.state_before("kill -9 of a trainer", [trainer.trial])
        with suppress(psutil.NoSuchProcess):  # its trial has just paused
            trainer.process.kill()
            injector.count_failure(trainer)
            return injection


def kill_worker(injector: Injector) -> Injection:
    worker, trainers = injector.choose_worker()
    injection = injector.state_before("kill -9 of a worker", [trainer.trial for trainer in trainers], worker.machine)
    kill_and_wait(worker.process)  # type: ignore[arg-type]
    wait_until_gone([trainer.process for trainer in trainers], SOON_SECONDS)
    return injection


def kill_both(injector: Injector) -> Injection:
    worker, trainers = injector.choose_worker()
    injection = injector.state_before(
        "kill -9 of a worker and its trainers", [trainer.trial for trainer in trainers], worker.machine
    )
    for pid in (worker.pid, *(trainer.process.pid for trainer in trainers)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until_gone([trainer.process for trainer in trainers], SOON_SECONDS)
    return injection


def kill_postgres(injector: Injector) -> Injection:
    assert injector.server is not None
    away = injector.rng.uniform(1, 3)
    injection = injector.state_before("kill -9 of PostgreSQL", injector.trials_at_work(), f"{away:.1f} s away")
    injector.server.kill()
    injector.deployment.sleep(away)
    injector.server.start()
    return injection


def kill_three_times(injector: Injector) -> Injection:
    trainer = injector.choose_trainer(lambda trainer: not injector.failures.get(trainer.trial or 0))
    number = trainer.trial
    assert number is not None
    injection = injector.state_before("kill -9 of a trial's trainer, three times", [number])
    injector.expected[number] = "FAIL"
    before = starts_of(injector, number)
    for failed in range(3):
        begun = injector.deployment.wait(
            lambda nth=failed: _started(injector, number, before + nth), "the trial is started again"
        )
        injector.deployment.sleep(injector.rng.uniform(0, 0.5))
        begun.process.kill()
        injector.count_failure(begun)
        injector.deployment.wait(
            lambda nth=failed: len(injector.deployment.row(number).attributes.get("failures", [])) > nth, "it is noted"
        )
    return injection


def _started(injector: Injector, number: int, times: int) -> Trainer | None:
    begun = starts_of(injector, number) >= times
    return (
        next((trainer for trainer in injector.deployment.at_work() if trainer.trial == number), None) if begun else None
    )


def starts_of(injector: Injector, number: int) -> int:
    return sum(event.kind is EventKind.STARTED for event in events_of(injector.deployment.record(number)))


def stop_worker(injector: Injector) -> Injection:
    """A machine freezes. When it comes back, other workers have its trials."""
    worker, trainers = injector.choose_worker()
    injection = injector.state_before(
        "SIGSTOP of a worker, until others have its trials", [t.trial for t in trainers], worker.machine
    )
    os.kill(worker.pid, signal.SIGSTOP)
    frozen = injector.rng.random() < 0.3  # the whole machine
    for trainer in trainers if frozen else []:
        trainer.process.suspend()
    injection.detail += ", its trainers too" * frozen
    injector.deployment.sleep(GRACE + HEARTBEAT)
    other = injector.deployment.add(f"{worker.machine}-substitute-{len(injector.deployment.workers)}")

    def is_taken_over() -> bool:
        rows = {row.number: row for row in injector.deployment.rows()}
        return all(
            rows[number].finished or rows[number].attributes.get("owner", {}).get("pid") != worker.pid
            for number in injection.trials
        )

    injector.deployment.wait(is_taken_over, "its trials are taken over")
    finished = {row.number for row in injector.deployment.rows() if row.finished}
    os.kill(worker.pid, signal.SIGCONT)
    for trainer in trainers if frozen else []:
        with suppress(psutil.NoSuchProcess):
            trainer.process.resume()
    at_work = [t.process for t in trainers if t.trial is not None and t.trial not in finished]
    wait_until_gone(at_work, SOON_SECONDS + 2 * HEARTBEAT + STOP_GRACE)
    injector.deployment.sleep(0.3)
    assert worker.runs(), "the worker continues with other trials"
    dismiss(injector, other)
    return injection


def dismiss(injector: Injector, worker: Worker) -> None:
    worker.wanted = False
    if worker.runs():
        os.kill(worker.pid, signal.SIGTERM)
        worker.process.wait(30)  # type: ignore[union-attr]


def stop_trainer(injector: Injector) -> Injection:
    """The trainer writes no event for longer than the study's `silent_minutes`."""
    trainer = injector.choose_trainer()
    injection = injector.state_before("SIGSTOP of a trainer, for longer than it may be silent", [trainer.trial])
    trainer.process.suspend()
    injector.count_failure(trainer)
    injector.deployment.wait(lambda: not trainer.process.is_running(), "the silent trainer is killed", 20)
    return injection


def fill_disk(injector: Injector) -> Injection:
    assert injector.mounted is not None
    away = injector.rng.uniform(1, 2.5)
    injection = injector.state_before("full disk", injector.trials_at_work(), f"for {away:.1f} s")
    filler = injector.mounted / "filler"
    until = time.monotonic() + away
    while time.monotonic() < until:  # also after files were removed meanwhile
        with suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        injector.deployment.sleep(0.1)
    filler.unlink()
    return injection


def make_read_only(injector: Injector) -> Injection:
    """Mounts the workspace over itself, read-only. Files that are open stay writable; they would prevent a remount."""
    assert injector.mounted is not None
    away = injector.rng.uniform(1, 2.5)
    injection = injector.state_before("read-only workspace", injector.trials_at_work(), f"for {away:.1f} s")
    mount("--bind", str(injector.mounted), str(injector.mounted))
    try:
        until = time.monotonic() + away
        injector.deployment.wait(
            lambda: mount("-o", "remount,bind,ro", str(injector.mounted), check=False) == 0, "a moment to remount", 9
        )
        injector.deployment.sleep(until - time.monotonic())
    finally:
        subprocess.run(["umount", "-l", str(injector.mounted)], check=True)
    return injection


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


def jump_clock(injector: Injector) -> Injection:
    machine = injector.rng.choice([worker.machine for worker in injector.deployment.workers if worker.runs()])
    hours = injector.rng.choice([-1, 1]) * injector.rng.uniform(1, 12)
    here = [worker.pid for worker in injector.deployment.workers if worker.machine == machine and worker.runs()]
    numbers = [trainer.trial for trainer in injector.deployment.at_work() if trainer.worker in here]
    injection = injector.state_before("jump of a machine's clock", numbers, f"{machine} {hours:+.1f} h")
    injector.deployment.shift_clock(machine, 3600 * hours)
    return injection


def cut_record(injector: Injector) -> Injection:
    """The store has all reports before the cut, so only people lose what is cut off."""
    trainer = injector.choose_trainer(lambda trainer: injector.deployment.reached(trainer.trial or 0) > 0)
    number = trainer.trial
    assert number is not None
    trainer.process.suspend()
    injector.deployment.wait(
        lambda: injector.deployment.row(number).reached >= injector.deployment.reached(number),
        "the store has all reports",
        10,
    )
    size = injector.rng.randrange(len(injector.deployment.record(number)))
    injection = injector.state_before(
        "events.jsonl cut anywhere", [number], f"{size} of {len(injector.deployment.record(number))} bytes are left"
    )
    os.truncate(injector.deployment.run_dir(number).events, size)
    injection.trials[number].size = size
    trainer.process.resume()
    return injection


def damage_checkpoint(injector: Injector, killed: bool | None = None) -> Injection:
    """killed: kill the trainer, so that the damaged file is read next. Else it continues and saves another one."""

    def has_both(trainer: Trainer) -> bool:
        run = injector.deployment.run_dir(trainer.trial or 0)
        return run.last_checkpoint.exists() and run.previous_checkpoint.exists()

    def is_damaged(checkpoint: Path) -> bool:
        """By an earlier fault, after which the trainer continued and saved another one."""
        try:
            injector.saved(checkpoint)
        except ValueError:
            return True
        return False

    killed = injector.rng.random() < 0.7 if killed is None else killed
    while True:
        trainer = injector.choose_trainer(has_both)
        assert trainer.trial is not None
        run = injector.deployment.run_dir(trainer.trial)
        try:
            trainer.process.suspend()
        except psutil.NoSuchProcess:  # its trial has just paused
            continue
        in_a_save = run.last_checkpoint.samefile(run.previous_checkpoint)  # then both are one file
        if not in_a_save and not is_damaged(run.previous_checkpoint):
            break
        trainer.process.resume()
    injection = injector.state_before("corrupt last.pt", [trainer.trial])
    injection.trials[trainer.trial].good = injector.saved(run.previous_checkpoint)
    injection.detail = damage(run.last_checkpoint, injector.rng) + (", the trainer killed" if killed else ", at work")
    if killed:
        injector.count_failure(trainer)
        trainer.process.kill()
    else:
        trainer.process.resume()
    return injection


def damage(path: Path, rng: random.Random) -> str:
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


def ignore_sigterm(injector: Injector) -> Injection:
    """The trainer hangs and ignores SIGTERM, while its worker is asked to stop."""
    trainer = injector.choose_trainer()
    injector.have_do(trainer, "deaf now", "hang")
    worker = next(worker for worker in injector.deployment.workers if worker.process and worker.pid == trainer.worker)
    trainers = [t for t in injector.deployment.trainers() if t.worker == trainer.worker]
    injection = injector.state_before("trainer deaf to SIGTERM", [t.trial for t in trainers])
    os.kill(worker.pid, signal.SIGTERM)
    injector.deployment.wait(lambda: not trainer.process.is_running(), "the deaf trainer is killed", 10 + STOP_GRACE)
    wait_until_gone([t.process for t in trainers])
    return injection


def flood_log(injector: Injector) -> Injection:
    trainer = injector.choose_trainer()
    injection = injector.state_before("flood in the log", [trainer.trial], "50 MB")
    injector.have_do(trainer, "flood")
    return injection


def write_garbage(injector: Injector) -> Injection:
    trainer = injector.choose_trainer()
    act = injector.rng.choice(["garbage", "garbage events", "truncate"])
    injection = injector.state_before("garbage among the events", [trainer.trial], act)
    injector.have_do(trainer, act)
    return injection


def run_out_of_memory(injector: Injector) -> Injection:
    """The parameters need too much memory: the trial is pruned and not retried."""
    trainer = injector.choose_trainer()
    assert trainer.trial is not None
    injection = injector.state_before("out of memory", [trainer.trial], "exit code 12")
    injector.expected[trainer.trial] = "PRUNED"
    injector.have_do(trainer, "memory")
    if injector.deployment.wait(
        lambda: injector.deployment.row(trainer.trial or 0).finished, "the trial has ended", 15
    ):
        row = injector.deployment.row(trainer.trial)
        if row.state == "COMPLETE":  # it had just finished
            del injector.expected[trainer.trial]
        else:
            assert row.attributes["reason"].startswith("out of memory: "), row
    return injection


def _send_stop_signal(injector: Injector, number: signal.Signals) -> Injection:
    worker, trainers = injector.choose_worker()
    injection = injector.state_before(
        f"{number.name} to a worker", [trainer.trial for trainer in trainers], worker.machine
    )
    assert worker.process is not None
    os.kill(worker.pid, number)
    code = worker.process.wait(STOP_GRACE + 20)
    assert code == 130, f"exit code {code}: {injector.deployment.tail(worker.log)}"
    wait_until_gone([trainer.process for trainer in trainers], SOON_SECONDS)
    return injection


def terminate_worker(injector: Injector) -> Injection:
    return _send_stop_signal(injector, signal.SIGTERM)


def interrupt_worker(injector: Injector) -> Injection:
    return _send_stop_signal(injector, signal.SIGINT)


def stop_now(injector: Injector) -> Injection:
    injection = injector.state_before("smart-tuner stop --now, then resume", injector.trials_at_work())
    injector.deployment.run_command("stop", "--now")
    injector.deployment.wait(
        lambda: all(row.state != "RUNNING" for row in injector.deployment.rows()), "no trial runs", 20
    )
    injector.deployment.wait(lambda: not injector.deployment.at_work(), "no trainer is at work", 10)
    injector.deployment.run_command("resume")
    return injection


def kill_real(injector: Injector) -> Injection:
    """During training, after its first checkpoint."""
    trainer = injector.choose_trainer(lambda trainer: injector.good(trainer.trial or 0) > 0)
    injection = injector.state_before("kill -9 of the real trainer", [trainer.trial])
    trainer.process.kill()
    injector.count_failure(trainer)
    return injection


def damage_real_checkpoint(injector: Injector) -> Injection:
    injection = damage_checkpoint(injector, killed=True)
    injection.kind = "corrupt last.pt of the real trainer"
    return injection


def run_out_of_memory_for_real(injector: Injector) -> Injection:
    """The trial whose memory is limited needs more as soon as it trains."""
    (limited,) = injector.expected
    row = injector.deployment.wait(
        lambda: next((r for r in injector.deployment.rows() if r.number == limited and r.finished), None), "its end"
    )
    assert row.state == "PRUNED", row
    assert row.attributes["reason"].startswith("out of memory: "), row
    return injector.state_before("out of memory, real trainer", [limited], "RLIMIT_AS")
