"""Studies in simulated time: settings train as they were recorded, and everything else is the real code.

`replay` lets a sampler and a pruner of Optuna, or our rules, search a table with some workers: a worker begins a trial,
reports at each tenth of the budget as recorded, stops, pauses or continues, and the next event is the one that is first
in time.

A sampler chooses among the settings of a table: the nearest one to its proposal that no trial has had yet, by the
distance of all parameters, each over its range. The trial has the parameters of that setting, and of them the sampler
learns. Settings that a study enqueues are left out, since a person has chosen them. Those of a warm start are taken to
the nearest ones, too.
"""

import heapq
import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from benchmarks.recorded_table import Table, tied
from smart_tuner.alignment_pruner import report
from smart_tuner.history import History
from smart_tuner.promotion import worthiest
from smart_tuner.pruning import Pause, Point, prune
from smart_tuner.sampler import LearnsFrom, sampler_of
from smart_tuner.settling import settled
from smart_tuner.space import suggest
from smart_tuner.spec import CategoricalParameter, Parameter, PrunerSpec, SamplerSpec, Search
from smart_tuner.spec.parameters import position
from smart_tuner.store.attributes import Attr
from smart_tuner.store.optuna_internals import OPTUNA_CONSTRAINT_PREFIX
from smart_tuner.warm_start import EarlierStudy, best_settings, earlier_curves

STARTUP_TRIALS = 8


class OfTable(optuna.samplers.BaseSampler):
    """Takes the proposals of another sampler to the nearest settings of a table that no trial has had yet."""

    def __init__(self, inner: optuna.samplers.BaseSampler, table: Table, first: Sequence[Mapping[str, Any]]) -> None:
        self._inner = inner
        self._first = first  # what the first trials propose
        self._search = table.study.search
        self._settings = table.settings
        self._free = list(range(len(table.settings)))
        self._places = [place(setting.params, self._search) for setting in table.settings]
        self.setting: dict[int, int] = {}  # by the number of the trial

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        relative = self._inner.sample_relative(study, trial, search_space)
        if trial.number < len(self._first):
            relative = {**relative, **self._first[trial.number]}
        proposal = suggest(_Proposal(self._inner, study, trial, relative), self._search)
        wanted = place(proposal, self._search)
        chosen = min(self._free, key=lambda number: distance(wanted, self._places[number]))
        self._free.remove(chosen)
        self.setting[trial.number] = chosen
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._settings[self.setting[trial.number]].params[param_name]

    @property
    def is_exhausted(self) -> bool:
        return not self._free


