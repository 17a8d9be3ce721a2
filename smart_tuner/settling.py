"""When a search has settled: a further trial is expected to gain less than seeds alone differ. Pure functions.

The expectation needs no model of the parameters. Of n + 1 settings that are as good as drawn in any order, the last one
is the best with probability 1 / (n + 1). If it is, it is better than the best so far by as much as the better half of
the values lie below the next one, on average: the tail is taken for an exponential one, whose mean excess is the same
at each threshold. A sampler that learns draws better settings later, so the gain of its next trial is underestimated; a
tail with a bound overestimates it. docs/search.md has what it saves and what it misses, by the replay.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.figures import objective as figure_of
from smart_tuner.store.attributes import PAUSED, Attr, shown_state
from smart_tuner.store.replicates import is_replicate, settings_of
from trainer.objectives import Objective

PASSING_ALIGNMENT = 0.9  # without a teacher
_TRIED = (TrialState.COMPLETE, TrialState.PRUNED)  # a failed trial tells nothing of its setting
LEAST_VALUES = 4  # from which a tail is estimated: by two of them
# Standard deviation between seeds of one setting, as a share of its objective, where none was trained twice: three
# settings with three seeds each (benchmarks/results/curves/seeds-en.jsonl), in the distance to the recordings.
USUAL_NOISE = 0.02


@dataclass(frozen=True)
class Expected:
    """gain: expected of a further trial; noise: standard deviation between seeds. Both in units of the objective."""

    gain: float
    noise: float


def why_settled(trials: Sequence[FrozenTrial], objective: Objective) -> str | None:
    """Why a study with these trials needs no further one, in words and figures; None: it does."""
    settings = settings_of(trials)
    if not any(passes(setting.original.user_attrs[Attr.METRICS], objective) for setting in settings):
        return None
    searched = [trial for trial in trials if not is_replicate(trial)]
    tried = sum(trial.state in _TRIED or shown_state(trial) == PAUSED for trial in searched)
    measured = noise_between([setting.values for setting in settings])
    found = settled([setting.own for setting in settings], tried, measured)
    if found is None:
        return None
    gain, noise = (figure_of(objective.metric).text(value) for value in (found.gain, found.noise))
    return f"a further trial is expected to be better by {gain}, less than the {noise} by which seeds alone differ"


def settled(values: Sequence[float], tried: int, noise: float | None = None) -> Expected | None:
    """What a study has settled by; None: it has not. Whether it may end is also up to `passes`.

    values: of the objective, which is minimised, of the settings that are feasible and complete. tried: number of all
    settings that are complete, pruned or paused. noise: between seeds, as measured; None: it was not.
    """
    if len(values) < LEAST_VALUES:
        return None
    gain = expected_gain(values, tried)
    found = Expected(gain, USUAL_NOISE * abs(min(values)) if noise is None else noise)
    return found if found.gain < found.noise else None


def expected_gain(values: Sequence[float], tried: int) -> float:
    """By how much a further trial is expected to be better than the best of `values`. Arguments as of `settled`."""
    ranked = sorted(values)
    half = len(ranked) // 2
    excess = statistics.fmean(ranked[half] - value for value in ranked[:half])
    return excess / (tried + 1)


def passes(metrics: Mapping[str, float], objective: Objective) -> bool:
    """Whether a feasible trial with these figures is good enough for its study to end.

    Every sentence ends, and the attention holds without a teacher. Where the objective is not heard, any is.
    """
    if not objective.is_heard:
        return True
    alignment = metrics.get("free_running_alignment", math.nan)
    return alignment >= PASSING_ALIGNMENT and metrics.get("free_running_failed", math.nan) == 0


def noise_between(groups: Sequence[Sequence[float]]) -> float | None:
    """The pooled standard deviation of values of the same settings, each group of one; None without any two."""
    several = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in several)
    if not freedom:
        return None
    return math.sqrt(sum(statistics.variance(group) * (len(group) - 1) for group in several) / freedom)
