"""The folder of an evaluation: `sentences.csv`, `summary.json`, pictures and sounds of the worst sentences."""

import csv
import json
import math
from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from trainer.audio import to_wav
from trainer.config import AudioConfig
from trainer.data.progress import OnProgress
from trainer.evaluation.distance import Array
from trainer.evaluation.faults import faults
from trainer.evaluation.folder import MEDIA, PICTURES, SENTENCES, SOUNDS, SUMMARY, WORST, file_column
from trainer.evaluation.full import Judged, Perceived
from trainer.evaluation.listener import WordErrors
from trainer.evaluation.sentences import Sentence, mean, summary, summary_of_spoken
from trainer.pictures import draw_alignment, draw_mels
from trainer.vocoder.vocoders import Vocoder

COLUMNS = (
    "id",
    *(field.name for field in fields(Sentence)),
    *("distance", "failed", "cut", "duration_error", "seconds", "recorded_seconds", "other_mcd", "ceiling_mcd"),
    *("words_wrong", "words_wrong_recorded", "faults"),
    *map(file_column, (*PICTURES, *SOUNDS)),
)


@dataclass(frozen=True, eq=False)
class _Kept:
    """A sentence that may be among the worst."""

    number: int  # in the order in which they were spoken, from 1
    judged: Judged
    perceived: Perceived


class Results:
    """Takes sentence after sentence; of all but the worst, what can be seen is not kept.

    sounds_of_all: write the sound of each sentence, not only of the worst.
    """

    def __init__(self, folder: Path, audio: AudioConfig, vocoder: Vocoder, *, sounds_of_all: bool) -> None:
        self._folder = folder
        self._audio = audio
        self._vocoder = vocoder
        self._sounds_of_all = sounds_of_all
        self._all: list[Judged] = []
        self._rows: list[dict[str, Any]] = []
        self._worst: list[_Kept] = []
        (folder / MEDIA).mkdir()

    def add(self, judged: Judged, perceived: Perceived) -> None:
        self._all.append(judged)
        self._rows.append(self._row(judged))
        number = len(self._all)
        insort(self._worst, _Kept(number, judged, perceived), key=lambda kept: _worst_first(kept.judged))
        del self._worst[WORST:]
        if self._sounds_of_all:
            self._rows[-1][file_column("spoken")] = self._sound(f"{number:04d}-spoken", perceived.spoken.mel)

    def figures(self) -> dict[str, float]:
        """Means over the sentences by the names that trials have, and what they are compared with."""
        sentences = [judged.sentence for judged in self._all]
        compared = [sentence for sentence in sentences if isinstance(sentence, Sentence)]
        found = summary(compared) if compared else summary_of_spoken(sentences)
        return found | {
            "ceiling_mcd": mean(judged.ceiling_mcd for judged in self._all),
            "other_mcd": mean(judged.other_mcd for judged in self._all),
            "words_wrong": _share(judged.words for judged in self._all),
            "words_wrong_recorded": _share(judged.words_recorded for judged in self._all),
            "seconds": sum(self._seconds(sentence.frames) for sentence in sentences),
        }

    @property
    def counts(self) -> dict[str, int]:
        """Of how many sentences the figures are."""
        return {
            "sentences": len(self._all),
            "resynthesised": sum(not math.isnan(judged.ceiling_mcd) for judged in self._all),
            "listened": sum(judged.words is not None for judged in self._all),
        }

    def write(self, about: Mapping[str, Any], progress: OnProgress) -> None:
        """about: what `summary.json` says besides the figures."""
        for done, kept in enumerate(self._worst):
            progress(done, len(self._worst), "pictures and sounds of the worst")
            self._draw(kept)
        progress(len(self._worst), len(self._worst), "pictures and sounds of the worst")
        order = sorted(range(len(self._all)), key=lambda index: _worst_first(self._all[index]))
        with (self._folder / SENTENCES).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows({key: _cell(value) for key, value in self._rows[index].items()} for index in order)
        content = {**about, **self.counts, "figures": {name: _known(v) for name, v in self.figures().items()}}
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (self._folder / SUMMARY).write_text(text + "\n", encoding="utf-8")

    def _row(self, judged: Judged) -> dict[str, Any]:
        sentence = judged.sentence
        row = {
            "id": judged.id,
            **asdict(sentence),
            "seconds": self._seconds(sentence.frames),
            "other_mcd": judged.other_mcd,
            "ceiling_mcd": judged.ceiling_mcd,
            "words_wrong": judged.words.share if judged.words else math.nan,
            "words_wrong_recorded": judged.words_recorded.share if judged.words_recorded else math.nan,
            "faults": "; ".join(faults(sentence)),
        }
        if isinstance(sentence, Sentence):
            row |= {name: getattr(sentence, name) for name in ("distance", "failed", "cut", "duration_error")}
            row["recorded_seconds"] = self._seconds(sentence.recorded)
        return row

    def _seconds(self, frames: int) -> float:
        return frames * self._audio.hop_length / self._audio.sample_rate

    def _draw(self, kept: _Kept) -> None:
        row = self._rows[kept.number - 1]
        sentence = kept.judged.sentence
        spoken = kept.perceived.spoken
        recorded = kept.perceived.recorded
        name = f"{kept.number:04d}"
        title = f"without a teacher, alignment {sentence.alignment:.2f}"
        alignment = draw_alignment(spoken.attention, sentence.text, title)
        row[file_column("alignment")] = self._file(f"{name}-alignment.png", alignment)
        mels = {"recorded": recorded} if recorded is not None else {}
        drawn = draw_mels({**mels, "spoken": spoken.mel}, sentence.text)
        row[file_column("mel")] = self._file(f"{name}-mel.png", drawn)
        if not self._sounds_of_all:
            row[file_column("spoken")] = self._sound(f"{name}-spoken", spoken.mel)
        if recorded is not None:
            row[file_column("recorded")] = self._sound(f"{name}-recorded", recorded)

    def _sound(self, name: str, mel: Array) -> str:
        if not np.isfinite(mel).all():
            return ""  # not audible
        return self._file(f"{name}.wav", to_wav(self._vocoder.sound(mel), self._audio.sample_rate))

    def _file(self, name: str, content: bytes) -> str:
        (self._folder / MEDIA / name).write_bytes(content)
        return f"{MEDIA}/{name}"


def _worst_first(judged: Judged) -> tuple[bool, float]:
    """Sort key: failed sentences first, then those of great distance; without a recording, those of low alignment."""
    sentence = judged.sentence
    if isinstance(sentence, Sentence):
        return not sentence.failed, -sentence.distance
    return not sentence.endless, math.inf if math.isnan(sentence.alignment) else sentence.alignment


def _share(errors: Iterable[WordErrors | None]) -> float:
    """Wrong words as a share of all words; NaN without any."""
    known = [error for error in errors if error is not None]
    return sum(error.wrong for error in known) / sum(error.words for error in known) if known else math.nan


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cell(value: Any) -> Any:
    """What is not finite as an empty cell, truth values as YAML and JSON have them."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if isinstance(value, float) and not math.isfinite(value) else value


def is_results(folder: Path) -> bool:
    """Whether an evaluation was written there."""
    return all((folder / name).is_file() for name in (SENTENCES, SUMMARY))
