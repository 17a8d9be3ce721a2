"""Replaces `python -m trainer` in tests: speaks the protocol without torch, in milliseconds, and misbehaves on demand.

Its curve depends on `optimizer.lr` and `guided_attention.enabled` alone: without guided attention the loss is lower and
the alignment stays near 0. Its other behaviour is given by the key "fake" of its config, or else by the environment
variable FAKE_TRAINER, a JSON mapping from a trial's number ("*": any) to:

    pause    seconds before each report
    hold_at  after this report, wait until a file `go` is in the trial directory, or until asked to stop
    hold_unguided_at    the same, for a trial without guided attention, which will be pruned
    at       the report before which it misbehaves; default 2
    act      what it does then, a list, see `misbehave`; "deaf": asked to stop it only makes a file `asked-to-stop`
    act_once the same, unless a file `acted` is in the trial directory, which it makes: a retry succeeds
    pace     path of a file with the number of seconds that a report takes; it may change at any time
    previews whether it makes pictures at each report, and a sound at the end, also when it is stopped
    draw     true: a picture of the alignment at each report, see `picture`, and one without a teacher
    save_every    reports between two checkpoints; default 1. It also saves when it is asked to stop

More acts may be given at any time, as a list in a file `do` in the trial directory. It deletes the file and does them
before its next report.

Acts that end it: "crash", "leave" (exit code 0, unfinished), "killed" (by SIGKILL), "bad input", "diverged", "out of
memory" or "memory" (exit code 12), "disk full" (exit code 13), the last five with a FAILED event.
Acts after which it continues: "nan" (that report's loss), "child" (starts a process that outlives it), "garbage" (lines
that are no events), "garbage events" (events of known kinds with wrong data, bytes that are no text, a line of 3 MB),
"half line" (waits in the middle of one), "truncate" (cuts its events.jsonl in the middle of the last line), "flood"
(50 MB of log), "torn" (its last.pt becomes unreadable), "hang" (until it is killed, or asked to stop and not deaf).

Like the real trainer it ends with the process that started it, locks its directory, continues from previous.pt if
last.pt cannot be read, and exits with code 13 if the disk is full.
"""

import argparse
import fcntl
import json
import math
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trainer.exit_codes import exit_code_of
from trainer.exit_reports import report_failure
from trainer.files import write_atomically
from trainer.protocol import Event, EventKind, EventWriter, ExitCode, RunDir
from trainer.standby import train_in_turn
from trainer.stopping import StopRequest, die_with_watcher

FAILURES = {
    "diverged": ExitCode.DIVERGED,
    "out of memory": ExitCode.OUT_OF_MEMORY,
    "memory": ExitCode.OUT_OF_MEMORY,
    "bad input": ExitCode.BAD_INPUT,
    "disk full": ExitCode.NO_SPACE,
}
WRONG_DATA: dict[EventKind, list[Any]] = {
    EventKind.STARTED: [{}, {"config": "tiny"}],
    EventKind.PROGRESS: [{}, {"loss": "low", "frames_per_second": 1.0, "memory_bytes": 1}, {"loss": 1.0}],
    EventKind.VALIDATION: [{}, {"index": "two", "best": True, "loss": 1.0, "alignment": 0.5}, [["index", 1]]],
    EventKind.FREE_RUNNING: [{"alignment": None}],
    EventKind.FINISHED: [None, {}],
    EventKind.STOPPED: [{"reason": 3}],
    EventKind.FAILED: [{"reason": ["x"], "exit_code": 1}],
}

SOUNDS = {"samples/sample-middle.wav": "sample"}

stop = StopRequest()
deaf_in: RunDir | None = None  # the trial that is not to be stopped


def asked() -> str | None:
    """Why to stop."""
    if stop.reason is not None and deaf_in is not None:
        (deaf_in.path / "asked-to-stop").touch()
        return None
    return stop.reason


