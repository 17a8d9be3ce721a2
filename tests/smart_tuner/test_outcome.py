import signal
from typing import Any

import pytest

from smart_tuner.outcome import MAX_RETRIES, Cause, Outcome, State, StopRequest, attempt_failed, judge
from trainer.protocol import Event, EventKind, ExitCode

TAIL = "Traceback (most recent call last):\nRuntimeError: boom"
PRUNE = StopRequest(State.PRUNED, Cause.ATTENTION, "attention does not align")
INTERRUPT = StopRequest(State.INTERRUPTED, Cause.INTERRUPTED, "stopped by SIGINT")
HANGS = StopRequest(State.RETRIED, Cause.SILENT, "the trainer was silent for 60 minutes")
LOST = StopRequest(State.LOST, Cause.TAKEN_OVER, "another worker has it")
PAUSE = StopRequest(State.PAUSED, Cause.PAUSED, "distance 9 at 20%")
ASKED = {"nothing": None, "prune": PRUNE, "interrupt": INTERRUPT, "pause": PAUSE, "hangs": HANGS, "lost": LOST}


def event(kind: EventKind, **data: Any) -> Event:
    return Event(kind, 10, 1, data, 0.0)


FINISHED = event(EventKind.FINISHED, seconds=1)
STOPPED = event(EventKind.STOPPED, reason="received SIGTERM")
FAILED = event(EventKind.FAILED, reason="RuntimeError: boom", exit_code=1)
NAN = event(EventKind.FAILED, reason="loss is nan at update 7", exit_code=11)
MEMORY = event(EventKind.FAILED, reason="needs 99 GiB", exit_code=12)
DISK = event(EventKind.FAILED, reason="last.pt: No space left on device", exit_code=13)
CORPUS = event(EventKind.FAILED, reason="a.wav: is no sound", exit_code=2)
VALIDATION = event(EventKind.VALIDATION, index=3, loss=1.0)
NOTHING = None

C, P, F, I = State.COMPLETE, State.PRUNED, State.FAIL, State.INTERRUPTED  # noqa: E741
R, S, L = State.RETRIED, State.NO_SPACE, State.LOST
ATTENTION, INTERRUPTED, TAKEN_OVER = Cause.ATTENTION, Cause.INTERRUPTED, Cause.TAKEN_OVER
CRASHED, BAD_INPUT, NO_SPACE = Cause.CRASHED, Cause.BAD_INPUT, Cause.NO_SPACE
_ANY = (NOTHING, VALIDATION, FAILED, STOPPED)

