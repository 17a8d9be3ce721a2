"""All that a check has found, as one object that becomes JSON: figures, groups of findings, and a verdict in words."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.config import TrainerConfig
from trainer.corpus_report import Refused, Row, Severity, State, Text
from trainer.data.check.findings import Clip, Rate, Settings, find, speaking_rate, symbol_counts
from trainer.data.check.groups import Amount, Group, counted, groups
from trainer.data.check.reading import Read
from trainer.data.faults import Fault, unread_characters

FORMAT = 1  # increase it when a key changes its meaning
TEXTS = 5  # shown as the model reads them
PERCENTILES = (0, 5, 50, 95, 100)
LEAST_CLIPS = 2  # one to train on, and one to validate


@dataclass(frozen=True)
class Report:
    """seconds: of all usable clips, as in their files; figures: `PERCENTILES` of each figure of the clips."""

    source: str
    layout: str
    language: str
    state: State
    summary: str
    amount: Amount
    seconds: float
    figures: Mapping[str, Sequence[float]]
    sample_rates: Mapping[str, int]
    channels: Mapping[str, int]
    symbols: Mapping[str, int]
    rate: Rate | None
    texts: Sequence[Text]
    refused: Sequence[Refused]
    groups: Sequence[Group]
    format: int = FORMAT


def make_report(read: Read, config: TrainerConfig) -> Report:
    settings = Settings(config.audio.sample_rate, config.corpus.max_seconds, read.language)
    amount = _amount(read, settings)
    found = groups(read.clips, amount, find(read.clips, settings))
    state = _state(found, amount)
    return Report(
        source=config.corpus.source,
        layout=read.layout,
        language=read.language,
        state=state,
        summary=_summary(found, amount),
        amount=amount,
        seconds=sum(clip.sound.seconds for clip in read.clips),
        figures=_figures(read.clips),
        sample_rates=_counts(clip.sound.sample_rate for clip in read.clips),
        channels=_counts(clip.sound.channels for clip in read.clips),
        symbols=symbol_counts(read.clips),
        rate=speaking_rate(read.clips),
        texts=_some_texts(read.clips),
        refused=_by_kind(read.faults),
        groups=found,
    )


def _amount(read: Read, settings: Settings) -> Amount:
    used = [clip for clip in read.clips if clip.sound.kept <= settings.max_seconds]
    validation = sum(clip.validates for clip in used)
    minutes = sum(clip.sound.kept for clip in used) / 60
    return Amount(read.rows, len(read.faults), len(used) - validation, validation, minutes)


def _state(found: Iterable[Group], amount: Amount) -> State:
    severities = {group.severity for group in found}
    if Severity.REFUSED in severities or amount.train + amount.validation < LEAST_CLIPS:
        return State.UNUSABLE
    return State.WARNINGS if Severity.WARNING in severities else State.CLEAN


def _summary(found: Iterable[Group], amount: Amount) -> str:
    if amount.refused == amount.rows:
        return f"none of {counted(amount.rows, 'row')} can be used"
    kinds = sum(group.severity is Severity.WARNING for group in found)
    warnings = f"; {counted(kinds, 'kind')} of warning" if kinds else ""
    refused = f"; {counted(amount.refused, 'row')} refused" if amount.refused else ""
    clips = f"{counted(amount.train, 'clip')} to train and {amount.validation:,} to validate"
    return f"{amount.minutes:.1f} minutes of speech, {clips}{refused}{warnings}"


def _figures(clips: Sequence[Clip]) -> dict[str, Sequence[float]]:
    if not clips:
        return {}
    sounds = [clip.sound for clip in clips]
    values = {
        "seconds": [sound.seconds for sound in sounds],
        "kept": [sound.kept for sound in sounds],
        "level": [sound.level for sound in sounds],
        "floor": [sound.floor for sound in sounds],
        "contrast": [sound.contrast for sound in sounds],
        "edges": [sound.lead + sound.tail for sound in sounds],
        "inner": [sound.inner for sound in sounds],
        "rate": [clip.seconds_per_symbol for clip in clips],
        "symbols": [float(len(clip.text)) for clip in clips],
    }
    return {name: [float(v) for v in np.percentile(column, PERCENTILES)] for name, column in values.items()}


def _counts(values: Iterable[int]) -> dict[str, int]:
    """Most frequent first. The keys are text, as in JSON."""
    return {str(value): count for value, count in Counter(values).most_common()}


def _some_texts(clips: Sequence[Clip]) -> list[Text]:
    """Those with most expansions, since these need a look; then the first ones."""
    chosen = sorted(clips, key=lambda clip: -len(clip.expansions))[:TEXTS]
    return [Text(clip.id, clip.origin, clip.written, clip.text) for clip in chosen]


def _by_kind(faults: Iterable[Fault]) -> list[Refused]:
    found: dict[str, list[Fault]] = {}
    for fault in faults:
        found.setdefault(str(fault.kind), []).append(fault)
    return [_refused(kind, same) for kind, same in found.items()]


def _refused(kind: str, faults: Sequence[Fault]) -> Refused:
    rows = [Row(fault.origin, fault.text, fault.recording, fault.written) for fault in faults]
    return Refused(kind, rows, [str(each) for each in unread_characters(faults)])
