"""The cost of trials: their time at work, by `working_time`, and the share of the budget that they trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from smart_tuner.store.attributes import Attr
from smart_tuner.working_time import seconds_at_work, spans_of_record, stored_spans
from trainer.protocol import Event, EventKind


@dataclass(frozen=True)
class Cost:
    """The cost of one trial. Each of several trials that share a GPU counts in full."""

    seconds: float  # at work, over all its starts
    share: float  # of its budget that it has trained, 0 to 1
    device: str  # cpu or cuda; empty if its record is not on this machine
    measured: bool  # False for trials of older versions, of which the store knows the start and the end alone

    @property
    def spared(self) -> float:
        """Seconds that the rest of the budget would have taken at the trial's own pace."""
        return self.seconds * (1 - self.share) / self.share if self.share else 0.0


def cost_of_record(events: Sequence[Event], budget_frames: int) -> Cost | None:
    """None if the record has no events."""
    if not events:
        return None
    seconds = seconds_at_work(spans_of_record(events))
    started = [event.data for event in events if event.kind is EventKind.STARTED]
    device = str(started[-1].get("device", "")).partition(":")[0] if started else ""
    return Cost(seconds, min(1.0, events[-1].frames / budget_frames), device, measured=True)


def cost_in_store(trial: FrozenTrial, reports: int) -> Cost | None:
    """The cost of a trial whose record is not on this machine; None if no attempt at it has ended."""
    spans = stored_spans(trial)
    if not spans:
        return None
    share = max(trial.intermediate_values, default=0) / reports
    return Cost(seconds_at_work(spans), share, "", measured=Attr.WORKED in trial.user_attrs)
