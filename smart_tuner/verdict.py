"""How a trial ended: a pure function of its last event, the trainer's exit code, and what we asked for.

A failed trial gets no invented value; its reason names the signal or the exit code and ends with the log's tail.
"""

import signal
from dataclasses import dataclass
from enum import StrEnum

from trainer.protocol import Event, EventKind, ExitCode


class State(StrEnum):
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"
    INTERRUPTED = "INTERRUPTED"  # goes back to the queue and is continued from its last checkpoint


@dataclass(frozen=True)
class StopAsked:
    """That we asked the trainer to stop, and why. prune: the trial is over; else it is to be continued."""

    prune: bool
    reason: str


@dataclass(frozen=True)
class Verdict:
    state: State
    reason: str  # empty for COMPLETE


def judge(last: Event | None, exit_code: int, asked: StopAsked | None, log_tail: str = "") -> Verdict:
    """exit_code: as of subprocess, negative for signals; last: the last event of the whole record, if any."""
    if exit_code == ExitCode.FINISHED and last is not None and last.kind is EventKind.FINISHED:
        return Verdict(State.COMPLETE, "")
    if asked is not None and asked.prune:
        return Verdict(State.PRUNED, asked.reason)
    if exit_code == ExitCode.DIVERGED:
        return Verdict(State.PRUNED, f"diverged: {_said(last, 'the loss is not finite')}")
    if exit_code == ExitCode.OUT_OF_MEMORY:
        return Verdict(State.PRUNED, f"out of memory: {_said(last, 'these parameters need more than there is')}")
    if asked is not None:
        return Verdict(State.INTERRUPTED, asked.reason)
    return Verdict(State.FAIL, _failure(last, exit_code, log_tail))


def _failure(last: Event | None, exit_code: int, log_tail: str) -> str:
    tail = f"\n{log_tail.strip()}" if log_tail.strip() else ""
    if exit_code < 0:
        return f"the trainer was killed by {_signal_name(-exit_code)}{tail}"
    if exit_code == ExitCode.FINISHED:
        return f"the trainer left with exit code 0 but without finishing{tail}"
    if exit_code == ExitCode.BAD_INPUT:
        return f"the trainer refused its input (exit code 2): {_said(last, 'see the log')}{tail}"
    if exit_code == ExitCode.STOPPED:
        said = _said(last, "no reason given", EventKind.STOPPED)
        return f"the trainer was stopped by somebody else (exit code {exit_code}): {said}{tail}"
    return f"the trainer crashed (exit code {exit_code}): {_said(last, 'see the log')}{tail}"


def _said(last: Event | None, otherwise: str, kind: EventKind = EventKind.FAILED) -> str:
    """The reason that the trainer itself gave in its last words; words of another kind are of an earlier start."""
    if last is None or last.kind is not kind:
        return otherwise
    return str(last.data.get("reason") or otherwise)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
