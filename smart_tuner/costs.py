"""What trials cost: the time at work by `working_time`, and how much of the budget it was for."""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from smart_tuner.store.attributes import Attr
from smart_tuner.working_time import seconds_at_work, spans_of_record, stored_spans
from trainer.protocol import Event, EventKind


@dataclass(frozen=True)
class Cost:
    """Of one trial. Trials that shared a GPU count in full, each."""

    seconds: float  # at work, over all its starts
    share: float  # of its budget that it has trained for, 0 to 1
    device: str  # cpu or cuda; empty where its record is not here
    measured: bool  # by its own events; else, of older versions, by the store's times of its begin and end

    @property
    def spared(self) -> float:
        """Seconds that the rest of the budget would have taken, at its own pace."""
        return self.seconds * (1 - self.share) / self.share if self.share else 0.0


def cost_of_record(events: Sequence[Event], budget_frames: int) -> Cost | None:
    """None where the trial has said nothing."""
    if not events:
        return None
    seconds = seconds_at_work(spans_of_record(events))
    started = [event.data for event in events if event.kind is EventKind.STARTED]
    device = str(started[-1].get("device", "")).partition(":")[0] if started else ""
    return Cost(seconds, min(1.0, events[-1].frames / budget_frames), device, measured=True)


def cost_in_store(trial: FrozenTrial, reports: int) -> Cost | None:
    """Of a trial whose record is not here; None where no attempt at it has ended."""
    spans = stored_spans(trial)
    if not spans:
        return None
    share = max(trial.intermediate_values, default=0) / reports
    return Cost(seconds_at_work(spans), share, "", measured=Attr.WORKED in trial.user_attrs)