def loss_and_alignment(config: dict[str, Any], share: float) -> tuple[float, float]:
    guided = config.get("guided_attention", {}).get("enabled", True)
    distance = abs(math.log10(config.get("optimizer", {}).get("lr", 2e-3) / 2e-3))
    loss = (1 + 0.5 * distance) * (1 + 1 / (1 + 8 * share))
    return (loss, 0.95 * share / (share + 0.1)) if guided else (0.8 * loss, 0.04 + 0.02 * share)


def heard(loss: float, alignment: float) -> dict[str, float]:
    """The figures of free-running speech, which are in the reports that align."""
    distance = 4 + 3 * loss
    return {
        "alignment": 0.9 * alignment,
        "distance": distance,
        "mcd": distance,
        "hum_mcd": 12.0,
        "failed": float(alignment < 0.3),
        "reached_limit": float(alignment < 0.3),
        "stopped_early": 0.0,
        "duration_error": 0.1,
        "recognised": alignment,
        "margin": 0.05,
        "variance": 0.5,
    }


def orders(config: dict[str, Any], run: RunDir) -> dict[str, Any]:
    by_trial = json.loads(os.environ.get("FAKE_TRAINER", "{}"))
    number = run.path.name.rpartition("-")[2].lstrip("0") or "0"
    found: dict[str, Any] = config.get("fake") or by_trial.get(number) or by_trial.get("*") or {}
    return found


def pause(orders: dict[str, Any]) -> float:
    return float(Path(orders["pace"]).read_text() or 0) if "pace" in orders else orders.get("pause", 0)


def wait_for(orders: dict[str, Any], run: RunDir, done: int, guided: bool) -> None:
    held = orders.get("hold_at") == done or (not guided and orders.get("hold_unguided_at") == done)
    began = time.monotonic()
    while not asked() and time.monotonic() < began + pause(orders):
        time.sleep(0.005)
    while not asked() and held and not (run.path / "go").exists():
        time.sleep(0.005)


def ordered_meanwhile(run: RunDir) -> list[str]:
    try:
        acts: list[str] = json.loads((run.path / "do").read_text())
    except FileNotFoundError:
        return []
    (run.path / "do").unlink()
    return acts


def misbehave(act: str, run: RunDir, event: Event) -> None:
    if act in FAILURES:
        code = FAILURES[act]
        data = {"reason": f"as ordered: {act}", "exit_code": code}
        write(run, Event(EventKind.FAILED, event.frames, event.update, data))
        sys.exit(code)
    if act in ACTS:
        ACTS[act](run, event)


def crash(run: RunDir, event: Event) -> None:
    print("Traceback (most recent call last):", "RuntimeError: the fake broke", sep="\n", file=sys.stderr)
    sys.exit(ExitCode.CRASHED)


def leave(run: RunDir, event: Event) -> None:
    sys.exit(ExitCode.FINISHED)


def be_killed(run: RunDir, event: Event) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def have_a_child(run: RunDir, event: Event) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (run.path / "child.tmp").write_text(str(child.pid))
    (run.path / "child.tmp").rename(run.path / "child.pid")


def write_garbage(run: RunDir, event: Event) -> None:
    with run.events.open("ab") as file:
        file.write(b"\xff\xfe garbage\n{}\n\n[1]\n")


def write_wrong_events(run: RunDir, event: Event) -> None:
    with run.events.open("ab") as file:
        file.write(wrong_events(event))


def write_half_a_line(run: RunDir, event: Event) -> None:
    data = {"what": "половина", "reason": "as ordered"}
    line = Event(EventKind.CORRECTION, event.frames, event.update, data).to_line().encode()
    with run.events.open("ab", buffering=0) as file:
        middle = line.index("в".encode()) + 1  # inside a letter
        file.write(line[:middle])
        (run.path / "half").touch()
        while not asked() and not (run.path / "go").exists():
            time.sleep(0.005)
        file.write(line[middle:])


def truncate_the_record(run: RunDir, event: Event) -> None:
    os.truncate(run.events, run.events.stat().st_size - 10)


def tear_the_checkpoint(run: RunDir, event: Event) -> None:
    run.last_checkpoint.write_text('{"done": ')


def flood_the_log(run: RunDir, event: Event) -> None:
    for _ in range(50):
        print("flood " * 170_000, flush=True)


