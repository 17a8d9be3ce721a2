"""The trials of a study as its sampler should see them.

- One that has paused is PRUNED, so that its last report teaches the sampler.
- A replicate is left out: it would count its setting once more, and so draw the sampler there. Its original has the
  mean of the setting.
- Each has the present ranges, whatever they were when it began; one that lies outside is not seen. Where it did not
  search a parameter, it has the value that it was trained with.
- Of more than 1,000, the best ones and the newest are seen. The time that TPE takes grows with their number, and it
  gives the older ones less weight anyway.
"""

import copy
import heapq
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.distributions import distribution_of
from smart_tuner.spec import StudySpec
from smart_tuner.spec.conditions import constants
from smart_tuner.spec.translation import in_space
from smart_tuner.store.attributes import PAUSED, Attr, shown_state
from smart_tuner.store.replicates import is_replicate, settings_of

Unsearched = Sequence[tuple[int, Mapping[str, Any]]]

MOST = 1_000  # that are seen
_BEST = 50  # among them; twice as many as TPE calls good


class History:
    """Call `shown` with the stored trials. Thread-safe.

    unsearched: settings by dotted key that were not searched then, each with the number of trials at that time, in the
    order in which they were added to the search.
    """

    def __init__(self, spec: StudySpec, unsearched: Unsearched = ()) -> None:
        self._search = spec.search
        self._constants = constants(spec)
        self._distributions = {key: distribution_of(parameter) for key, parameter in spec.search.items()}
        self._unsearched = unsearched
        self._known: dict[int, _Place | None] = {}  # by the number of trials whose parameters do not change
        self._last = threading.local()  # what this thread was shown last; a sampler asks several times for each trial
        self._paused: dict[int, tuple[FrozenTrial, FrozenTrial]] = {}  # by number: as stored, as shown

    def shown(self, trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
        """For the same list as the last time, the same answer: a list that was read is not changed."""
        if getattr(self._last, "trials", None) is not trials:
            self._last.answer = self._show(trials)
            self._last.trials = trials
        answer: Sequence[FrozenTrial] = self._last.answer
        return answer

    def _show(self, trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
        settings = [trial for trial in trials if not is_replicate(trial)]
        means = _means(trials) if len(settings) < len(trials) else {}
        shown = [shown for trial in settings if (shown := self._show_one(trial, means.get(trial.number))) is not None]
        return shown if len(shown) <= MOST else _best_and_newest(shown)

    def _show_one(self, trial: FrozenTrial, mean: float | None) -> FrozenTrial | None:
        """None where it lies outside the present search space. mean: of its setting, where that has replicates."""
        place = self._place(trial)
        if place is None:
            return None
        if shown_state(trial) == PAUSED:
            return self._as_pruned(trial, place)
        if place.is_as_stored and mean is None:
            return trial
        shown = _moved(trial, place)
        shown.values = trial.values if mean is None else [mean]
        return shown

    def _as_pruned(self, trial: FrozenTrial, place: "_Place") -> FrozenTrial:
        """A paused trial. The store gives the same object until it changes; there are many of them."""
        known = self._paused.get(trial.number)
        if known is not None and known[0] is trial:
            return known[1]
        shown = _moved(trial, place)
        shown.state = TrialState.PRUNED
        self._paused[trial.number] = trial, shown
        return shown

    def _place(self, trial: FrozenTrial) -> "_Place | None":
        if trial.number not in self._known:
            place = self._find(trial)
            if trial.state is TrialState.RUNNING or not trial.params:  # it may get further ones
                return place
            self._known[trial.number] = place
        return self._known[trial.number]

    def _find(self, trial: FrozenTrial) -> "_Place | None":
        params = in_space(trial.params, self._elsewhere(trial.number), self._search, self._constants)
        if params is None:
            return None
        distributions = {key: self._distributions[key] for key in params}
        return _Place(params, distributions, is_as_stored=distributions == trial.distributions)

    def _elsewhere(self, number: int) -> dict[str, Any]:
        """Settings that a trial did not search: those of the first change after it count."""
        found: dict[str, Any] = {}
        for trials, values in reversed(self._unsearched):
            if number < trials:
                found |= values
        return found


def _best_and_newest(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """In the order in which they began."""
    feasible = (trial for trial in trials if trial.state is TrialState.COMPLETE and trial.user_attrs.get(Attr.FEASIBLE))
    best = heapq.nsmallest(_BEST, feasible, key=lambda trial: trial.values[0])
    newest = trials[len(best) - MOST :]
    seen = {trial.number for trial in newest}
    return [*sorted((trial for trial in best if trial.number not in seen), key=lambda t: t.number), *newest]


def _means(trials: Sequence[FrozenTrial]) -> Mapping[int, float]:
    """The means of settings that have replicates, by the numbers of their originals."""
    return {setting.original.number: setting.mean for setting in settings_of(trials) if setting.replicates}


def _moved(trial: FrozenTrial, place: "_Place") -> FrozenTrial:
    moved = copy.copy(trial)
    moved.params = place.params
    moved.distributions = place.distributions
    return moved


@dataclass(frozen=True)
class _Place:
    """Where a trial lies in the present search space."""

    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    is_as_stored: bool
