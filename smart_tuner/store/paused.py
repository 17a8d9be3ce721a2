"""The trials of a study that have paused: which of them a free worker continues, and which is given up first.

What is worth most: `smart_tuner.promotion`. How they change their state: `smart_tuner.store.statements`.
"""

import math
from collections.abc import Callable, Sequence

import optuna

from smart_tuner.outcome import Cause
from smart_tuner.promotion import least_worth, worthiest
from smart_tuner.pruning import Curve
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import StudyAttr, stored_cause
from smart_tuner.store.curves import StudyCurves
from smart_tuner.store.optuna_internals import forget_trials, trial_id
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.statements import Attempt, revive_paused


def revive(storage: RetryingStorage, study: optuna.Study, has_checkpoint: Callable[[int], bool]) -> Sequence[int]:
    """Let the paused trials that ended with their study wait again, where they can go on; returns their numbers.

    has_checkpoint: by number. Processes that have read the trials as finished read them again: see `Session`.
    """
    ended = [trial for trial in study.get_trials(deepcopy=False) if stored_cause(trial) is Cause.NOT_PROMOTED]
    found = [trial for trial in ended if has_checkpoint(trial.number)]
    if not found:
        return ()
    storage.transaction(lambda connection: revive_paused(connection, [trial_id(trial) for trial in found]))
    study.set_user_attr(StudyAttr.REVIVED, study.user_attrs.get(StudyAttr.REVIVED, 0) + 1)
    forget_trials(study)
    return [trial.number for trial in found]


class PausedTrials:
    """Chooses by the curves of the whole study. Thread-safe."""

    def __init__(self, spec: StudySpec, curves: StudyCurves) -> None:
        self._spec = spec
        self._curves = curves

    def forget(self) -> None:
        """Read all curves again: finished trials have been revived."""
        self._curves.forget()

    def worthiest(self, paused: Sequence[Attempt], *, may_begin: bool, left: float = math.inf) -> Attempt | None:
        """The one to continue; None where a new one is worth more, or none may begin and nothing is worth it.

        left: as of `promotion.worthiest`.
        """
        mine, others = self._parted(paused)
        chosen = worthiest(
            mine,
            others,
            self._spec.pruner,
            self._spec.budget.reports,
            self._spec.constraints.alignment.at_least,
            self._spec.objective.figure,
            may_begin=may_begin,
            left=left,
        )
        return next((attempt for attempt in paused if attempt.number == chosen), None)

    def least_worth(self, paused: Sequence[Attempt]) -> Attempt:
        """The one whose checkpoint is given up first."""
        mine, _ = self._parted(paused)
        floor = self._spec.constraints.alignment.at_least
        chosen = least_worth(mine, self._spec.pruner, self._spec.budget.reports, floor)
        return next(attempt for attempt in paused if attempt.number == chosen)

    def _parted(self, paused: Sequence[Attempt]) -> tuple[dict[int, Curve], list[Curve]]:
        """The curves of `paused`, by number, and those of all other trials that have reported anything.

        Without those that wait beyond the target: nobody goes on with them, so they must not take up the places of
        those that may. Up to the target only `paused` wait when this is asked; of one that has paused since, the next
        look knows.
        """
        beyond = self._curves.waiting_above(max(attempt.number for attempt in paused))
        curves = self._curves.all()
        mine = {attempt.number: curves.pop(attempt.trial_id, {}) for attempt in paused}
        return mine, [curve for key, curve in curves.items() if curve and key not in beyond]
