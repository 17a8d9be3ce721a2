"""The stars that people give to trials, stored as user attributes of the study.

They are not attributes of the trials, since Optuna lets nobody write to a finished trial. There is one attribute
for each trial, so that two people can rate at the same moment.
"""

from collections.abc import Mapping

import optuna

from smart_tuner.store.attributes import StudyAttr

STARS = range(1, 6)


def rate(study: optuna.Study, trial: int, stars: int | None) -> None:
    """stars: None removes a rating. Raises ValueError for other than 1 to 5 stars, or an unknown trial."""
    if stars is not None and (type(stars) is not int or stars not in STARS):
        raise ValueError(f"stars must be 1 to 5, but got {stars!r}")
    if type(trial) is not int or trial not in {t.number for t in study.get_trials(deepcopy=False)}:
        raise ValueError(f"the study has no trial {trial!r}")
    study.set_user_attr(f"{StudyAttr.RATING}.{trial}", stars)


def ratings(study: optuna.Study) -> Mapping[int, int]:
    """Stars by number of the trial."""
    prefix = f"{StudyAttr.RATING}."
    return {int(key.removeprefix(prefix)): n for key, n in study.user_attrs.items() if key.startswith(prefix) and n}
