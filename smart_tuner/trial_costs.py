"""The cost of trials: their time at work, by `working_time`, and the share of the budget that they trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from smart_tuner.spec.study import BudgetSpec
from smart_tuner.store.attributes import COST_GPU_HOURS, Attr
from smart_tuner.working_time import seconds_at_work, spans_of_record, stored_spans
from trainer.protocol import Event, EventKind


@dataclass(frozen=True)
class Cost:
    """The cost of one trial. Each of several trials that share a GPU counts in full."""

    seconds: float  # at work, over all its starts
    share: float  # of its budget that it has trained, 0 to 1
    device: str  # cpu or cuda; empty if neither its record nor the store tells
    measured: bool  # False for trials of older versions, of which the store knows the start and the end alone

    @property
    def spared(self) -> float:
        """Seconds that the rest of the budget would have taken at the trial's own pace."""
        return self.seconds * (1 - self.share) / self.share if self.share else 0.0


def cost_of(trial: FrozenTrial, events: Sequence[Event], budget: BudgetSpec) -> Cost | None:
    """The cost by the trial's record on this machine, which may lack attempts on others, and by the store.

    events: of the record, empty if there is none. None if neither knows of any time at work.
    """
    recorded = spans_of_record(events)
    is_stored = Attr.WORKED in trial.user_attrs
    spans = [*recorded, *(stored_spans(trial) if is_stored or not recorded else ())]
    if not spans:
        return None
    trained = events[-1].frames / budget.frames if events else 0.0
    reported = map(int, trial.user_attrs.get(Attr.ALIGNMENT, ()))
    last = max([*reported, *trial.intermediate_values], default=0)
    share = max(trained, last / budget.reports)
    device = _device(events) or _stored_device(trial)
    return Cost(seconds_at_work(spans), min(1.0, share), device, measured=is_stored or bool(recorded))


def _device(events: Sequence[Event]) -> str:
    """Of the last start."""
    started = [event.data for event in events if event.kind is EventKind.STARTED]
    return str(started[-1].get("device", "")).partition(":")[0] if started else ""


def _stored_device(trial: FrozenTrial) -> str:
    """Of a trial whose record is not on this machine."""
    hours = trial.user_attrs.get(COST_GPU_HOURS)
    return "" if hours is None else "cuda" if hours else "cpu"
