"""The progress of a running trial, from the events of its trainer or from its reports in the store."""

from collections.abc import Iterable, Mapping
from typing import Any

from smart_tuner.formatting import duration
from smart_tuner.spec import BudgetSpec
from smart_tuner.terminal.view import Running
from trainer.corrections.correction import Action
from trainer.evaluation.verdict import PREFIX
from trainer.protocol import Event, EventKind

SILENT_SECONDS = 120.0  # without an event, after which a trial is shown as silent


def is_told(event: Event) -> bool:
    """Whether it is a correction that a person should see: single updates that were skipped are not."""
    return event.kind is EventKind.CORRECTION and event.data["what"] != Action.SKIP


class TrialProgress:
    """Takes the events of one trial, in order. Not thread-safe.

    taken: when its worker started it, in seconds since the epoch. history: the events of earlier starts.
    replicate_of: the trial whose setting it trains with another seed, if any.
    """

    def __init__(
        self,
        number: int,
        params: Mapping[str, Any],
        budget: BudgetSpec,
        taken: float,
        history: Iterable[Event] = (),
        replicate_of: int | None = None,
    ) -> None:
        self._number = number
        self._replicate_of = replicate_of
        self._params = params
        self._budget = budget
        self._taken = taken
        self._share: float | None = None
        self._reports = 0
        self._loss: float | None = None
        self._validated: float | None = None
        self._alignment: float | None = None
        self._spoken: Mapping[str, float] = {}
        self._speed: float | None = None
        self._correction = ""
        self._received: float | None = None  # when the last event of this start was received
        for event in history:
            self.recall(event)

    def take(self, event: Event, received: float) -> None:
        """received: when the event was received, in seconds since the epoch."""
        self._received = received
        if event.kind is EventKind.PROGRESS:
            self._speed = event.data["frames_per_second"]
        self.recall(event)

    def recall(self, event: Event) -> None:
        """Take an event of an earlier start, which shows the progress of the trial but not what it does now."""
        self._share = event.frames / self._budget.frames
        if event.kind is EventKind.PROGRESS:
            self._loss = event.data["loss"]
        elif event.kind is EventKind.VALIDATION:
            spoken = {name: value for name, value in event.data.items() if name.startswith(PREFIX)}
            self.report(event.data["index"], event.data["loss"], event.data["alignment"], spoken)
        elif event.kind is EventKind.FREE_RUNNING:
            self._spoken = {f"{PREFIX}{name}": value for name, value in event.data.items()}
        elif is_told(event):
            self._correction = event.data["reason"]

    def report(
        self, index: int, loss: float | None, alignment: float | None, spoken: Mapping[str, float] | None = None
    ) -> None:
        """Take a validation; one that is known already, or older, is ignored. spoken: what was heard, if evaluated."""
        if index > self._reports:
            self._spoken = spoken or self._spoken
            self._reports = index
            self._validated = loss
            self._alignment = alignment
            self._share = max(self._share or 0.0, index / self._budget.reports)

    def row(self, now: float) -> Running:
        return Running(
            self._number,
            self._params,
            share=self._share,
            reports=self._reports,
            loss=self._loss if self._validated is None else self._validated,
            validated=self._validated is not None,
            alignment=self._alignment,
            spoken=self._spoken,
            speed=self._speed,
            left=self._left(now),
            age=max(0.0, now - self._taken),
            doing=self._doing(now),
            correction=self._correction,
            replicate_of=self._replicate_of,
        )

    def _left(self, now: float) -> float | None:
        """Seconds that are left, counting down between two events."""
        if not self._speed or self._share is None or self._received is None:
            return None
        return max(0.0, (1 - self._share) * self._budget.frames / self._speed - max(0.0, now - self._received))

    def _doing(self, now: float) -> str:
        if (silence := now - (self._received or self._taken)) > SILENT_SECONDS:
            return f"silent {duration(silence)}"
        if self._received is None:
            return "starting"
        if (self._share or 0.0) >= 1:
            return "finishing"  # it measures free running, and writes its last files
        return "training" if self._replicate_of is None else "replicating"
