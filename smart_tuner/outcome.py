"""How a trial ended: a pure function of its last event, the trainer's exit code, and our request to stop.

The cause is one word that can be counted; the reason is a sentence for people, which no program parses.
A failed trial gets no invented value; its reason names the signal or the exit code and ends with the log's tail.
"""

import signal
from collections.abc import Mapping
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
    PAUSED = "PAUSED"  # at a rung; it waits until it is worth going on with, or the study ends
    RETRIED = "RETRIED"  # the trainer or the machine failed
    NO_SPACE = "NO SPACE"  # the workspace cannot be written to; not the trial's fault
    LOST = "LOST"  # another worker has it now, since ours was silent for too long

    @property
    def is_final(self) -> bool:
        return self in (State.COMPLETE, State.PRUNED, State.FAIL)


class Cause(StrEnum):
    """Why an attempt ended before the end of its budget. The store and MLflow keep the values; people read them."""

    # Of pruned trials.
    ATTENTION = "attention"  # it does not align
    LOSS = "loss"  # too high among trials that align; where the loss is the objective
    SPEECH = "speech"  # worse than that of other trials that align, by the objective, without a teacher
    DIVERGED = "diverged"
    MEMORY = "memory"  # the parameters need more than the device has
    TIME = "time"  # `limits.trial_hours`
    NOT_PROMOTED = "not promoted"  # it had paused when the study ended
    DISK_LIMIT = "disk limit"  # it had paused, and lost its checkpoint: `limits.paused_gb`
    # Of attempts that failed.
    CRASHED = "crashed"
    KILLED = "killed"  # by a signal that we did not send
    SILENT = "silent"  # `limits.silent_minutes`
    BAD_INPUT = "bad input"  # the configuration or the corpus
    NOT_STARTED = "not started"
    NODE_LOST = "node lost"  # the machine that the executor had chosen
    NO_FIGURES = "no figures"  # finished, but without one finite validation loss
    # Of trials that go back to the queue.
    INTERRUPTED = "interrupted"
    PAUSED = "paused"
    NO_SPACE = "no space"
    TAKEN_OVER = "taken over"  # by another worker

    OTHER = "other"

    @classmethod
    def _missing_(cls, value: object) -> "Cause":
        """A cause that a later version has stored."""
        return cls.OTHER


# How the reasons of these causes begin. A display that shows the cause leaves the beginning out.
OPENINGS: Mapping[Cause, str] = {
    Cause.ATTENTION: "attention does not align: ",
    Cause.LOSS: "loss too high among trials that align: ",
    Cause.SPEECH: "speech worse than that of other trials: ",
    Cause.DIVERGED: "diverged: ",
    Cause.MEMORY: "out of memory: ",
}


def with_opening(cause: Cause, figures: str) -> str:
    """The whole reason."""
    return OPENINGS[cause] + figures


@dataclass(frozen=True)
class StopRequest:
    """A request to the trainer to stop: the state that the trial then gets, and why."""

    then: State  # PRUNED, PAUSED, INTERRUPTED, RETRIED (it hangs) or LOST
    cause: Cause
    reason: str


@dataclass(frozen=True)
class Outcome:
    """cause, reason: for every state except COMPLETE."""

    state: State
    cause: Cause | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        assert (self.cause is None) is (self.state is State.COMPLETE), f"{self.state} with cause {self.cause}"

    @property
    def is_failure(self) -> bool:
        """Whether the trainer or the machine failed in this attempt."""
        return self.state in (State.FAIL, State.RETRIED)


def judge(
    last: Event | None, exit_code: int, request: StopRequest | None, log_tail: str = "", failures: int = 0
) -> Outcome:
    """exit_code: as of subprocess, negative for signals; last: the last event of the whole record, if any.

    failures: attempts at this trial that failed before this one.
    """
    if request is not None and request.then is State.LOST:
        return Outcome(State.LOST, request.cause, request.reason)
    if exit_code == ExitCode.FINISHED and last is not None and last.kind is EventKind.FINISHED:
        return Outcome(State.COMPLETE)
    if request is not None and request.then is State.PRUNED:
        return Outcome(State.PRUNED, request.cause, request.reason)
    if exit_code in _PRUNED_BY:
        cause, otherwise = _PRUNED_BY[exit_code]
        return Outcome(State.PRUNED, cause, with_opening(cause, _reason_of(last, otherwise)))
    if request is not None and request.then is State.INTERRUPTED:
        return Outcome(State.INTERRUPTED, request.cause, request.reason)
    if exit_code == ExitCode.NO_SPACE:
        return no_space(_reason_of(last, "the disk is full or read-only"))
    if request is not None and request.then is State.PAUSED:
        return Outcome(State.PAUSED, request.cause, request.reason)
    if exit_code == ExitCode.STOPPED and request is None:
        reason = _reason_of(last, "no reason given", EventKind.STOPPED)
        return Outcome(State.INTERRUPTED, Cause.INTERRUPTED, f"the trainer was stopped by somebody else: {reason}")
    cause, reason = (request.cause, request.reason) if request is not None else _failure(last, exit_code, log_tail)
    if exit_code == ExitCode.BAD_INPUT:
        return Outcome(State.FAIL, cause, reason)
    return attempt_failed(cause, reason, failures)


# The causes, and the reasons of trainers that give none.
_PRUNED_BY: Mapping[int, tuple[Cause, str]] = {
    ExitCode.DIVERGED: (Cause.DIVERGED, "the loss is not finite"),
    ExitCode.OUT_OF_MEMORY: (Cause.MEMORY, "these parameters need more than there is"),
}


def no_space(reason: str) -> Outcome:
    return Outcome(State.NO_SPACE, Cause.NO_SPACE, f"the workspace cannot be written to: {reason}")


def attempt_failed(cause: Cause, reason: str, failures: int) -> Outcome:
    """The outcome of a trainer that crashed, hung or could not be started, where its parameters are not the cause."""
    if failures < MAX_RETRIES:
        return Outcome(State.RETRIED, cause, reason)
    return Outcome(State.FAIL, cause, f"failed {failures + 1} times; the last time {reason}")


def _failure(last: Event | None, exit_code: int, log_tail: str) -> tuple[Cause, str]:
    """Cause and reason."""
    tail = f"\n{log_tail.strip()}" if log_tail.strip() else ""
    if exit_code < 0:
        return Cause.KILLED, f"the trainer was killed by {_signal_name(-exit_code)}{tail}"
    if exit_code == ExitCode.FINISHED:
        return Cause.CRASHED, f"the trainer ended with exit code 0 but did not finish{tail}"
    reason = _reason_of(last, "see the log")
    if exit_code == ExitCode.BAD_INPUT:
        return Cause.BAD_INPUT, f"the trainer refused its input (exit code 2): {reason}{tail}"
    return Cause.CRASHED, f"the trainer crashed (exit code {exit_code}): {reason}{tail}"


def _reason_of(last: Event | None, otherwise: str, kind: EventKind = EventKind.FAILED) -> str:
    """The reason in the trainer's last event. An event of another kind is of an earlier start."""
    if last is None or last.kind is not kind:
        return otherwise
    return str(last.data.get("reason") or otherwise)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
