"""What trials cost, by the times of their own events: the time that a trial waited between two starts costs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from optuna.trial import FrozenTrial

from trainer.protocol import Event, EventKind


@dataclass(frozen=True)
class Cost:
    """Of one trial. Trials that shared a GPU count in full, each."""

    seconds: float  # at work, over all its starts
    share: float  # of its budget that it has trained for, 0 to 1
    device: str  # cpu or cuda; empty where its record is not here
    measured: bool  # by its own events; else by the store's times of its begin and end

    @property
    def spared(self) -> float:
        """Seconds that the rest of the budget would have taken, at its own pace."""
        return self.seconds * (1 - self.share) / self.share if self.share else 0.0


def cost_of_record(events: Sequence[Event], budget_frames: int) -> Cost | None:
    """None where the trial has said nothing."""
    if not events:
        return None
    seconds = sum(max(0.0, b.time - a.time) for a, b in pairwise(events) if b.kind is not EventKind.STARTED)
    started = [event.data for event in events if event.kind is EventKind.STARTED]
    device = str(started[-1].get("device", "")).partition(":")[0] if started else ""
    return Cost(seconds, min(1.0, events[-1].frames / budget_frames), device, measured=True)


def cost_in_store(trial: FrozenTrial, reports: int) -> Cost | None:
    """Of a trial whose record is not here; None where it has not ended."""
    if trial.duration is None:
        return None
    return Cost(trial.duration.total_seconds(), max(trial.intermediate_values, default=0) / reports, "", measured=False)
