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
    """words: in a sentence or a table. column: the heading of a narrow column. form: of the number, as in `format`.

    meaning: in a few words, beside the figure.
    """

    name: str
    words: str
    column: str
    form: str
    unit: str = ""
    meaning: str = ""

    def of(self, metrics: Metrics) -> str:
        """The figure with its unit; empty where it was not measured."""
        return self.text(metrics.get(self.name))

    def text(self, value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:{self.form}}{' ' if self.unit else ''}{self.unit}"


def _spoken(name: str, words: str, form: str, meaning: str = "", *, unit: str = "", column: str = "") -> Figure:
    """A figure of speech without a teacher. name: in the folder of an evaluation."""
    return Figure(f"{PREFIX}{name}", words, column or words, form, unit, meaning)


LOSS = Figure("validation_loss", "teacher-forced loss", "loss", ".4g")
ALIGNMENT = Figure("alignment", "teacher-forced alignment", "alignment", ".2f", meaning="of 1")
FAILED = _spoken("failed", "sentences that fail", ".0%", "they do not end, or are cut", column="failed")
RECOGNISED = _spoken(
    "recognised", "half seconds recognised", ".0%", "nearest to their own place, of 21", column="recognised"
)
DISTANCE = _spoken(
    "distance",
    "distance to the recordings",
    ".2f",
    "a sentence that fails counts as a hum",
    unit="dB",
    column="distance",
)
FREE_ALIGNMENT = _spoken("alignment", "free-running alignment", ".2f", "of 1", column="free")
MCD = _spoken("mcd", "mel-cepstral distortion", ".2f", "sentences that fail as they are", unit="dB")
VARIANCE = _spoken("variance", "movement of the spectrum", ".2f", "as a share of the recordings'")
WORDS_WRONG = _spoken(
    "words_wrong", "words misheard", ".0%", "by a listener; only the difference to the recordings counts"
)
RANK = _spoken("rank", "rank of the own recording", ".3g", "among 21 by distance; 1: it is nearest")
MARGIN = _spoken(
    "margin", "margin to other recordings", ".2f", "as a share of the distortion; below 0: another one is nearer"
)
REACHED_LIMIT = _spoken("reached_limit", "sentences without an end", ".0%", "their gate never fired")
STOPPED_EARLY = _spoken("stopped_early", "sentences cut", ".0%", "shorter than 70 % of the recording")
DURATION_ERROR = _spoken("duration_error", "difference in length", ".0%", "as a share of the recording's")
SKIPPED = _spoken("skipped", "characters skipped", ".0%", "attention jumps over them")
REPEATS = _spoken("repeats", "repeats", ".2f", "times that attention moves back, per sentence")
MEDIAN_ALIGNMENT = _spoken("alignment_median", "median free-running alignment", ".2f", "of 1")
SECONDS = _spoken("seconds", "speech", ".1f", unit="s")
RECORDED_SECONDS = _spoken("recorded_seconds", "recording", ".1f", unit="s")
HUM = _spoken("hum_mcd", "hum", ".2f", unit="dB")
CEILING = _spoken("ceiling_mcd", "best possible", ".2f", unit="dB")
ANOTHER = _spoken("other_mcd", "another sentence", ".2f", unit="dB")
WORDS_WRONG_RECORDED = _spoken("words_wrong_recorded", "words misheard in the recording", ".0%")

HEARD = (FAILED, RECOGNISED, FREE_ALIGNMENT, DISTANCE)  # of speech without a teacher
HEADLINE = (DISTANCE, FAILED, RECOGNISED, FREE_ALIGNMENT, LOSS, ALIGNMENT)  # after the verdict
EVALUATION = (  # all that an evaluation shows of a voice, the most telling first
    FAILED,
    RECOGNISED,
    DISTANCE,
    MCD,
    VARIANCE,
    WORDS_WRONG,
    RANK,
    MARGIN,
    REACHED_LIMIT,
    STOPPED_EARLY,
    DURATION_ERROR,
    SKIPPED,
    REPEATS,
    FREE_ALIGNMENT,
    MEDIAN_ALIGNMENT,
    SECONDS,
)
SENTENCE = (  # and of one of its sentences
    DISTANCE,
    MCD,
    HUM,
    RECOGNISED,
    RANK,
    MARGIN,
    FREE_ALIGNMENT,
    VARIANCE,
    WORDS_WRONG,
    WORDS_WRONG_RECORDED,
    SECONDS,
    RECORDED_SECONDS,
)
_KNOWN = {figure.name: figure for figure in (LOSS, ALIGNMENT, *EVALUATION, *SENTENCE, CEILING, ANOTHER)}


def label(name: str) -> str:
    """Any figure by its name, with a teacher and without, for a table of all."""
    known = _KNOWN.get(f"{PREFIX}{name}") or _KNOWN.get(name)
    unit = f", {known.unit}" if known and known.unit else ""
    return f"{name.replace('_', ' ')}{unit}"


def objective(metric: str) -> Figure:
    """The figure that a study optimises, by its `objective.metric`; one of a later version has its name alone."""
    return _KNOWN.get(metric) or Figure(metric, metric, metric, ".4g")


def verdict(metrics: Metrics) -> str:
    """What is heard, in words."""
    return str(heard(metrics) or NOT_MEASURED)


def advice(metrics: Metrics) -> str:
    """What to do next with the trial; empty where its speech was not measured."""
    verdict: Heard | None = heard(metrics)
    return verdict.advice if verdict else ""


def note(figure: Figure, metrics: Metrics) -> str:
    """What to compare the figure with, or what it means; may be empty."""
    return (_beside_distance(metrics) if figure is DISTANCE else "") or figure.meaning


def _beside_distance(metrics: Metrics) -> str:
    """The distances of others, as far as they were measured."""
    return ", ".join(f"{other.words} {text}" for other in (HUM, CEILING) if (text := other.of(metrics)))


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
    """In the order of `MISSED`: the store has its own."""
    return [name for name in dict.fromkeys([*MISSED, *constraints]) if constraints.get(name, 0) > 0]


def listed(metrics: Metrics) -> str:
    """The figures of what is heard as the end of a sentence, each after its words; empty where none was measured."""
    beside = _beside_distance(metrics)
    measured = [f"{figure.words} {text}" for figure in HEARD if (text := figure.of(metrics))]
    return f": {', '.join(measured)}{f' ({beside})' if beside else ''}" if measured else ""


def headline(metrics: Metrics) -> list[tuple[str, str, str]]:
    """(words, text, note): the verdict, and those of `HEADLINE` that were measured."""
    figures = [(figure.words, figure.of(metrics), note(figure, metrics)) for figure in HEADLINE]
    return [(VERDICT, verdict(metrics), ""), *(row for row in figures if row[1])]
