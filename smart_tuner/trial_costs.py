"""The cost of trials: their time at work, by `working_time`, and the share of the budget that they trained."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.spec.study import BudgetSpec
from smart_tuner.store.attributes import Attr
from smart_tuner.working_time import seconds_at_work, seconds_by_device, spans_of_record, stored_spans
from trainer.protocol import Event

_NEWEST = 20  # trials: the load of the machine may have changed since earlier ones


@dataclass(frozen=True)
class Cost:
    """The cost of one trial. Each of several trials that share a GPU counts in full."""

    seconds_by_device: Mapping[str, float]  # at work, over all its starts: cpu, cuda, empty where it is not known
    share: float  # of its budget that it has trained, 0 to 1
    measured: bool  # False for trials of older versions, of which the store knows the start and the end alone

    @property
    def seconds(self) -> float:
        return sum(self.seconds_by_device.values())

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
    return Cost(seconds_by_device(spans), min(1.0, share), measured=is_stored or bool(recorded))


def budgets_left(trials: Sequence[FrozenTrial], budget: BudgetSpec, *, seconds: float, frames: float) -> float:
    """Budgets that one more trial can train until the study has used `seconds` or `frames`.

    Those at work share the frames. The time of a budget is the median of the newest trials that have stopped, on
    whatever device; where there is none, the time limits nothing.
    """
    at_work = 1 + sum(trial.state is TrialState.RUNNING for trial in trials)
    in_frames = frames / budget.frames / at_work
    if math.isinf(seconds) or (pace := _seconds_of_frame(trials)) is None:
        return in_frames
    return min(in_frames, seconds / (pace * budget.frames))


def _seconds_of_frame(trials: Sequence[FrozenTrial]) -> float | None:
    """Trials at work do not count: what is stored of their time is older than what is stored of their frames."""
    stopped = (trial for trial in reversed(trials) if trial.state.is_finished() or Attr.PAUSED in trial.user_attrs)
    figures = ((seconds_at_work(stored_spans(trial)), trial.user_attrs.get(Attr.FRAMES, 0)) for trial in stopped)
    newest = list(islice((seconds / frames for seconds, frames in figures if seconds and frames), _NEWEST))
    return statistics.median(newest) if newest else None
