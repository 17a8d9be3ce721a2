"""What the store keeps of studies and trials beside Optuna's own columns, named once. Standard library only."""

from collections.abc import Mapping
from enum import StrEnum


class Attr(StrEnum):
    """User attributes of trials."""

    OWNER = "owner"  # host, pid and start time of the process that runs it, and when it took the trial
    RUN_DIR = "run_dir"  # relative to the workspace
    REASON = "reason"  # why it was pruned or failed
    FAILURES = "failures"  # of its attempts: [{reason, host, time}]
    METRICS = "metrics"  # figures of its best report, and free-running ones; some of them flat beside it, see `flat`
    FEASIBLE = "feasible"
    ALIGNMENT = "alignment"  # {report index: score}; the losses are Optuna's intermediate values


class StudyAttr(StrEnum):
    """User attributes of studies."""

    DEFINITION = "definition"  # the YAML as parsed
    TARGET = "target"  # finished trials that it is to have
    ASKED = "asked"  # "run", "stop", or "stop now"
    DEADLINE = "deadline"  # seconds since the epoch when its time is up, or null
    ID = "id"  # tells this study from another of the same name that shares an MLflow server
    RATING = "rating"  # rating.7: the stars, 1 to 5, that a person gave to trial 7, or null
    TOLD = "told"  # of what people were told since the study was ordered: {what: [which, by whom]}


CONSTRAINT_PREFIX = "constraint."  # Optuna's constraints again, which dashboards do not show; feasible up to 0
# The score of the best report and what it is made of, under names that a table of trials can be sorted by.
SCORES: Mapping[str, str] = {
    "alignment": "alignment.score",
    "diagonality": "alignment.diagonality",
    "focus": "alignment.focus",
    "coverage": "alignment.coverage",
    "monotonicity": "alignment.monotonicity",
    "free_running_alignment": "alignment.without_teacher",
}


def flat(metrics: Mapping[str, float], constraints: Mapping[str, float]) -> dict[str, float]:
    """User attributes of single numbers, for people who look at a dashboard; nothing here reads them."""
    scores = {name: metrics[key] for key, name in SCORES.items() if key in metrics}
    return scores | {CONSTRAINT_PREFIX + name: value for name, value in constraints.items()}
