"""How far a running trial is, by the events that its trainer has written or by what it has reported to the store."""

from collections.abc import Iterable, Mapping
from typing import Any

from smart_tuner.formatting import duration
from smart_tuner.spec import BudgetSpec
from smart_tuner.terminal.view import Running
from trainer.protocol import Event, EventKind

SILENT_SECONDS = 120.0  # without an event, after which a trial is shown as silent


class TrialProgress:
    """Takes the events of one trial, in order. Not thread-safe.

    taken: when its worker took it, in seconds since the epoch. history: the events of earlier starts.
    """

    def __init__(
        self,
        number: int,
        params: Mapping[str, Any],
        budget: BudgetSpec,
        taken: float,
        history: Iterable[Event] = (),
    ) -> None:
        self._number, self._params, self._budget, self._taken = number, params, budget, taken
        self._share: float | None = None
        self._reports = 0
        self._loss: float | None = None
        self._validated: float | None = None
        self._alignment: float | None = None
        self._speed: float | None = None
        self._heard: float | None = None  # when the last event of this start came
        for event in history:
            self.recall(event)

    def take(self, event: Event, heard: float) -> None:
        """heard: when the event came, in seconds since the epoch."""
        self._heard = heard
        if event.kind is EventKind.PROGRESS:
            self._speed = event.data["frames_per_second"]
        self.recall(event)

    def recall(self, event: Event) -> None:
        """Take an event of an earlier start: it says how far the trial is, not what it does now."""
        self._share = event.frames / self._budget.frames
        if event.kind is EventKind.PROGRESS:
            self._loss = event.data["loss"]
        elif event.kind is EventKind.VALIDATION:
            self.report(event.data["index"], event.data["loss"], event.data["alignment"])

    def report(self, index: int, loss: float | None, alignment: float | None) -> None:
        """A validation; those that are known already, or older, say nothing new."""
        if index > self._reports:
            self._reports, self._validated, self._alignment = index, loss, alignment
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
            speed=self._speed,
            left=self._left(now),
            age=max(0.0, now - self._taken),
            doing=self._doing(now),
        )

    def _left(self, now: float) -> float | None:
        """Less the time since the last word, so that it goes down between two of them."""
        if not self._speed or self._share is None or self._heard is None:
            return None
        return max(0.0, (1 - self._share) * self._budget.frames / self._speed - max(0.0, now - self._heard))

    def _doing(self, now: float) -> str:
        if (silence := now - (self._heard or self._taken)) > SILENT_SECONDS:
            return f"silent {duration(silence)}"
        if self._heard is None:
            return "starting"
        return "training" if (self._share or 0.0) < 1 else "finishing"  # its free-running measures, its last files
