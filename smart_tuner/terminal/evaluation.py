"""The output of `smart-tuner evaluate`: the verdict, then the figures beside what they are compared with."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from smart_tuner.command_hints import LONGER_TRAINING
from smart_tuner.evaluation import Evaluation
from smart_tuner.formatting import counted, printable

_COLUMNS = ("this voice", "recordings", "another sentence", "hum")


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    verdict = str(evaluation.verdict) if evaluation.verdict else "no verdict"
    _print(console, f"{evaluation.voice}: {verdict}", style="bold")
    if evaluation.reservation:
        _print(console, evaluation.reservation)
    if evaluation.advice:
        _print(console, evaluation.advice)
    if evaluation.longer:
        _print(console, LONGER_TRAINING)
        _print(console, f"  {evaluation.longer}")
    table = Table(title=_title(evaluation), title_justify="left")
    table.add_column("figure")
    compares = evaluation.corpus is not None
    for column in _COLUMNS if compares else _COLUMNS[:1]:
        table.add_column(column, justify="right")
    for row in evaluation.compared:
        values = (row.voice, row.ceiling, row.another, row.hum) if compares else (row.voice,)
        table.add_row(row.figure.words, *values)
    console.print(table)
    for note in evaluation.notes:
        _print(console, note)


def _title(evaluation: Evaluation) -> str:
    kind = "validation sentence" if evaluation.corpus else "sentence"
    return f"{counted(evaluation.sentences, kind)} of {evaluation.corpus or evaluation.texts}, without a teacher"


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(printable(text, console.encoding), style), soft_wrap=True)