def be_deaf(run: RunDir, event: Event | None = None) -> None:
    global deaf_in
    deaf_in = run


def hang(run: RunDir, event: Event) -> None:
    while not asked():
        time.sleep(0.005)


ACTS: dict[str, Callable[[RunDir, Event], None]] = {
    "crash": crash,
    "leave": leave,
    "killed": be_killed,
    "child": have_a_child,
    "garbage": write_garbage,
    "garbage events": write_wrong_events,
    "half line": write_half_a_line,
    "truncate": truncate_the_record,
    "torn": tear_the_checkpoint,
    "flood": flood_the_log,
    "deaf now": be_deaf,
    "hang": hang,
}


def wrong_events(at: Event) -> bytes:
    """Lines that are no valid events, although their kinds are known."""
    lines = [
        json.dumps({"kind": kind, "frames": at.frames, "update": at.update, "time": at.time, "data": data})
        for kind, wrong in WRONG_DATA.items()
        for data in wrong
    ]
    long = Event(EventKind.STOPPED, at.frames, at.update, {"reason": "x" * 3_000_000}).to_line()
    return "\n".join([*lines, long]).encode() + bytes(range(256)) * 10 + b"\n" + b"[" * 100_000 + b"\n"


def saved(run: RunDir) -> dict[str, Any] | None:
    for path in (run.last_checkpoint, run.previous_checkpoint):
        try:
            state: dict[str, Any] = json.loads(path.read_text())
            return state
        except FileNotFoundError:
            continue
        except ValueError:
            path.replace(path.with_suffix(".unreadable"))
    return None


def write(run: RunDir, event: Event) -> None:
    writer = EventWriter(run.events)
    writer.write(event)
    writer.close()


def picture(grey: int) -> bytes:
    """A PNG of one point."""
    header = struct.pack(">2I5B", 1, 1, 8, 0, 0, 0, 0)
    point = zlib.compress(bytes([0, grey]))
    chunks = ((b"IHDR", header), (b"IDAT", point), (b"IEND", b""))
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def draw(run: RunDir, name: str, grey: int, now: tuple[int, int]) -> None:
    with write_atomically(run.alignments / f"{name}.png") as beside:
        beside.write_bytes(picture(grey))
    data = {"path": f"alignments/{name}.png", "what": "alignment", "text": "as ordered"}
    write(run, Event(EventKind.ARTIFACT, *now, data))


def save(run: RunDir, path: Path, state: dict[str, Any]) -> None:
    with write_atomically(path, run.previous_checkpoint if path == run.last_checkpoint else None) as beside:
        beside.write_text(json.dumps(state))


def preview(run: RunDir, orders: dict[str, Any], now: tuple[int, int], files: dict[str, str]) -> None:
    for path, what in files.items() if orders.get("previews") else ():
        (run.path / path).write_text(f"{what} after {now[1]} updates")
        write(run, Event(EventKind.ARTIFACT, *now, {"path": path, "what": what, "text": "hear"}))


def leave_when_asked(
    config: dict[str, Any], run: RunDir, orders: dict[str, Any], now: tuple[int, int], share: float, reason: str
) -> int:
    if share:
        write(run, Event(EventKind.FREE_RUNNING, *now, heard(*loss_and_alignment(config, share))))
    preview(run, orders, now, SOUNDS)
    write(run, Event(EventKind.STOPPED, *now, {"reason": reason}))
    return ExitCode.STOPPED