class _Proposal:
    """Suggests what the sampler would."""

    def __init__(
        self,
        sampler: optuna.samplers.BaseSampler,
        study: optuna.Study,
        trial: FrozenTrial,
        relative: Mapping[str, Any],
    ) -> None:
        self._sampler = sampler
        self._study = study
        self._trial = trial
        self._relative = relative
        self.params: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float:
        return float(self._of(name, optuna.distributions.FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        return int(self._of(name, optuna.distributions.IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._of(name, optuna.distributions.CategoricalDistribution(tuple(choices)))

    def _of(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._relative:
            return self._relative[name]
        return self._sampler.sample_independent(self._study, self._trial, name, distribution)


def place(params: Mapping[str, Any], search: Search) -> Mapping[str, float | str]:
    """Each parameter between 0 and 1 over its range; of a categorical one, its value."""
    return {key: _place(search[key], value) for key, value in params.items()}


def _place(parameter: Parameter, value: Any) -> float | str:
    if isinstance(parameter, CategoricalParameter):
        return str(value)
    return position(parameter, value)


def distance(one: Mapping[str, float | str], other: Mapping[str, float | str]) -> float:
    """Squared. Another category counts as a whole range; a parameter that only one has does not count."""
    found = 0.0
    for key, value in one.items():
        theirs = other.get(key)
        if isinstance(value, float) and isinstance(theirs, float):
            found += (value - theirs) ** 2
        elif theirs is not None:
            found += float(value != theirs)
    return found


@dataclass(frozen=True)
class Method:
    """How to search. One of `pruner`, which Optuna asks at each report, and `rules`, our own; or neither."""

    name: str
    sampler: str | Callable[[int], optuna.samplers.BaseSampler] = "tpe"  # as in a study's definition; or: of a seed
    pruner: Callable[[int], optuna.pruners.BasePruner] | None = None  # of the number of reports
    rules: PrunerSpec | None = None
    figure: str = "free_running_distance"  # that is reported to `pruner`
    trials: int | None = None  # how many begin; None: as many as the table has settings
    until_settled: bool = False
    finishes: bool = True  # near the end of its time: what it has, before it begins anything
    is_tied: bool = False  # searches the learning rate per clip of the batch


@dataclass(frozen=True)
class Ended:
    """A setting has been trained to the end of its budget. Compute in budgets, of all workers up to then."""

    setting: int
    compute: float
    mute: float  # of it, on settings that never align
    time: float  # in budgets of one worker


@dataclass
class Course:
    """What happened in one study, in order."""

    ended: list[Ended] = field(default_factory=list)
    begun: int = 0  # trials
    compute: float = 0.0
    mute: float = 0.0


@dataclass
class _Running:
    trial: optuna.Trial
    setting: int
    curve: dict[int, Point] = field(default_factory=dict)


@dataclass(frozen=True)
class WarmStart:
    """What a study takes from others: their best settings, and their curves for its rungs."""

    sources: Sequence[EarlierStudy] = ()
    settings: bool = True
    curves: bool = True


def replay(
    table: Table,
    method: Method,
    workers: int,
    seed: int,
    warm_start: WarmStart = WarmStart(),
    limit: float = math.inf,
) -> Course:
    """Search a table until it is exhausted and nothing paused is worth going on with, or the time is up.

    limit: the time, in budgets of one worker.
    """
    return _Study(table, method, seed, warm_start, limit).run(workers)


def source_of(table: Table, method: Method, seed: int) -> EarlierStudy:
    """A study that has searched a whole table, for others to start from."""
    study = _Study(table, method, seed, WarmStart())
    study.run(1)
    return EarlierStudy(table.name, table.study, study.trials)


class _Study:
    def __init__(self, table: Table, method: Method, seed: int, warm_start: WarmStart, limit: float = math.inf) -> None:
        self._table = table = tied(table) if method.is_tied else table
        self._limit = limit
        self._method = method
        self._rules = method.rules or PrunerSpec(kind="none")
        self._objective = table.study.objective.figure
        self._floor = table.study.constraints.alignment.at_least
        kind = "tpe" if callable(method.sampler) else method.sampler
        sampler = SamplerSpec(kind=kind, seed=seed, startup_trials=STARTUP_TRIALS)  # type: ignore[arg-type]
        spec = table.study.model_copy(update={"sampler": sampler, "pruner": self._rules})
        # Only where trials pause: Optuna's Hyperband shows samplers a study of its own.
        history = History(spec) if self._rules.kind == "promotion" else None
        first = best_settings(warm_start.sources, spec) if warm_start.settings else ()
        inner = (
            LearnsFrom(History(spec), method.sampler(seed)) if callable(method.sampler) else sampler_of(spec, history)
        )
        self._sampler = OfTable(inner, table, [each.setting for each in first])
        self._earlier = earlier_curves(warm_start.sources, spec) if warm_start.curves else ()
        pruner = method.pruner(table.reports) if method.pruner else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study = optuna.create_study(sampler=self._sampler, pruner=pruner)
        self._trials: list[_Running] = []  # by number
        self._paused: set[int] = set()
        self._course = Course()

    @property
    def trials(self) -> Sequence[FrozenTrial]:
        """With their curves, as the store keeps them."""
        found = self._study.get_trials()
        for frozen, running in zip(found, self._trials, strict=True):
            points = running.curve.values()
            frozen.set_user_attr(Attr.ALIGNMENT, {str(point.index): point.alignment for point in points})
            frozen.set_user_attr(Attr.LOSS, {str(point.index): point.loss for point in points})
        return found

    def run(self, workers: int) -> Course:
        order = itertools.count()
        events: list[tuple[float, int, int]] = []  # when a report is due, order, trial
        idle = workers
        now = 0.0
        while True:
            left = self._limit - now if self._method.finishes else math.inf
            while idle and (number := self._next(left)) is not None:
                heapq.heappush(events, (now + self._duration(number), next(order), number))
                idle -= 1
            if not events:
                return self._course
            now, _, number = heapq.heappop(events)
            if now > self._limit:
                return self._course
            if self._reports(number, now):
                heapq.heappush(events, (now + self._duration(number), next(order), number))
            else:
                idle += 1

    def _duration(self, number: int) -> float:
        """Until the next report, in budgets."""
        return self._table.settings[self._trials[number].setting].time / self._table.reports

    def _next(self, left: float) -> int | None:
        """The trial that a free worker takes; None: there is nothing to do for now. left: as of `worthiest`."""
        may_begin = self._may_begin()
        paused = {number: self._trials[number].curve for number in sorted(self._paused)}
        if paused:
            others = [trial.curve for number, trial in enumerate(self._trials) if number not in self._paused]
            chosen = worthiest(
                paused,
                [curve for curve in others if curve],
                self._rules,
                self._table.reports,
                self._floor,
                self._objective,
                may_begin=may_begin,
                left=left,
            )
            if chosen is not None:
                self._paused.remove(chosen)
                self._show(chosen, TrialState.RUNNING)
                return chosen
        return self._begin() if may_begin else None

    def _may_begin(self) -> bool:
        if self._sampler.is_exhausted or len(self._trials) == self._method.trials:
            return False
        return not (self._method.until_settled and self._has_settled())

    def _has_settled(self) -> bool:
        complete = [ended.setting for ended in self._course.ended]
        if not any(self._table.settings[setting].passes for setting in complete):
            return False
        values = [value for setting in complete if math.isfinite(value := self._table.values[setting])]
        running = sum(trial.state is TrialState.RUNNING for trial in self._study.get_trials(deepcopy=False))
        return settled(values, len(self._trials) - running) is not None

    def _begin(self) -> int:
        trial = self._study.ask()
        suggest(trial, self._table.study.search)
        self._course.begun += 1
        self._trials.append(_Running(trial, self._sampler.setting[trial.number]))
        return trial.number

    def _reports(self, number: int, now: float) -> bool:
        """Take the next report of a trial; whether it goes on."""
        trial = self._trials[number]
        index = len(trial.curve) + 1
        figures = self._table.settings[trial.setting].reports[index - 1]
        share = 1 / self._table.reports
        self._course.compute += share
        self._course.mute += 0 if self._table.aligns(trial.setting) else share
        heard = figures["free_running_distance"]
        is_measured = figures["alignment"] >= self._floor and math.isfinite(heard)  # as in a trial
        trial.curve[index] = Point(index, figures["loss"], figures["alignment"], heard if is_measured else None)
        if self._method.pruner:
            report(trial.trial, index, alignment=figures["alignment"], value=figures[self._method.figure])
        elif is_measured:
            trial.trial.report(heard, index)
        if index == self._table.reports:
            self._end(number, TrialState.COMPLETE)
            self._course.ended.append(Ended(trial.setting, self._course.compute, self._course.mute, now))
            return False
        if self._method.pruner and trial.trial.should_prune():
            self._end(number, TrialState.PRUNED)
            return False
        return self._goes_on(number)

    def _goes_on(self, number: int) -> bool:
        others = [trial.curve for other, trial in enumerate(self._trials) if other != number and trial.curve]
        judged = prune(
            self._trials[number].curve,
            lambda: others,
            self._rules,
            self._table.reports,
            self._floor,
            self._objective,
            self._earlier,
        )
        if judged is None:
            return True
        if isinstance(judged, Pause):
            self._constrain(number)
            self._paused.add(number)
            self._show(number, TrialState.PRUNED)
        else:
            self._end(number, TrialState.PRUNED)
        return False

    def _show(self, number: int, state: TrialState) -> None:
        """To the sampler, a trial that has paused is PRUNED. The in-memory storage gives out its own objects."""
        self._study.get_trials(deepcopy=False)[number].state = state

    def _constrain(self, number: int) -> None:
        """Of the last report, as the store keeps them."""
        trial = self._trials[number]
        figures = self._table.settings[trial.setting].reports[len(trial.curve) - 1]
        for name, value in self._table.study.constraints.missing(figures).items():
            trial.trial.storage.set_trial_system_attr(number, OPTUNA_CONSTRAINT_PREFIX + name, value)

    def _end(self, number: int, state: TrialState) -> None:
        self._constrain(number)
        trial = self._trials[number].trial
        if state is TrialState.PRUNED:
            self._study.tell(trial, state=state)
            return
        setting = self._trials[number].setting
        value = self._table.values[setting]
        trial.set_user_attr(Attr.FEASIBLE, math.isfinite(value))
        if not math.isfinite(value):  # of an infeasible trial: that of its end
            value = self._table.settings[setting].reports[-1]["free_running_distance"]
        self._study.tell(trial, value)
