"""The studies of a store as a table for people or as JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from smart_tuner import figures
from smart_tuner.formatting import counted
from smart_tuner.overview import StudyOverview

_STATES = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "PAUSED": "paused",
    "WAITING": "waiting",
}


def print_studies(found: Sequence[StudyOverview], console: Console) -> None:
    table = Table("study", "state", "trials", "best", "heard", "corpus")
    for study in found:
        row = (study.study, study.state, _trials(study), _best(study), _heard(study), study.corpus)
        table.add_row(*map(escape, row))
    console.print(table if found else "The store has no study yet; `smart-tuner optimize` starts one.")


def _best(study: StudyOverview) -> str:
    """Such as "trial 3, distance 9.21 dB": studies may have different objectives."""
    if study.best_trial is None:
        return ""
    objective = figures.objective(study.objective)
    return f"trial {study.best_trial}, {objective.column} {objective.text(study.best_value)}"


def _heard(study: StudyOverview) -> str:
    return "" if study.best_trial is None else study.best_heard or figures.NOT_MEASURED


def _trials(study: StudyOverview) -> str:
    """Such as "12 of 50: 4 complete, 8 pruned, 1 running"."""
    counts = ", ".join(f"{study.trials[state]} {word}" for state, word in _STATES.items() if study.trials.get(state))
    of_all = f"{study.finished} of {study.target}" if study.finished <= study.target else str(study.finished)
    replicates = f"; {counted(study.replicates, 'replicate')}" if study.replicates else ""
    return f"{of_all}{': ' * bool(counts)}{counts}{replicates}"


def studies_json(found: Sequence[StudyOverview]) -> str:
    return json.dumps([asdict(study) for study in found], indent=2, ensure_ascii=False)
