"""The output at the end of a command: the table of trials, the best parameters, what to do next."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict

import yaml
from optuna.trial import TrialState
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from smart_tuner.command_hints import (
    LONGER_TRAINING,
    LONGER_TRIALS,
    command_hint,
    is_worth_training,
    longer_trials,
    train_longer,
)
from smart_tuner.config import Settings, load_settings
from smart_tuner.errors import NoFeasibleTrial
from smart_tuner.figures import advice, headline, objective, verdict
from smart_tuner.formatting import counted, readable
from smart_tuner.results import BestTrial, StudyResult
from smart_tuner.spec import StudySpec
from smart_tuner.terminal.live_table import StudyTable
from smart_tuner.terminal.view import Ended, View
from trainer.evaluation.verdict import Heard, heard

SHOWN_TRIALS = 20  # by `optimize` and `status`, unless with --all


def show_best(result: StudyResult, form: str, console: Console, spec: StudySpec, options: str = "") -> None:
    """Print the best trial as table, json or yaml. If none is feasible, print the nearest and raise NoFeasibleTrial.

    spec: of the study. options: with which a shown command finds it.
    """
    shown = result.best or result.nearest
    if shown is None:
        raise NoFeasibleTrial(f"Study {result.study!r} has no finished trial yet.")
    if form == "table":
        print_best(shown, console, spec, options)
    else:
        print(as_text(shown, form))
    refuse_infeasible(result, spec, options)


def refuse_infeasible(result: StudyResult, spec: StudySpec, options: str = "") -> None:
    """Raises NoFeasibleTrial, with the nearest trial's figures, if no trial satisfies the constraints.

    spec, options: as above.
    """
    if result.best is not None:
        return
    nearest = result.nearest
    if nearest is None:
        raise NoFeasibleTrial(f"No trial of study {result.study!r} has figures; `smart-tuner status` shows why.")
    next_step = advice(nearest.metrics) or "A larger budget.frames or a wider search usually helps."
    raise NoFeasibleTrial(
        f"No trial of study {result.study!r} is feasible: none satisfies the constraints. Nearest is trial "
        f"{nearest.trial}: {result.missed}. What is heard: {verdict(nearest.metrics)}. {next_step}\n"
        f"{_next_training(nearest, spec, options)}"
    )


def _next_training(trial: BestTrial, spec: StudySpec, options: str) -> str:
    """What to train next, for a trial that is not good: a command below its purpose."""
    if spec.search and not is_worth_training(heard(trial.metrics)):
        return f"{LONGER_TRIALS}\n  {longer_trials(spec, options)}"
    return f"{LONGER_TRAINING}\n  {train_longer(spec, options)}"


def as_text(best: BestTrial, form: str) -> str:
    """form: json or yaml."""
    verdict = heard(best.metrics)
    values = asdict(best) | {"heard": verdict.value if verdict else None}
    if form == "json":
        return json.dumps(values, indent=2, ensure_ascii=False)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip()


def print_best(best: BestTrial, console: Console, spec: StudySpec, options: str = "") -> None:
    title = f"Best of study {best.study!r}: trial {best.trial}"
    if not best.feasible:
        title = f"Nearest to feasible: trial {best.trial} of study {best.study!r}"
    console.print(title, style="italic", soft_wrap=True, highlight=False, markup=False)  # often wider than the table
    table = Table(show_header=False)
    for words, text, note in headline(best.metrics):
        table.add_row(words, f"{text} ({note})" if note else text)
    table.add_section()
    for name, value in best.params.items():
        table.add_row(name, readable(value))
    console.print(table)
    if best.certainty is not None:
        _print_plain(console, best.certainty.in_words(objective(best.objective)))
    if best.feasible and (next_step := advice(best.metrics)):  # of the nearest trial, the error has it
        console.print(next_step, highlight=False)
        if heard(best.metrics) is not Heard.GOOD:
            _print_plain(console, _next_training(best, spec, options))
    elif best.checkpoint and heard(best.metrics) is None:
        command = f"smart-tuner evaluate --study {best.study} --trial {best.trial}"
        _print_plain(console, f"`{command}` measures what is heard.")
    if heard(best.metrics) is not None:
        spoken = counted(spec.spoken_sentences, "sentence")
        _print_plain(
            console, f"Figures of at most {spoken}, at a report; `smart-tuner evaluate` speaks all: its figures differ."
        )
    if best.checkpoint:
        _print_plain(console, f"checkpoint: {best.checkpoint}")


def _print_plain(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def print_trials(view: View, console: Console, *, every: bool = False) -> None:
    """Print the running trials and the outcome of the others with its reason; of many only the best, unless `every`."""
    paused, ended = view.tally.paused, sorted(view.tally.ended, key=lambda row: row.number)
    all_rows = [*paused, *ended]
    shown = all_rows if every or len(all_rows) <= SHOWN_TRIALS else _ranked(all_rows)
    console.print(StudyTable(view, rows=shown))
    if len(shown) < len(all_rows):
        command = f"smart-tuner status --study {view.study} --all"
        of_all = f"{len(all_rows)}{' that have ended or paused' if paused else ''}"
        console.print(f"The best {len(shown)} of {of_all}; `{command}` lists all.", highlight=False, markup=False)


def _ranked(rows: Sequence[Ended]) -> list[Ended]:
    """The best trials: complete ones by the objective first, then the others by their alignment."""

    def rank(row: Ended) -> tuple[bool, bool, float, int]:
        complete = row.state == TrialState.COMPLETE.name
        figure = row.value if complete and row.feasible else None if row.alignment is None else -row.alignment
        return not complete, not row.feasible, math.inf if figure is None else figure, row.number

    return sorted(rows, key=rank)[:SHOWN_TRIALS]


def print_next_steps(settings: Settings, console: Console, audible: str | None = None) -> None:
    """Print the commands to hear the best trials and to look further, with the options that a copy of them needs.

    audible: the study whose trials have sound; None: no command to hear them.
    """
    where = command_hint(
        load_settings(), workspace=settings.workspace, storage=settings.storage, tracking_uri=settings.tracking_uri
    )
    if console.is_terminal:
        console.print()
    if audible is not None:
        store = command_hint(load_settings(), workspace=settings.workspace, storage=settings.storage)
        _print_command(console, "To hear the best trials", f"listen --study {audible}{store.options}", "side by side")
    _print_command(console, "To look further", f"ui{where.options}", "curves, pictures, sound, comparison")
    if where.first:
        console.print(where.first, soft_wrap=True, highlight=False)


def _print_command(console: Console, purpose: str, command: str, remark: str) -> None:
    line = f"{purpose}: {escape(f'smart-tuner {command}')}  [dim]# {remark}[/dim]"
    console.print(line, soft_wrap=True, highlight=False)
