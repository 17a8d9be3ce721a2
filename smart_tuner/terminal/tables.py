"""What people read at the end of a command: the table of trials, the best parameters, what to do next."""

import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from smart_tuner.config import Settings, load_settings
from smart_tuner.errors import NoFeasibleTrial
from smart_tuner.masking import masked
from smart_tuner.results import BestTrial, StudyResult
from smart_tuner.store.attributes import Attr
from smart_tuner.store.orders import read_orders
from smart_tuner.study import best_trial

WATCH_SECONDS = 2.0
FREE_RUNNING_ENOUGH = 0.3  # below it a voice loses its way in the sentence
_HEADLINE_METRICS = ("validation_loss", "alignment", "free_running_alignment", "gate_f1")


def show_best(result: StudyResult, form: str, console: Console) -> None:
    """Print the best trial as table, json or yaml; where none is feasible the nearest one, marked as such, and raise.

    Raises NoFeasibleTrial.
    """
    shown = result.best or result.nearest
    if shown is None:
        raise NoFeasibleTrial(f"Study {result.study!r} has no finished trial yet.")
    if form == "table":
        print_best(shown, console)
    else:
        print(as_text(shown, form))
    refuse_infeasible(result)


def refuse_infeasible(result: StudyResult) -> None:
    """Raises NoFeasibleTrial, with the nearest trial's figures, where no trial satisfies the constraints."""
    if result.best is not None:
        return
    nearest = result.nearest
    if nearest is None:
        raise NoFeasibleTrial(f"No trial of study {result.study!r} has figures; `smart-tuner status` shows why.")
    raise NoFeasibleTrial(
        f"No trial of study {result.study!r} is feasible: none aligns well enough to speak. Nearest is trial "
        f"{nearest.trial} with alignment {nearest.metrics.get('alignment', 0.0):.2f}. A larger budget.frames or a "
        "wider search usually helps."
    )


def as_text(best: BestTrial, form: str) -> str:
    """form: json or yaml."""
    values = asdict(best)
    if form == "json":
        return json.dumps(values, indent=2, ensure_ascii=False)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip()


def print_best(best: BestTrial, console: Console) -> None:
    title = "Best trial" if best.feasible else "Nearest to feasible"
    table = Table(title=f"{title} of {escape(best.study)}: {best.trial}", title_justify="left", show_header=False)
    for name, value in best.params.items():
        table.add_row(name, readable(value))
    table.add_section()
    for name in _HEADLINE_METRICS:
        if name in best.metrics:
            table.add_row(name, readable(best.metrics[name]))
    console.print(table)
    if best.metrics.get("free_running_alignment", 1.0) < FREE_RUNNING_ENOUGH:
        console.print("It aligns with a teacher, but does not yet speak by itself: train it longer (budget.frames).")
    if best.checkpoint:
        console.print(f"checkpoint: {best.checkpoint}", soft_wrap=True, highlight=False, markup=False)


def print_trials(study: optuna.Study, console: Console) -> None:
    """One row per trial: what became of it and why, in figures."""
    console.print(_trials_table(study))
    console.print(_headline(study))


def watch_trials(study: optuna.Study, console: Console) -> None:
    """The same, moving, until the study has its trials or was stopped; on what is no terminal a line per change."""
    if not console.is_terminal:
        for line in _changes(study):
            console.print(Text(line), soft_wrap=True)
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            goes_on = _goes_on(study)
            live.update(Group(_trials_table(study), _headline(study)), refresh=True)
            if not goes_on:
                return
            time.sleep(WATCH_SECONDS)


def _changes(study: optuna.Study) -> Iterator[str]:
    """What became of each trial, as it happens."""
    told: dict[int, tuple[str, int]] = {}
    while True:
        goes_on = _goes_on(study)  # asked first, so that the last changes are not missed
        for trial in study.get_trials(deepcopy=False):
            now = (trial.state.name, len(trial.intermediate_values))
            if told.get(trial.number) != now:
                told[trial.number] = now
                yield f"trial {trial.number} {now[0]}, {now[1]} reports{_told_reason(trial)}"
        if not goes_on:
            yield _headline(study).plain
            return
        time.sleep(WATCH_SECONDS)


def _told_reason(trial: FrozenTrial) -> str:
    reason = str(trial.user_attrs.get(Attr.REASON, "")).split("\n", 1)[0]
    return f": {reason}" if reason and trial.state.is_finished() else ""


def _goes_on(study: optuna.Study) -> bool:
    orders = read_orders(study)
    return orders.halt is None and _finished(study) < orders.target


def _finished(study: optuna.Study) -> int:
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def _headline(study: optuna.Study) -> Text:
    orders = read_orders(study)
    running = len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
    halt = f", {orders.halt}" if orders.halt else ""
    return Text(f"{_finished(study)} of {orders.target} trials finished, {running} running{halt}", style="bold")


def _trials_table(study: optuna.Study) -> Table:
    best = best_trial(study)
    table = Table(title=f"Trials of {escape(study.study_name)}", title_justify="left")
    for name, justify in (
        ("trial", "right"),
        ("state", "left"),
        ("loss", "right"),
        ("alignment", "right"),
        ("", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for trial in study.get_trials(deepcopy=False):
        metrics = trial.user_attrs.get(Attr.METRICS, {})
        is_best = best is not None and trial.number == best.number
        reason = "best" if is_best else str(trial.user_attrs.get(Attr.REASON, "")).split("\n", 1)[0]
        if trial.state is TrialState.WAITING and trial.params:
            reason = "interrupted, will be continued"
        table.add_row(
            str(trial.number),
            trial.state.name,
            _fixed(metrics.get("validation_loss"), 3),
            _fixed(metrics.get("alignment"), 2),
            escape(reason),
            style="bold green" if is_best else None,
        )
    return table


def print_next_steps(settings: Settings, console: Console) -> None:
    """The command to look further, ready to be copied: with those options that nothing else would tell it."""
    without = load_settings()
    command = ["smart-tuner", "ui"]
    if settings.workspace != without.workspace:
        command += ["--workspace", str(settings.workspace)]
    if settings.storage != without.storage:
        command += ["--storage", masked(settings.storage_url)]
    if settings.tracking_uri != without.tracking_uri:
        command += ["--tracking-uri", masked(settings.mlflow_url)]
    console.print(
        f"\nTo look further: {shlex.join(command)}  [dim]# curves, pictures, sound, comparison[/dim]",
        soft_wrap=True,
        highlight=False,
    )


def _fixed(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def readable(value: Any) -> str:
    """Short for people; the exact one is in JSON."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
