"""The output of `smart-tuner train`: what the voice has become, and what to do with it."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from smart_tuner.errors import NoFeasibleTrial
from smart_tuner.figures import advice, headline, verdict
from smart_tuner.results import BestTrial


def print_voice(name: str, voice: Path, best: BestTrial, ended: str, console: Console, options: str) -> None:
    """ended: why the training did. options: with which a shown command finds the workspace.

    Raises NoFeasibleTrial where the voice does not satisfy the constraints of its study.
    """
    _print(console, f"voice {name!r}: {verdict(best.metrics)}", style="bold")
    _print(console, f"Its training has ended: {ended}." if ended else "Its training has ended.")
    if next_step := advice(best.metrics):
        _print(console, next_step)
    table = Table(show_header=False)
    for words, text, note in headline(best.metrics):
        table.add_row(words, f"{text} ({note})" if note else text)
    console.print(table)
    _print(console, str(voice))
    _print(console, f'To hear it: smart-tuner say "Any sentence of yours." --voice {name}{options}')
    _print(console, f"To measure it in full: smart-tuner evaluate --voice {name}{options}")
    if not best.feasible:
        raise NoFeasibleTrial(f"voice {name!r} cannot speak yet: it does not satisfy the constraints of its study.")


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, soft_wrap=True, highlight=False, markup=False)
