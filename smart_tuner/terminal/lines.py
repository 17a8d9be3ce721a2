"""A view as text: the parts of its headlines, and the lines of a log. Plain text, not fitted to a width."""

from collections.abc import Mapping

from smart_tuner.figures import ALIGNMENT, LOSS, Figure, verdict
from smart_tuner.formatting import counted, counted_causes, duration, finished_of, params_line
from smart_tuner.machine.load import Load
from smart_tuner.outcome import Cause
from smart_tuner.terminal.view import Ended, Running, Tally, View, value_of
from trainer.evaluation.verdict import heard

_GB = 1e9


def standing_parts(view: View) -> list[str]:
    """The progress of the study."""
    left, finished = view.seconds_left(), view.tally.finished
    return [
        f"{view.study}: {finished_of(finished, view.target)}",
        _running_now(view),
        *([f"{len(view.tally.paused)} paused"] if view.tally.paused else []),
        *([f"{counted(view.tally.replicates, 'replicate')} finished"] if view.tally.replicates else []),
        *([] if view.elapsed is None else [f"{duration(view.elapsed)} {'so far' if view.goes_on else 'in all'}"]),
        *([] if left is None else [f"about {duration(left)} left"]),
    ]


def _running_now(view: View) -> str:
    if view.elsewhere:
        return f"{len(view.running)} running here, {view.elsewhere} elsewhere"
    return f"{len(view.running)} running"


def best_part(view: View) -> str:
    best = view.tally.best
    if best is not None:
        return f"best: {_heard(best, view.objective)}"
    if not view.tally.finished:
        return ""
    return f"no trial is feasible{' yet' if view.tally.finished < view.target else ''}"


def early_parts(tally: Tally) -> list[str]:
    """How many were pruned and how many failed, by cause."""
    outcomes = {"pruned": tally.pruned, "failed": tally.failed}
    return [_by_cause(outcome, causes) for outcome, causes in outcomes.items() if causes]


def _by_cause(outcome: str, causes: Mapping[Cause, int]) -> str:
    counts = counted_causes(causes) if len(causes) > 1 else next(iter(causes))
    return f"{outcome} {sum(causes.values())}: {counts}"


def load_parts(load: Load) -> list[str]:
    found = [f"CPU {load.busy:.0%}", f"memory {load.used / _GB:.1f} of {load.total / _GB:.1f} GB"]
    for gpu in load.gpus:
        busy = "" if gpu.busy is None else f" {gpu.busy:.0%}"
        found.append(f"{gpu.device}{busy} {gpu.used / _GB:.1f} of {gpu.total / _GB:.1f} GB")
    return found


def line_of_start(row: Running, *, resumed: bool, promoted: bool = False) -> str:
    """promoted: it had paused."""
    params = f": {params_line(row.params)}" if row.params else ""  # a training has none
    share = "" if row.share is None else f" at {min(1.0, row.share):.0%} of the budget"
    how = f"promoted{share}" if promoted else "continued" if resumed else "started"
    replicate = f" as a {note}" if (note := replicate_note(row)) else ""
    return f"trial {row.number} {how}{replicate}{params}"


def line_of_progress(row: Running, objective: Figure) -> str:
    share = "" if row.share is None else f" {min(1.0, row.share):4.0%}"
    loss = "" if row.loss is None else f"  loss {row.loss:.3f}{'' if row.validated else ' (training)'}"
    other = "" if objective is LOSS else "".join(f"  {figure}{_in_words(row)}" for figure in _measured(row, objective))
    alignment = "" if row.alignment is None else f"  alignment {row.alignment:.2f}"
    left = "" if row.left is None else f"  {duration(row.left)} left"
    return f"trial {row.number}{share}{loss}{other}{alignment}{left}"


def line_of_heard(row: Running) -> str:
    """What was heard at the last report that was evaluated: with a teacher, a mute voice looks sound."""
    return f"trial {row.number} heard: {verdict(row.spoken)}"


def line_of_correction(row: Running) -> str:
    return f"trial {row.number} corrected: {row.correction}"


def line_of_end(row: Ended, objective: Figure) -> str:
    """With what is heard; of a complete trial also with its figures, which the reason of any other one gives."""
    is_complete = row.state == "COMPLETE"
    shown = [f"heard: {verdict(row.spoken)}"] if is_complete or heard(row.spoken) else []
    if is_complete:
        shown += _measured(row, objective, ALIGNMENT)
    figures = "; ".join(shown)
    replicate = replicate_note(row)
    state = f"{row.state}, {replicate}" if replicate else row.state
    return f"trial {row.number} {state}{f' ({figures})' if figures else ''}{': ' if row.reason else ''}{row.reason}"


def replicate_note(row: Running | Ended) -> str:
    """Empty where it is none."""
    return "" if row.replicate_of is None else f"replicate of trial {row.replicate_of}"


def line_of_best(best: Ended, objective: Figure) -> str:
    return f"best so far: {_heard(best, objective)}"


def line_of_standing(view: View) -> str:
    parts = [", ".join(standing_parts(view)), view.notice, best_part(view), *early_parts(view.tally)]
    return "; ".join(part for part in parts if part)


def _heard(row: Ended, objective: Figure) -> str:
    figures = [f"trial {row.number} (heard: {verdict(row.spoken)})", *_measured(row, objective, ALIGNMENT)]
    return ", ".join(figures)


def _in_words(row: Running) -> str:
    """Beside the figure of what was heard; empty where the store alone is known, which has no more than the figure."""
    return f" ({verdict(row.spoken)})" if heard(row.spoken) else ""


def _measured(row: Running | Ended, *figures: Figure) -> list[str]:
    return [f"{figure.column} {text}" for figure in figures if (text := figure.text(value_of(row, figure)))]
