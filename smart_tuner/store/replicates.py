"""Replicates: trainings of a setting again, with other seeds, after the search. What they say of their setting. Pure.

The winner of a search has won in part by luck: by its seed. So the best settings are trained again, and the mean over
the seeds of a setting decides. `store.queue` begins replicates; `run.trial` trains them to their end.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.store.attributes import Attr


def is_replicate(trial: FrozenTrial) -> bool:
    return Attr.REPLICATE_OF in trial.user_attrs


@dataclass(frozen=True)
class Setting:
    """A setting whose trial of the search, the original, is complete and feasible.

    replicates: its finished ones, without those that failed, for which a machine is to blame.
    """

    original: FrozenTrial
    replicates: tuple[FrozenTrial, ...] = ()

    @property
    def values(self) -> list[float]:
        """The objective with each seed with which the setting is feasible."""
        trials = [trial for trial in (self.original, *self.replicates) if is_feasible(trial)]
        return [trial.value for trial in trials if trial.value is not None]

    @property
    def own(self) -> float:
        """The objective of the original, by which the search chose it."""
        assert self.original.value is not None
        return self.original.value

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """The standard deviation between its seeds; None for a single one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def misses(self) -> int:
        """Seeds with which it was not feasible, or did not come to its end."""
        return 1 + len(self.replicates) - len(self.values)


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether it is complete and satisfies the constraints."""
    return trial.state is TrialState.COMPLETE and bool(trial.user_attrs[Attr.FEASIBLE]) and trial.value is not None


def settings_of(trials: Iterable[FrozenTrial]) -> list[Setting]:
    """The settings with a feasible original, the best one first.

    Those with replicates are ranked by the seeds that miss, then by the mean. A setting that was trained once is
    compared with them by what it was chosen by, its one value with theirs: of many settings, the least single value is
    lucky, so that a mean would seldom be below it.
    """
    replicates: defaultdict[int, list[FrozenTrial]] = defaultdict(list)
    originals = []
    for trial in trials:
        if not is_replicate(trial):
            originals.append(trial)
        elif trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            replicates[trial.user_attrs[Attr.REPLICATE_OF]].append(trial)
    found = [Setting(trial, tuple(replicates[trial.number])) for trial in originals if is_feasible(trial)]
    return _ranked(found)


def _ranked(settings: Sequence[Setting]) -> list[Setting]:
    several = [setting for setting in settings if setting.replicates]
    least = min((setting.own for setting in several), default=0.0)

    def rank(setting: Setting) -> tuple[int, int, float, int]:
        if setting.replicates:
            return 1, setting.misses, setting.mean, setting.original.number
        return (0 if several and setting.own < least else 2), 0, setting.own, setting.original.number

    return sorted(settings, key=rank)


@dataclass(frozen=True)
class Due:
    """original: whose setting is to be trained with `seeds` other seeds in all; missing: how many have not begun."""

    original: FrozenTrial
    seeds: int
    missing: int


def that_count(trials: Sequence[FrozenTrial], target: int) -> list[FrozenTrial]:
    """The first `target` trials of the search, and all replicates. trials: of the whole study, by number."""
    searched = [trial for trial in trials if not is_replicate(trial)]
    return [*searched[:target], *filter(is_replicate, trials)]


def due(trials: Sequence[FrozenTrial], top: int, seeds: int) -> Iterator[Due]:
    """The replicates that a study lacks whose search has ended: of the `top` best settings, `seeds` each.

    The best are those by the search alone, so that replicates do not change whose turn it is. Those that are begun
    count, also where they failed.
    """
    begun: Counter[int] = Counter()
    for trial in filter(is_replicate, trials):
        begun[trial.user_attrs[Attr.REPLICATE_OF]] += 1
    best = sorted(settings_of(trials), key=lambda setting: (setting.own, setting.original.number))
    for setting in best[:top]:
        if (missing := seeds - begun[setting.original.number]) > 0:
            yield Due(setting.original, seeds, missing)