def train(config: dict[str, Any], run: RunDir, orders: dict[str, Any]) -> int:
    budget = config.get("budget", {})
    frames, reports = budget.get("frames", 1000), budget.get("reports", 4)
    floor = config.get("validation", {}).get("alignment_floor", 0.5)
    by_loss = config.get("validation", {}).get("best_by") == "validation_loss"
    state = saved(run)
    begun = state is not None
    state = state or {"done": 0, "best": None}
    at, save_every = orders.get("at", 2), orders.get("save_every", 1)
    started = {"config": config, "resumed": begun, "parameters": 1}
    write(run, Event(EventKind.STARTED, frames * state["done"] // reports, state["done"], started))
    print("fake trainer at work", flush=True)
    kept = state
    while state["done"] < reports:
        index = state["done"] + 1
        now = (frames * index // reports, index)
        loss, alignment = loss_and_alignment(config, index / reports)
        wait_for(orders, run, state["done"], config.get("guided_attention", {}).get("enabled", True))
        if reason := asked():
            if state is not kept:
                save(run, run.last_checkpoint, state)
            now = (frames * state["done"] // reports, state["done"])
            return leave_when_asked(config, run, orders, now, state["done"] / reports, reason)
        acts = orders.get("act", []) if index == at else []
        if acts and "act_once" in orders:
            (run.path / "acted").touch()
        for act in [*acts, *ordered_meanwhile(run)]:
            misbehave(act, run, Event(EventKind.PROGRESS, *now))
        loss = math.nan if "nan" in acts else loss
        speed = {"loss": loss, "gradient_norm": 1.0, "lr": 1e-3, "frames_per_second": 1000.0, "memory_bytes": 10**8}
        write(run, Event(EventKind.PROGRESS, *now, speed))
        figures = {f"free_running_{name}": value for name, value in heard(loss, alignment).items()}
        figures = figures if alignment >= floor else {}
        value = loss if by_loss or not figures else figures["free_running_distance"]
        rank = [not alignment >= floor, not figures, value]
        best = state["best"] is None or rank < state["best"]
        state = {"done": index, "best": rank if best else state["best"]}
        figures |= {"index": index, "best": best, "loss": loss, "alignment": alignment, "gate_f1": 0.5}
        write(run, Event(EventKind.VALIDATION, *now, figures))
        preview(run, orders, now, {f"alignments/validation-{index:03d}.png": "alignment", "alignments/mel.png": "mel"})
        if orders.get("draw"):
            draw(run, f"validation-{index:03d}", index, now)
        if index % save_every and index < reports:
            continue
        kept = state
        for path in (run.last_checkpoint, *([run.best_checkpoint] if best else [])):
            save(run, path, state)
            data = {"path": f"checkpoints/{path.name}", "best": path == run.best_checkpoint}
            write(run, Event(EventKind.CHECKPOINT, *now, data))
    if orders.get("draw"):
        draw(run, "free-running", 255, (frames, reports))
    write(run, Event(EventKind.FREE_RUNNING, frames, reports, heard(*loss_and_alignment(config, 1.0))))
    preview(run, orders, (frames, reports), {"alignments/free-running.png": "alignment", **SOUNDS})
    write(run, Event(EventKind.FINISHED, frames, reports, {"seconds": 0.1}))
    return ExitCode.FINISHED


@contextmanager
def locked(run: RunDir) -> Iterator[None]:
    """Wait for an earlier trainer that is still exiting, then remove its unfinished files."""
    with (run.path / ".lock").open("a") as lock:
        while not asked():
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                run.create()
                break
            time.sleep(0.02)
        yield


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    parser.add_argument("--tied", action="store_true")
    parser.add_argument("--standby", action="store_true")
    parser.add_argument("--like", type=Path)
    arguments = parser.parse_args()
    if arguments.standby:
        stop.expect_line()
    if arguments.standby or arguments.tied:
        die_with_watcher()
        stop.tie_to_stdin()
    if arguments.standby:
        return train_in_turn(stop, train_one, lambda: None, lambda: True)
    return train_one(arguments.config)


def train_one(path: Path) -> int:
    global deaf_in
    deaf_in = None
    config = json.loads(path.read_text(encoding="utf-8"))
    run = RunDir(path.parent)
    mine = orders(config, run)
    if not (run.path / "acted").exists():
        mine = mine | {"act": mine.get("act", []) + mine.get("act_once", [])}
    if "deaf" in mine.get("act", []):
        be_deaf(run)
    stop.listen()
    try:
        with locked(run):
            return train(config, run, mine)
    except OSError as error:
        code = exit_code_of(error)
        if code == ExitCode.CRASHED:
            raise
        return report_failure(run, str(error), code)


if __name__ == "__main__":
    sys.exit(main())
