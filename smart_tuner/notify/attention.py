"""Whether attention fails in most trials of a study: a pure function of its trials.

A trial that has paused is judged like one that has ended, once it has had `JUDGED_FROM` of its budget. Before that most
trials of a study that goes well do not align yet. By the recorded curves (`benchmarks/results/curves/quickstart-*`,
trials in 300 random orders), this warns of at most one study in a hundred that goes well, and of each in which no
setting aligns, after 15 trials in the median. By ended trials alone, it would miss two thirds or more of these.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import Attr

RECENT_TRIALS = 8
FAILING_TRIALS = 6  # of them
JUDGED_FROM = 0.3  # of the budget


@dataclass(frozen=True)
class Attention:
    """failing: of how many of the last `seen` trials the attention fails."""

    failing: int
    seen: int

    @property
    def fails(self) -> bool:
        return self.failing >= FAILING_TRIALS


def attention_of(trials: Iterable[FrozenTrial], spec: StudySpec) -> Attention:
    """Of the trials that have ended or paused last."""
    stopped = [(at, trial) for trial in trials if (at := _stopped_at(trial, spec.budget.reports)) is not None]
    last = sorted(stopped, key=lambda each: (each[0], each[1].number))[-RECENT_TRIALS:]
    return Attention(sum(_fails_to_align(trial, spec) for _, trial in last), len(last))


def _stopped_at(trial: FrozenTrial, reports: int) -> float | None:
    """When it did, in seconds since the epoch; None where it runs, waits to run, or paused too early to be judged.

    Of one that ended as a paused one: when it paused.
    """
    if (paused := trial.user_attrs.get(Attr.PAUSED)) is not None:
        return float(paused["time"]) if paused["index"] >= JUDGED_FROM * reports - 1e-9 else None
    if not trial.state.is_finished() or trial.datetime_complete is None:
        return None
    return trial.datetime_complete.timestamp()


def _fails_to_align(trial: FrozenTrial, spec: StudySpec) -> bool:
    figures = trial.user_attrs.get(Attr.METRICS, {})
    floor = spec.constraints.alignment.at_least
    if Attr.PAUSED in trial.user_attrs:  # it has not had its whole budget
        floor = min(floor, spec.pruner.alignment_deadline.at_least)
    return "alignment" in figures and figures["alignment"] < floor
