"""The note of a study, which explains what the dashboard shows of it."""

import optuna

from smart_tuner.dashboard.notes import write_note
from smart_tuner.figures import objective
from smart_tuner.pruning import ALIGNS_WELL, rungs
from smart_tuner.spec import StudySpec
from smart_tuner.store.optuna_internals import study_id
from smart_tuner.store.retrying import RetryingStorage
from trainer.evaluation.verdict import Heard

_VERDICTS = ", ".join(f"*{heard}*" for heard in Heard)


def write_study_note(study: optuna.Study, storage: RetryingStorage, spec: StudySpec) -> None:
    """Write the study's note, or update it to this version of the project; one that a person edited stays."""
    body = study_note(spec)
    storage.transaction(lambda connection: write_note(connection, study_id(study), None, body))


def study_note(spec: StudySpec) -> str:
    name = spec.name
    return f"""\
# How to read this study

**The objective** is the {_objective(spec)}. It is measured on the same utterances in every trial, at the best report. A
trial trains for {spec.budget.frames:,} frames of speech, with {spec.budget.reports} reports.

**What is heard** without a teacher is `heard.verdict` of each trial, in words: {_VERDICTS}. It is that of the best
report; of a pruned trial whose best report was not evaluated, that of its last weights. A hum may have a perfect
alignment and a low loss, so look at this first.

**Feasible** is a trial {_feasible(spec)}, and whose parameters fit into the memory. Any other is never the best.
*This dashboard looks at the objective alone*: its best trial may be infeasible. `smart-tuner best --study {name}` shows
the best feasible one with its parameters and checkpoint.

**Pruned** are {_pruned(spec)}. The attribute `cause` of each says why, and `reason` adds the figures.

**Each trial** has a note on what happened, pictures of its alignment (a narrow line from the lower left to the upper
right is a voice that reads its text), samples to listen to, and these attributes:

| attribute | meaning |
| --- | --- |
| `feasible` | whether it can be the best |
| `constraint.alignment`, `constraint.memory`, ... | the distance from that; feasible up to 0 |
| `heard.verdict` | what is heard without a teacher, in words; *not measured* where it was not evaluated |
| `heard.distance` | dB to the recordings (MCD); a sentence that fails counts as a hum. Less is better |
| `heard.failed` | share of the sentences that do not end or are cut |
| `heard.recognised` | share of the pieces of half a second that are nearest to their own place in the recordings |
| `heard.alignment` | the alignment score without a teacher |
| `alignment.score` | with a teacher, of its best report, 0 to 1: the root of the product of the next four |
| `alignment.diagonality` | attention near the line from the first letter to the last |
| `alignment.focus` | attention on few letters at a time |
| `alignment.coverage` | share of the letters that are spoken at all |
| `alignment.monotonicity` | share of the steps that neither go back nor jump |
| `cause`, `reason`, `failures` | why it was pruned or failed, as one word and as a sentence; failed attempts |
| `paused` | of a trial that paused and did not go on: the report, the reason, the time |
| `promoted` | the reports at which it had paused and went on |
| `origin` | whose setting it is, where neither the sampler nor the definition gave it |
| `cost.seconds` | time at work, over all its starts |
| `cost.gpu_hours` | the same on a GPU; trials that share one count in full |
| `replicate_of` | of a replicate: the trial whose setting it trained with another seed |
| `run_dir` | its folder in the workspace, with configuration, log, events and checkpoints |

**Elsewhere**: TensorBoard's curves are in the workspace under `logs/{name}`, and MLflow has the same trials in its
experiment `{name}`.
"""


def _objective(spec: StudySpec) -> str:
    figure = objective(spec.objective.metric)
    return f"{figure.words} (`{figure.name}`{f', in {figure.unit}' if figure.unit else ''}); less is better"


def _feasible(spec: StudySpec) -> str:
    asked = spec.constraints
    parts = [f"whose alignment score with a teacher reaches {asked.alignment.at_least:g}"]
    if asked.free_running_alignment is not None:
        parts.append(f"whose score without one reaches {asked.free_running_alignment.at_least:g}")
    if asked.failed is not None:
        parts.append(f"of whose sentences at most {asked.failed.at_most:.0%} fail")
    return ", ".join(parts)


def _pruned(spec: StudySpec) -> str:
    rules = spec.pruner
    always = "those that diverge, take too long, or do not fit into the memory"
    if rules.kind == "none":
        return f"only {always}"
    figure = objective(spec.objective.metric).words
    if rules.kind == "promotion":
        well = max(ALIGNS_WELL, spec.constraints.alignment.at_least)
        places = " and ".join(f"{rung / spec.budget.reports:.0%}" for rung in rungs(rules, spec.budget.reports))
        return (
            f"{always}, and those that had paused when the study ended: a trial pauses at {places} of the budget, and "
            f"goes on where one in {rules.eta} is worth it, by its alignment up to a score of {well:g}, by {figure} "
            "among those that align better; the attribute `paused` says where and why, `promoted` at which reports it "
            "went on"
        )
    deadline = rules.alignment_deadline
    return (
        f"trials whose attention does not align (a score below {deadline.at_least:g} from {deadline.fraction:.0%} of "
        f"the budget on), those whose {figure} is too bad among at least {rules.loss_min_peers} trials that align at "
        f"the same point, each at {rules.patience} reports in a row, and {always}"
    )
