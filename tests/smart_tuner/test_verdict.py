import signal
from typing import Any

import pytest

from smart_tuner.verdict import State, StopAsked, Verdict, judge
from trainer.protocol import Event, EventKind, ExitCode

TAIL = "Traceback (most recent call last):\nRuntimeError: boom"
PRUNE = StopAsked(prune=True, reason="attention does not align")
INTERRUPT = StopAsked(prune=False, reason="stopped by SIGINT")
ASKED = {"nothing": None, "prune": PRUNE, "interrupt": INTERRUPT}


def event(kind: EventKind, **data: Any) -> Event:
    return Event(kind, 10, 1, data, 0.0)


FINISHED = event(EventKind.FINISHED, seconds=1)
STOPPED = event(EventKind.STOPPED, reason="received SIGTERM")
FAILED = event(EventKind.FAILED, reason="RuntimeError: boom", exit_code=1)
NAN = event(EventKind.FAILED, reason="loss is nan at update 7", exit_code=11)
MEMORY = event(EventKind.FAILED, reason="needs 99 GiB", exit_code=12)
CORPUS = event(EventKind.FAILED, reason="a.wav: is no sound", exit_code=2)
VALIDATION = event(EventKind.VALIDATION, index=3, loss=1.0)
NOTHING = None

C, P, F, I = State.COMPLETE, State.PRUNED, State.FAIL, State.INTERRUPTED  # noqa: E741
_ANY = (NOTHING, VALIDATION, FAILED, STOPPED)

# exit code, last event, what was asked -> state, what the reason begins with, whether the log's tail is in it
TABLE: list[tuple[int, Event | None, str, State, str, bool]] = [
    # The whole budget was trained: whatever was asked meanwhile came too late.
    (0, FINISHED, "nothing", C, "", False),
    (0, FINISHED, "prune", C, "", False),
    (0, FINISHED, "interrupt", C, "", False),
    # Exit code 0 alone proves nothing, and neither does the event alone.
    *((0, last, "nothing", F, "the trainer left with exit code 0 but without finishing", True) for last in _ANY),
    (0, VALIDATION, "prune", P, "attention does not align", False),
    (0, VALIDATION, "interrupt", I, "stopped by SIGINT", False),
    (1, FINISHED, "nothing", F, "the trainer crashed (exit code 1): see the log", True),
    # Asked to stop, and it did: politely, by the kill after the grace time, or it broke on the way out.
    (10, STOPPED, "prune", P, "attention does not align", False),
    (10, STOPPED, "interrupt", I, "stopped by SIGINT", False),
    (-signal.SIGKILL, VALIDATION, "prune", P, "attention does not align", False),
    (-signal.SIGKILL, VALIDATION, "interrupt", I, "stopped by SIGINT", False),
    (-signal.SIGTERM, NOTHING, "prune", P, "attention does not align", False),
    (-signal.SIGTERM, NOTHING, "interrupt", I, "stopped by SIGINT", False),
    (1, FAILED, "prune", P, "attention does not align", False),
    (1, FAILED, "interrupt", I, "stopped by SIGINT", False),
    (2, CORPUS, "interrupt", I, "stopped by SIGINT", False),
    # Somebody else stopped it.
    (10, STOPPED, "nothing", F, "the trainer was stopped by somebody else (exit code 10): received SIGTERM", True),
    (10, NOTHING, "nothing", F, "the trainer was stopped by somebody else (exit code 10): no reason given", True),
    # The parameters are at fault: told to the sampler as pruned, not retried.
    (11, NAN, "nothing", P, "diverged: loss is nan at update 7", False),
    (11, VALIDATION, "nothing", P, "diverged: the loss is not finite", False),
    (11, NAN, "interrupt", P, "diverged: loss is nan at update 7", False),
    (11, NAN, "prune", P, "attention does not align", False),
    (12, MEMORY, "nothing", P, "out of memory: needs 99 GiB", False),
    (12, NOTHING, "nothing", P, "out of memory: these parameters need more than there is", False),
    (12, MEMORY, "interrupt", P, "out of memory: needs 99 GiB", False),
    # Crashes, refusals, signals.
    (1, FAILED, "nothing", F, "the trainer crashed (exit code 1): RuntimeError: boom", True),
    (1, NOTHING, "nothing", F, "the trainer crashed (exit code 1): see the log", True),
    (2, CORPUS, "nothing", F, "the trainer refused its input (exit code 2): a.wav: is no sound", True),
    (2, NOTHING, "nothing", F, "the trainer refused its input (exit code 2): see the log", True),
    (77, VALIDATION, "nothing", F, "the trainer crashed (exit code 77): see the log", True),
    (255, FAILED, "nothing", F, "the trainer crashed (exit code 255): RuntimeError: boom", True),
    (-signal.SIGKILL, VALIDATION, "nothing", F, "the trainer was killed by SIGKILL", True),
    (-signal.SIGSEGV, FINISHED, "nothing", F, "the trainer was killed by SIGSEGV", True),
    (-250, VALIDATION, "nothing", F, "the trainer was killed by signal 250", True),
    # The last words of an earlier life, in a trial that was continued, explain nothing of this one's end.
    (1, STOPPED, "nothing", F, "the trainer crashed (exit code 1): see the log", True),
    (11, STOPPED, "nothing", P, "diverged: the loss is not finite", False),
    (12, STOPPED, "nothing", P, "out of memory: these parameters need more than there is", False),
    (2, STOPPED, "nothing", F, "the trainer refused its input (exit code 2): see the log", True),
]


@pytest.mark.parametrize(
    ("exit_code", "last", "asked", "state", "reason", "with_tail"),
    TABLE,
    ids=[f"exit {code}, {last.kind.value if last else 'no event'}, asked {asked}" for code, last, asked, *_ in TABLE],
)
def test_the_verdict_follows_from_exit_code_last_event_and_request(
    exit_code: int, last: Event | None, asked: str, state: State, reason: str, with_tail: bool
) -> None:
    expected = f"{reason}\n{TAIL}" if with_tail else reason
    assert judge(last, exit_code, ASKED[asked], f"\n{TAIL}\n\n") == Verdict(state, expected)
    assert judge(last, exit_code, ASKED[asked], "  \n") == Verdict(state, reason)


def test_the_table_covers_every_exit_code_and_request() -> None:
    assert {code for code, *_ in TABLE} >= set(ExitCode)
    assert {(code < 0, asked) for code, _, asked, *_ in TABLE} >= {
        (dead, asked) for dead in (True, False) for asked in ASKED
    }
    assert {state for *_, state, _, _ in TABLE} == set(State)
