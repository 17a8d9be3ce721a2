"""What the check of a corpus has found, read from the folder that the trainer wrote, for the terminal and the page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smart_tuner.expectations import Advice, advice
from smart_tuner.formatting import counted
from trainer.corpus_report import REPORT, Expanded, Refused, Row, Severity, State, Text, Worst

COLUMNS = ("least", "5 %", "median", "95 %", "most")  # of the figures: percentiles over all clips
_FIGURES = (  # name, words, factor, digits
    ("seconds", "length, s", 1, 1),
    ("kept", "length after trimming, s", 1, 1),
    ("level", "speech, dBFS", 1, 0),
    ("floor", "noise, dBFS", 1, 0),
    ("contrast", "speech above noise, dB", 1, 0),
    ("edges", "silence at both edges, s", 1, 2),
    ("inner", "longest silence inside, s", 1, 2),
    ("symbols", "symbols of a text", 1, 0),
    ("rate", "speech per symbol, ms", 1000, 0),
)
_EXIT_CODES = {State.CLEAN: 0, State.WARNINGS: 1, State.UNUSABLE: 2}


@dataclass(frozen=True)
class Finding:
    """One row with one fault; text: in words."""

    id: str
    origin: str
    text: str


@dataclass(frozen=True)
class Group:
    """Everything of one kind, in words; findings: empty for what concerns the corpus as a whole."""

    kind: str
    severity: Severity
    count: int
    text: str
    why: str
    mend: str
    findings: Sequence[Finding]


@dataclass(frozen=True)
class CorpusCheck:
    """figures: by name, a value for each of `COLUMNS`; refused: rows, by kind; cleaned: clips of the copy, where one
    was written; worst: with the whole paths of their media; raw: all of it, as the trainer wrote it."""

    source: str
    layout: str
    language: str
    state: State
    summary: str
    rows: int
    train: int
    validation: int
    minutes: float
    seconds: float
    figures: Mapping[str, Sequence[float]]
    sample_rates: Mapping[str, int]
    channels: Mapping[str, int]
    symbols: Mapping[str, int]
    texts: Sequence[Text]
    expansions: Sequence[Expanded]
    refused: Sequence[Refused]
    groups: Sequence[Group]
    worst: Sequence[Worst]
    cleaned: int | None
    raw: Mapping[str, Any]

    @property
    def exit_code(self) -> int:
        """0: clean, 1: with warnings, 2: unusable."""
        return _EXIT_CODES[self.state]

    @property
    def advice(self) -> Advice:
        return advice(self.source, self.minutes)

    @property
    def description(self) -> str:
        """Layout, language, sample rates and channels."""
        rates = [f"{counted(count, 'recording')} at {int(rate):,} Hz" for rate, count in self.sample_rates.items()]
        several = [f"{count:,} with {number} channels" for number, count in self.channels.items() if number != "1"]
        language = f"language {self.language}" if self.language else ""  # no text could be read
        return "; ".join(part for part in (self.layout, language, *rates, *several) if part)

    @property
    def figure_rows(self) -> list[tuple[str, list[str]]]:
        """For a table: the words of each figure, and its values as text. Empty where no clip is usable."""
        return [
            (words, [f"{factor * value:.{digits}f}" for value in self.figures[name]])
            for name, words, factor, digits in _FIGURES
            if name in self.figures
        ]


def read_check(folder: Path) -> CorpusCheck:
    """folder: complete, as the trainer wrote it."""
    raw: dict[str, Any] = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    amount = raw["amount"]
    return CorpusCheck(
        source=raw["source"],
        layout=raw["layout"],
        language=raw["language"],
        state=State(raw["state"]),
        summary=raw["summary"],
        rows=amount["rows"],
        train=amount["train"],
        validation=amount["validation"],
        minutes=amount["minutes"],
        seconds=raw["seconds"],
        figures=raw["figures"],
        sample_rates=raw["sample_rates"],
        channels=raw["channels"],
        symbols=raw["symbols"],
        texts=[Text(**text) for text in raw["texts"]],
        expansions=[Expanded(**each) for each in raw.get("expansions", ())],
        refused=[
            Refused(same["kind"], [Row(**fault) for fault in same["faults"]], same.get("characters", ()))
            for same in raw["refused"]
        ],
        groups=[group_of(group) for group in raw["groups"]],
        worst=[
            Worst(**clip | {name: str(folder / clip[name]) for name in ("sound", "picture")})
            for clip in raw.get("worst", ())
        ],
        cleaned=raw.get("cleaned"),
        raw=raw,
    )


def group_of(raw: Mapping[str, Any]) -> Group:
    """raw: as in a report, or in what the trainer says when it has prepared a corpus."""
    findings = [Finding(each["id"], each["origin"], each["text"]) for each in raw["findings"]]
    return Group(**{**raw, "severity": Severity(raw["severity"]), "findings": findings})
