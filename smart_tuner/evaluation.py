"""An evaluation of a voice, read from the folder that the trainer wrote, for the terminal and the page."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.evaluation.verdict import Heard

SHOWN = 10  # sentences, the worst


@dataclass(frozen=True)
class Compared:
    """A figure of the voice beside those that were measured of others; None: not measured."""

    name: str
    meaning: str
    digits: int
    voice: float | None
    ceiling: float | None = None  # the recordings themselves, after Griffin-Lim
    another: float | None = None  # the recording of another sentence of the same voice
    hum: float | None = None  # the mean frame, held

    def text(self, value: float | None) -> str:
        return "" if value is None else f"{value:.{self.digits}f}"


@dataclass(frozen=True)
class Sentence:
    id: str
    text: str
    faults: str  # what is wrong, in words; empty where no figure shows anything
    figures: Mapping[str, float]
    files: Mapping[str, Path]  # by what they show: alignment, mel, spoken, recorded


@dataclass(frozen=True)
class Evaluation:
    folder: Path
    voice: str
    vocoder: str  # which made the sounds
    corpus: str | None  # None: texts were spoken
    texts: str | None
    written: str
    sentences: int
    listened: int  # sentences that a listener heard
    verdict: Heard | None
    advice: str | None
    notes: Sequence[str]
    figures: Mapping[str, float]  # only those that were measured
    worst: Sequence[Sentence]

    @property
    def compared(self) -> list[Compared]:
        """The measured figures, the most telling first."""
        f = self.figures
        against = {"ceiling": f.get("ceiling_mcd"), "another": f.get("other_mcd"), "hum": f.get("hum_mcd")}
        compared = {
            "distance": against,
            "mcd": against,
            "words_wrong": {"ceiling": f.get("words_wrong_recorded")},
        }
        rows = [_row(f, name, **compared.get(name, {})) for name in _MEANINGS]
        return [row for row in rows if row.voice is not None]


# The most telling first, by the names that they have everywhere: what they mean, and their digits where shown.
_MEANINGS: Mapping[str, tuple[str, int]] = {
    "failed": ("share of sentences that are endless or cut", 2),
    "recognised": (
        "share of half seconds that are nearest to their own place, among 21 recordings",
        2,
    ),
    "distance": ("to the recordings in dB; a sentence that fails counts as a hum", 1),
    "mcd": ("mel-cepstral distortion in dB, failed sentences as they are", 1),
    "variance": ("how much the spectrum moves, as a share of the recordings'", 2),
    "words_wrong": ("share of words that the listener misheard; only the difference to the recordings counts", 2),
    "rank": ("of the own recording among 21 by distance; 1: it is nearest", 1),
    "margin": ("how much further the nearest other recording is; below 0: it is nearer", 2),
    "reached_limit": ("share of sentences that no gate ended", 2),
    "stopped_early": ("share of sentences cut short", 2),
    "duration_error": ("difference to the recording's length, as a share of it", 2),
    "skipped": ("share of characters that attention jumps over", 2),
    "repeats": ("times that attention moves back, per sentence", 2),
    "alignment": ("of attention without a teacher, 0 to 1", 2),
    "alignment_median": ("of the sentence in the middle", 2),
    "seconds": ("of speech in all", 0),
}


def _row(figures: Mapping[str, float], name: str, **compared: float | None) -> Compared:
    meaning, digits = _MEANINGS[name]
    return Compared(name, meaning, digits, figures.get(name), **compared)


def read_evaluation(folder: Path) -> Evaluation:
    """folder: complete, as the trainer wrote it."""
    about: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    with (folder / "sentences.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["alignment_file"]]  # the worst come first
    verdict = about["verdict"]
    return Evaluation(
        folder=folder,
        voice=about["voice"],
        vocoder=about.get("vocoder", "Griffin-Lim"),  # evaluations of before have no other
        corpus=about["corpus"],
        texts=about["texts"],
        written=about["written"],
        sentences=about["sentences"],
        listened=about["listened"],
        verdict=Heard(verdict) if verdict else None,
        advice=about["advice"],
        notes=about["notes"],
        figures={name: value for name, value in about["figures"].items() if value is not None},
        worst=[_sentence(row, folder) for row in rows[:SHOWN]],
    )


def _sentence(row: Mapping[str, str], folder: Path) -> Sentence:
    kinds = ("alignment", "mel", "spoken", "recorded")
    return Sentence(
        id=row["id"],
        text=row["text"],
        faults=row["faults"],
        figures={name: float(row[name]) for name in _SHOWN_FIGURES if row[name]},
        files={kind: folder / row[f"{kind}_file"] for kind in kinds if row[f"{kind}_file"]},
    )


_SHOWN_FIGURES = (
    *(
        "distance",
        "mcd",
        "hum_mcd",
        "recognised",
        "rank",
        "margin",
        "alignment",
        "variance",
        "words_wrong",
        "words_wrong_recorded",
    ),
    *("seconds", "recorded_seconds"),
)
