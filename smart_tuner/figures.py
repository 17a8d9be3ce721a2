"""The figures of a trial that a person sees first, the same in every display: names, words, units, digits.

Names are those of a trial's metrics: programs find them in JSON, MLflow, TensorBoard and the attributes of trials.
Words are for people: terminal, pages, notes and messages. The verdict is that of `trainer.evaluation.verdict`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.evaluation.verdict import PREFIX, Heard, heard

Metrics = Mapping[str, float]  # of one trial, by name

VERDICT = "what is heard"
NOT_MEASURED = "not measured"  # of trials that were not evaluated, or by an earlier version


@dataclass(frozen=True)
class Figure:
    """words: in a sentence or a table. column: the heading of a narrow column. form: of the number, as in `format`."""

    name: str
    words: str
    column: str
    form: str
    unit: str = ""

    def of(self, metrics: Metrics) -> str:
        """The figure with its unit; empty where it was not measured."""
        return self.text(metrics.get(self.name))

    def text(self, value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:{self.form}}{' ' if self.unit else ''}{self.unit}"


DISTANCE = Figure(f"{PREFIX}distance", "distance to the recordings", "distance", ".2f", "dB")
FAILED = Figure(f"{PREFIX}failed", "sentences that fail", "failed", ".0%")
RECOGNISED = Figure(f"{PREFIX}recognised", "half seconds recognised", "recognised", ".0%")
FREE_ALIGNMENT = Figure(f"{PREFIX}alignment", "free-running alignment", "free", ".2f")
LOSS = Figure("validation_loss", "teacher-forced loss", "loss", ".4g")
ALIGNMENT = Figure("alignment", "teacher-forced alignment", "alignment", ".2f")

HEARD = (FAILED, RECOGNISED, FREE_ALIGNMENT, DISTANCE)  # of speech without a teacher
HEADLINE = (DISTANCE, FAILED, RECOGNISED, FREE_ALIGNMENT, LOSS, ALIGNMENT)  # after the verdict
HUM = Figure(f"{PREFIX}hum_mcd", "hum", "hum", ".2f", "dB")
_CEILING = Figure(f"{PREFIX}ceiling_mcd", "best possible", "ceiling", ".2f", "dB")


def label(name: str) -> str:
    """Any figure of a trial by its name, for a table of all."""
    words = name.removeprefix(PREFIX).replace("_", " ")
    return f"{words}, dB" if words.endswith(("mcd", "distance")) else words


def objective(metric: str) -> Figure:
    """The figure that a study optimises, by its `objective.metric`; one of a later version has its name alone."""
    known = {figure.name: figure for figure in HEADLINE}
    return known.get(metric) or Figure(metric, label(metric), label(metric), ".4g")


def verdict(metrics: Metrics) -> str:
    """What is heard, in words."""
    return str(heard(metrics) or NOT_MEASURED)


def advice(metrics: Metrics) -> str:
    """What to do next with the trial; empty where its speech was not measured."""
    found: Heard | None = heard(metrics)
    return found.advice if found else ""


def note(figure: Figure, metrics: Metrics) -> str:
    """What to compare the figure with, or what it means; may be empty."""
    if figure is not DISTANCE:
        return _NOTES[figure.name]
    return ", ".join(f"{other.words} {text}" for other in (HUM, _CEILING) if (text := other.of(metrics)))


_NOTES: Mapping[str, str] = {
    FAILED.name: "they do not end, or are cut",
    RECOGNISED.name: "nearest to their own place, of 21",
    FREE_ALIGNMENT.name: "of 1",
    LOSS.name: "",
    ALIGNMENT.name: "of 1",
}


UNFINISHED = "it was not trained to its end"  # why a trial that misses no constraint is not the best
MISSED: Mapping[str, str] = {  # by the name of a constraint
    "alignment": "teacher-forced alignment too low",
    "free_running_alignment": "free-running alignment too low",
    "failed": "too many sentences fail",
    "memory": "the parameters do not fit into the memory",
}


def missed(constraints: Mapping[str, float]) -> str:
    """Why a trial with these constraints, which are satisfied up to 0, is not feasible, in words; empty where it is."""
    return ", ".join(MISSED.get(name, name) for name in names_of_missed(constraints))


def names_of_missed(constraints: Mapping[str, float]) -> list[str]:
    return [name for name, value in constraints.items() if value > 0]


def of_speech(metrics: Metrics) -> str:
    """The figures of what is heard as the end of a sentence, each after its words; empty where none was measured."""
    beside = note(DISTANCE, metrics)
    measured = [f"{figure.words} {text}" for figure in HEARD if (text := figure.of(metrics))]
    return f": {', '.join(measured)}{f' ({beside})' if beside else ''}" if measured else ""


def headline(metrics: Metrics) -> list[tuple[str, str, str]]:
    """(words, text, note): the verdict, and those of `HEADLINE` that were measured."""
    figures = [(figure.words, figure.of(metrics), note(figure, metrics)) for figure in HEADLINE]
    return [(VERDICT, verdict(metrics), ""), *(row for row in figures if row[1])]
