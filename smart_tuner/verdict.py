"""How a trial ended: a pure function of its last event, the trainer's exit code, and what we asked for.

A failed trial gets no invented value; its reason names the signal or the exit code and ends with the log's tail.
"""

import signal
from dataclasses import dataclass
from enum import StrEnum

from trainer.protocol import Event, EventKind, ExitCode

MAX_RETRIES = 2  # of a trial whose trainer crashed, from its last checkpoint


class State(StrEnum):
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"
    # Not finished: these go back to the queue, and are continued from their last checkpoint.
    INTERRUPTED = "INTERRUPTED"
    RETRIED = "RETRIED"  # the trainer or the machine failed
    NO_SPACE = "NO SPACE"  # the workspace cannot be written to; no fault of the trial's
    LOST = "LOST"  # another worker has it now, ours having been silent for too long

    @property
    def is_final(self) -> bool:
        return self in (State.COMPLETE, State.PRUNED, State.FAIL)


@dataclass(frozen=True)
class StopAsked:
    """That we asked the trainer to stop, what becomes of the trial, and why."""

    then: State  # PRUNED, INTERRUPTED, RETRIED (it hangs) or LOST
    reason: str


@dataclass(frozen=True)
class Verdict:
    state: State
    reason: str  # empty for COMPLETE
    out_of_memory: bool = False  # of a pruned one: its parameters are infeasible

    @property
    def is_failure(self) -> bool:
        """Whether the trainer or the machine failed, in this attempt."""
        return self.state in (State.FAIL, State.RETRIED)


def judge(
    last: Event | None, exit_code: int, asked: StopAsked | None, log_tail: str = "", failures: int = 0
) -> Verdict:
    """exit_code: as of subprocess, negative for signals; last: the last event of the whole record, if any.

    failures: attempts at this trial that failed before this one.
    """
    if asked is not None and asked.then is State.LOST:
        return Verdict(State.LOST, asked.reason)
    if exit_code == ExitCode.FINISHED and last is not None and last.kind is EventKind.FINISHED:
        return Verdict(State.COMPLETE, "")
    if asked is not None and asked.then is State.PRUNED:
        return Verdict(State.PRUNED, asked.reason)
    if exit_code == ExitCode.DIVERGED:
        return Verdict(State.PRUNED, f"diverged: {_said(last, 'the loss is not finite')}")
    if exit_code == ExitCode.OUT_OF_MEMORY:
        said = _said(last, "these parameters need more than there is")
        return Verdict(State.PRUNED, f"out of memory: {said}", out_of_memory=True)
    if asked is not None and asked.then is State.INTERRUPTED:
        return Verdict(State.INTERRUPTED, asked.reason)
    if exit_code == ExitCode.NO_SPACE:
        return Verdict(
            State.NO_SPACE, f"the workspace cannot be written to: {_said(last, 'the disk is full or read-only')}"
        )
    if exit_code == ExitCode.STOPPED and asked is None:
        said = _said(last, "no reason given", EventKind.STOPPED)
        return Verdict(State.INTERRUPTED, f"the trainer was stopped by somebody else: {said}")
    reason = asked.reason if asked is not None else _failure(last, exit_code, log_tail)
    if exit_code == ExitCode.BAD_INPUT:
        return Verdict(State.FAIL, reason)
    return attempt_failed(reason, failures)


def attempt_failed(reason: str, failures: int) -> Verdict:
    """The verdict on a trainer that crashed, hangs or could not be started, through no fault of its parameters."""
    if failures < MAX_RETRIES:
        return Verdict(State.RETRIED, reason)
    return Verdict(State.FAIL, f"failed {failures + 1} times; at last {reason}")


def _failure(last: Event | None, exit_code: int, log_tail: str) -> str:
    tail = f"\n{log_tail.strip()}" if log_tail.strip() else ""
    if exit_code < 0:
        return f"the trainer was killed by {_signal_name(-exit_code)}{tail}"
    if exit_code == ExitCode.FINISHED:
        return f"the trainer left with exit code 0 but without finishing{tail}"
    if exit_code == ExitCode.BAD_INPUT:
        return f"the trainer refused its input (exit code 2): {_said(last, 'see the log')}{tail}"
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
