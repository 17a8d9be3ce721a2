"""The names of what the store keeps of studies and trials beside Optuna's columns. Standard library only."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from smart_tuner.figures import verdict
from smart_tuner.outcome import Cause

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class Attr(StrEnum):
    """User attributes of trials."""

    OWNER = "owner"  # host, pid and start time of the process that runs it, and when it took the trial
    ORIGIN = "origin"  # whose setting it is, where neither the sampler nor the definition gave it
    RUN_DIR = "run_dir"  # relative to the workspace
    CAUSE = "cause"  # why it was pruned or failed, in one word: a `Cause`; see `stored_cause`
    REASON = "reason"  # the same in a sentence for people, which may end with lines of the log
    PAUSED = "paused"  # where and why it waits: {index of the report, reason, time}; kept where it is pruned there
    PROMOTED = "promoted"  # the reports at which it had paused and was continued
    FAILURES = "failures"  # of its attempts: [{cause, reason, host, time}]
    WORKED = "worked"  # its attempts at work: [[begin, end, device], ...] since the epoch; see `working_time`
    METRICS = "metrics"  # figures of its best report, and free-running ones; see also `flat`
    FEASIBLE = "feasible"
    ALIGNMENT = "alignment"  # {report index: score}; Optuna's intermediate values are the objective's
    LOSS = "loss"  # {report index: validation loss} of trials whose objective is another figure
    FRAMES = "frames"  # that it has trained
    REPLICATE_OF = "replicate_of"  # the number of the trial whose setting it trains with another seed


class StudyAttr(StrEnum):
    """User attributes of studies."""

    DEFINITION = "definition"  # the YAML as parsed
    DEFAULTS = "defaults"  # of the trainer, as they were when it was submitted; see `earlier_versions`
    TARGET = "target"  # finished trials that it is to have
    REQUEST = "asked"  # what people request: "run", "stop", or "stop now"
    DEADLINE = "deadline"  # seconds since the epoch when its time is up, or null
    FRAMES = "frames"  # that its trials may train, all together, or null
    FRAMES_REACHED = "frames reached"  # the value of FRAMES that they have trained; another one is a new limit
    ID = "id"  # distinguishes it from a study of the same name that shares an MLflow server
    RATING = "rating"  # rating.7: the stars, 1 to 5, that a person gave trial 7, or null
    UNTIL = "until"  # "settled", where it ends when it has settled, or null
    SETTLED = "settled"  # how it did: {trials that were asked for, trials that it then had, why}
    REPLICATES = "replicates"  # {number of a replicate: number of its original}; see `extent`
    REVIVED = "revived"  # how often its pruned trials that had paused were let wait again
    UNSEARCHED = "unsearched"  # what trials had of settings that later ones search: [[number of trials, settings], ...]
    WARM_START = "warm_start"  # studies whose best settings are tried first: {name: numbers of the trials here}
    CLAIMS = "told"  # what people were notified of since the study was submitted: {what: [which, id of the claim]}


CONSTRAINT_PREFIX = "constraint."  # a copy of Optuna's constraints, which dashboards do not show; up to 0: satisfied
COST_SECONDS = "cost.seconds"  # at work, over all starts
COST_GPU_HOURS = "cost.gpu_hours"  # each of several trials that share a GPU counts in full; 0 on a CPU
HEARD_VERDICT = "heard.verdict"  # in words
# Figures by names by which a table of trials can be sorted: of what is heard, and the score of the best report.
SCORES: Mapping[str, str] = {
    "heard.distance": "free_running_distance",
    "heard.failed": "free_running_failed",
    "heard.recognised": "free_running_recognised",
    "heard.alignment": "free_running_alignment",
    "alignment.score": "alignment",
    "alignment.diagonality": "diagonality",
    "alignment.focus": "focus",
    "alignment.coverage": "coverage",
    "alignment.monotonicity": "monotonicity",
    "alignment.without_teacher": "free_running_alignment",  # of earlier versions, which had it alone
}


def flat(metrics: Mapping[str, float], constraints: Mapping[str, float]) -> dict[str, str | float]:
    """User attributes of single values, for people who use a dashboard; this project does not read them."""
    found: dict[str, str | float] = {HEARD_VERDICT: verdict(metrics)} if metrics else {}
    found |= {name: metrics[key] for name, key in SCORES.items() if key in metrics}
    return found | {CONSTRAINT_PREFIX + name: value for name, value in constraints.items()}


PAUSED = "PAUSED"


def shown_state(trial: "FrozenTrial") -> str:
    """The state's name. One that has paused is WAITING in Optuna, which has no state for it; here, it is PAUSED."""
    is_paused = trial.state.name == "WAITING" and Attr.PAUSED in trial.user_attrs
    return PAUSED if is_paused else trial.state.name


def pauses(trial: "FrozenTrial", reports: int) -> str:
    """Where a trial was paused and went on, such as "10% and 30%"; empty where it never did.

    reports: of a whole budget.
    """
    return " and ".join(f"{index / reports:.0%}" for index in trial.user_attrs.get(Attr.PROMOTED, ()))


def stored_cause(trial: "FrozenTrial") -> Cause | None:
    """Why a trial was pruned or failed; None for any other trial."""
    if trial.state.name not in ("PRUNED", "FAIL"):
        return None
    stored = trial.user_attrs.get(Attr.CAUSE)
    return _cause_of_old(str(trial.user_attrs.get(Attr.REASON, ""))) if stored is None else Cause(stored)


# How reasons began in the versions that stored no cause. Do not change them: reasons of new trials are not parsed.
_OLD_BEGINNINGS = {
    "attention does not align": Cause.ATTENTION,
    "loss too high": Cause.LOSS,
    "diverged": Cause.DIVERGED,
    "out of memory": Cause.MEMORY,
    "took longer than": Cause.TIME,
    "the trainer crashed": Cause.CRASHED,
    "the trainer left with exit code 0": Cause.CRASHED,
    "the trainer was killed by": Cause.KILLED,
    "the trainer said nothing for": Cause.SILENT,
    "the trainer refused its input": Cause.BAD_INPUT,
    "the trainer could not be started": Cause.NOT_STARTED,
    "the node that ran it is gone": Cause.NODE_LOST,
    "finished, but without one finite validation loss": Cause.NO_FIGURES,
}


def _cause_of_old(reason: str) -> Cause:
    """The cause of a trial that ended under a version which stored the reason alone."""
    sentence = reason.partition("; at last ")[2] if reason.startswith("failed ") else reason
    begins = (cause for beginning, cause in _OLD_BEGINNINGS.items() if sentence.startswith(beginning))
    return next(begins, Cause.OTHER)