# exit code, last event, request -> state, cause, how the reason begins, whether it ends with the log's tail
TABLE: list[tuple[int, Event | None, str, State, Cause | None, str, bool]] = [
    # The whole budget was trained: a request came too late.
    (0, FINISHED, "nothing", C, None, "", False),
    (0, FINISHED, "prune", C, None, "", False),
    (0, FINISHED, "interrupt", C, None, "", False),
    # Exit code 0 alone proves nothing, and neither does the event alone.
    *((0, last, "nothing", R, CRASHED, "the trainer ended with exit code 0 but did not finish", True) for last in _ANY),
    (0, VALIDATION, "prune", P, ATTENTION, "attention does not align", False),
    (0, VALIDATION, "interrupt", I, INTERRUPTED, "stopped by SIGINT", False),
    (1, FINISHED, "nothing", R, CRASHED, "the trainer crashed (exit code 1): see the log", True),
    # It was asked to stop: it did so, was killed after the grace time, or failed while it stopped.
    (10, STOPPED, "prune", P, ATTENTION, "attention does not align", False),
    (10, STOPPED, "interrupt", I, INTERRUPTED, "stopped by SIGINT", False),
    (-signal.SIGKILL, VALIDATION, "prune", P, ATTENTION, "attention does not align", False),
    (-signal.SIGKILL, VALIDATION, "interrupt", I, INTERRUPTED, "stopped by SIGINT", False),
    (-signal.SIGTERM, NOTHING, "prune", P, ATTENTION, "attention does not align", False),
    (-signal.SIGTERM, NOTHING, "interrupt", I, INTERRUPTED, "stopped by SIGINT", False),
    (1, FAILED, "prune", P, ATTENTION, "attention does not align", False),
    (1, FAILED, "interrupt", I, INTERRUPTED, "stopped by SIGINT", False),
    (2, CORPUS, "interrupt", I, INTERRUPTED, "stopped by SIGINT", False),
    (10, STOPPED, "pause", State.PAUSED, Cause.PAUSED, "distance 9 at 20%", False),
    (-signal.SIGKILL, VALIDATION, "pause", State.PAUSED, Cause.PAUSED, "distance 9 at 20%", False),
    (1, FAILED, "pause", State.PAUSED, Cause.PAUSED, "distance 9 at 20%", False),
    (0, FINISHED, "pause", C, None, "", False),
    (11, NAN, "pause", P, Cause.DIVERGED, "diverged: loss is nan at update 7", False),
    (12, MEMORY, "pause", P, Cause.MEMORY, "out of memory: needs 99 GiB", False),
    (13, DISK, "pause", S, NO_SPACE, "the workspace cannot be written to: last.pt: No space left on device", False),
    # Somebody else stopped it: it saved, and is continued.
    (10, STOPPED, "nothing", I, INTERRUPTED, "the trainer was stopped by somebody else: received SIGTERM", False),
    (10, NOTHING, "nothing", I, INTERRUPTED, "the trainer was stopped by somebody else: no reason given", False),
    # It hung, and was stopped or killed for that.
    (10, STOPPED, "hangs", R, Cause.SILENT, "the trainer was silent for 60 minutes", False),
    (-signal.SIGKILL, VALIDATION, "hangs", R, Cause.SILENT, "the trainer was silent for 60 minutes", False),
    (0, FINISHED, "hangs", C, None, "", False),
    # Another worker has it: the end of ours does not count.
    (0, FINISHED, "lost", L, TAKEN_OVER, "another worker has it", False),
    (-signal.SIGKILL, VALIDATION, "lost", L, TAKEN_OVER, "another worker has it", False),
    (12, MEMORY, "lost", L, TAKEN_OVER, "another worker has it", False),
    # The disk is full: not the trial's fault.
    (
        13,
        DISK,
        "nothing",
        S,
        NO_SPACE,
        "the workspace cannot be written to: last.pt: No space left on device",
        False,
    ),
    (
        13,
        NOTHING,
        "nothing",
        S,
        NO_SPACE,
        "the workspace cannot be written to: the disk is full or read-only",
        False,
    ),
    (13, DISK, "interrupt", I, INTERRUPTED, "stopped by SIGINT", False),
    (13, DISK, "prune", P, ATTENTION, "attention does not align", False),
    # The parameters are the cause: the trial is pruned, so that the sampler learns from it, and not retried.
    (11, NAN, "nothing", P, Cause.DIVERGED, "diverged: loss is nan at update 7", False),
    (11, VALIDATION, "nothing", P, Cause.DIVERGED, "diverged: the loss is not finite", False),
    (11, NAN, "interrupt", P, Cause.DIVERGED, "diverged: loss is nan at update 7", False),
    (11, NAN, "prune", P, ATTENTION, "attention does not align", False),
    (12, MEMORY, "nothing", P, Cause.MEMORY, "out of memory: needs 99 GiB", False),
    (12, NOTHING, "nothing", P, Cause.MEMORY, "out of memory: these parameters need more than there is", False),
    (12, MEMORY, "interrupt", P, Cause.MEMORY, "out of memory: needs 99 GiB", False),
    # Crashes, refusals, signals.
    (1, FAILED, "nothing", R, CRASHED, "the trainer crashed (exit code 1): RuntimeError: boom", True),
    (1, NOTHING, "nothing", R, CRASHED, "the trainer crashed (exit code 1): see the log", True),
    (2, CORPUS, "nothing", F, BAD_INPUT, "the trainer refused its input (exit code 2): a.wav: is no sound", True),
    (2, NOTHING, "nothing", F, BAD_INPUT, "the trainer refused its input (exit code 2): see the log", True),
    (77, VALIDATION, "nothing", R, CRASHED, "the trainer crashed (exit code 77): see the log", True),
    (255, FAILED, "nothing", R, CRASHED, "the trainer crashed (exit code 255): RuntimeError: boom", True),
    (-signal.SIGKILL, VALIDATION, "nothing", R, Cause.KILLED, "the trainer was killed by SIGKILL", True),
    (-signal.SIGSEGV, FINISHED, "nothing", R, Cause.KILLED, "the trainer was killed by SIGSEGV", True),
    (-250, VALIDATION, "nothing", R, Cause.KILLED, "the trainer was killed by signal 250", True),
    # In a continued trial, the last event of an earlier start does not explain this end.
    (1, STOPPED, "nothing", R, CRASHED, "the trainer crashed (exit code 1): see the log", True),
    (11, STOPPED, "nothing", P, Cause.DIVERGED, "diverged: the loss is not finite", False),
    (12, STOPPED, "nothing", P, Cause.MEMORY, "out of memory: these parameters need more than there is", False),
    (2, STOPPED, "nothing", F, BAD_INPUT, "the trainer refused its input (exit code 2): see the log", True),
]


@pytest.mark.parametrize(
    ("exit_code", "last", "asked", "state", "cause", "reason", "with_tail"),
    TABLE,
    ids=[f"exit {code}, {last.kind.value if last else 'no event'}, asked {asked}" for code, last, asked, *_ in TABLE],
)
def test_the_outcome_follows_from_exit_code_last_event_and_request(
    exit_code: int, last: Event | None, asked: str, state: State, cause: Cause | None, reason: str, with_tail: bool
) -> None:
    expected = f"{reason}\n{TAIL}" if with_tail else reason
    assert judge(last, exit_code, ASKED[asked], f"\n{TAIL}\n\n") == Outcome(state, cause, expected)
    assert judge(last, exit_code, ASKED[asked], "  \n") == Outcome(state, cause, reason)
    # After all retries the same end is a failure. An end that is no failure of the trainer stays the same.
    after_retries = judge(last, exit_code, ASKED[asked], f"\n{TAIL}\n\n", failures=MAX_RETRIES)
    if state is R:
        assert after_retries == Outcome(State.FAIL, cause, f"failed {MAX_RETRIES + 1} times; the last time {expected}")
    else:
        assert after_retries == Outcome(state, cause, expected)


def test_a_failed_attempt_is_retried_twice() -> None:
    assert [attempt_failed(Cause.NOT_STARTED, "no process", failures).state for failures in range(4)] == [R, R, F, F]


def test_the_table_covers_every_exit_code_and_request() -> None:
    assert {code for code, *_ in TABLE} >= set(ExitCode)
    assert {(code < 0, asked) for code, _, asked, *_ in TABLE} >= {
        (dead, asked) for dead in (True, False) for asked in ASKED
    }
    assert {state for _, _, _, state, *_ in TABLE} == set(State)
