"""The judgement of trials at rungs as a pruner of Optuna, for studies that do without the rest of this project.

Optuna cannot let a trial pause, so a trial that would pause ends: docs/search.md has what that costs. Give the pruner
to the study, and report by `report`, which also takes the alignment:

    study = optuna.create_study(pruner=AlignmentPruner(reports=10))
    ...
    report(trial, index, alignment=0.93, value=9.1)
    if trial.should_prune():
        raise optuna.TrialPruned
"""

import math
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from smart_tuner.pruning import Curve, Point, rungs, standing
from smart_tuner.spec import PrunerSpec

ALIGNMENT = "alignment"  # user attribute: alignment by the index of the report, as text


def report(trial: Trial, index: int, *, alignment: float, value: float | None = None) -> None:
    """Report the figures of a trial; `index` counts from 1 to `reports`.

    alignment: 0 to 1, such as `trainer.alignment.alignment_score` gives. value: the study's objective, of which less is
    better; None: not measured at this report, for example since the model does not align yet.
    """
    known = trial.user_attrs.get(ALIGNMENT, {})
    trial.set_user_attr(ALIGNMENT, {**known, str(index): alignment})
    if value is not None:
        trial.report(value, index)


class AlignmentPruner(optuna.pruners.BasePruner):
    """Ends a trial at a rung unless it is among the best of those that came there, one in `eta`.

    Up to an alignment of 0.8, the better aligned trial is the better one; beyond, and where the value was measured, the
    one of the lower value. A trial of which a figure is not a number ends at once. reports: of a whole budget; rungs:
    shares of it. Raises ValueError where no rung comes before the end.
    """

    def __init__(self, reports: int, *, eta: int = 3, rungs: Sequence[float] = (0.1, 0.3)) -> None:
        self._reports = reports
        self._rules = PrunerSpec(kind="promotion", eta=eta, rungs=tuple(rungs))
        if not self._rungs:
            raise ValueError(f"`rungs` must name a report before the last of {reports}, but got {list(rungs)}.")

    @property
    def _rungs(self) -> tuple[int, ...]:
        return rungs(self._rules, self._reports)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if study.direction is not optuna.study.StudyDirection.MINIMIZE:
            raise ValueError("AlignmentPruner needs a study that minimises, but got one that maximises.")
        curve = curve_of(trial)
        if not curve:
            return False
        rung = max(curve)
        last = curve[rung]
        if math.isnan(last.alignment) or (last.value is not None and math.isnan(last.value)):
            return True
        if rung not in self._rungs:
            return False
        mine = standing(curve, rung, 0)
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        others = [curve_of(t) for t in study.get_trials(deepcopy=False, states=states) if t.number != trial.number]
        reached = [standing(other, rung, 0) for other in others if other and max(other) >= rung]
        better = sum(other <= mine for other in reached)
        return better >= max(1, (len(reached) + 1) // self._rules.eta)


def curve_of(trial: FrozenTrial) -> Curve:
    """What `report` has reported."""
    values = trial.intermediate_values
    found = {}
    for key, alignment in trial.user_attrs.get(ALIGNMENT, {}).items():
        value = values.get(int(key))
        found[int(key)] = Point(int(key), math.nan if value is None else value, alignment, value)
    return found
