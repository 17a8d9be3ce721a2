"""An evaluation of a voice, read from the folder that the trainer wrote, for the terminal and the page."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smart_tuner import figures
from smart_tuner.figures import Figure
from trainer.evaluation.folder import PICTURES, SENTENCES, SOUNDS, SUMMARY, file_column
from trainer.evaluation.verdict import PREFIX, Heard, reservation


@dataclass(frozen=True)
class Compared:
    """A figure of the voice beside those that were measured of others, as text; empty: not measured."""

    figure: Figure
    voice: str
    ceiling: str = ""  # the recordings themselves, after Griffin-Lim
    another: str = ""  # the recording of another sentence of the same voice
    hum: str = ""  # the mean frame, held


@dataclass(frozen=True)
class Sentence:
    id: str
    text: str
    faults: str  # what is wrong, in words; empty where no figure shows anything
    figures: Mapping[Figure, float]  # only those that were measured
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
    figures: Mapping[str, float]  # only those that were measured, by the names that they have of a trial
    worst: Sequence[Sentence]
    longer: str = ""  # the command that trains such a voice longer; empty where none is known

    @property
    def reservation(self) -> str:
        """Why the verdict is uncertain; empty where it is not, or where there is none."""
        return reservation(self.sentences) if self.verdict else ""

    @property
    def compared(self) -> list[Compared]:
        """The measured figures, the most telling first."""
        return [self._compared(figure) for figure in figures.EVALUATION if figure.name in self.figures]

    def _compared(self, figure: Figure) -> Compared:
        others = {name: other.of(self.figures) for name, other in _OTHERS.get(figure, {}).items()}
        return Compared(figure, figure.of(self.figures), **others)


_DISTANCES = {"ceiling": figures.CEILING, "another": figures.ANOTHER, "hum": figures.HUM}
_OTHERS: Mapping[Figure, Mapping[str, Figure]] = {
    figures.DISTANCE: _DISTANCES,
    figures.MCD: _DISTANCES,
    figures.WORDS_WRONG: {"ceiling": figures.WORDS_WRONG_RECORDED},
}


def read_evaluation(folder: Path) -> Evaluation:
    """folder: complete, as the trainer wrote it."""
    about: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    with (folder / SENTENCES).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
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
        figures={f"{PREFIX}{name}": value for name, value in about["figures"].items() if value is not None},
        worst=[_sentence(row, folder) for row in rows if row[file_column(PICTURES[0])]],  # only these have pictures
    )


def _sentence(row: Mapping[str, str], folder: Path) -> Sentence:
    measured = {f"{PREFIX}{name}": value for name, value in row.items() if value}
    files = {kind: row[file_column(kind)] for kind in (*PICTURES, *SOUNDS)}
    return Sentence(
        id=row["id"],
        text=row["text"],
        faults=row["faults"],
        figures={figure: float(measured[figure.name]) for figure in figures.SENTENCE if figure.name in measured},
        files={kind: folder / file for kind, file in files.items() if file},
    )
