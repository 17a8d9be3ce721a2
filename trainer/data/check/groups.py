"""Findings by kind, with those that concern the corpus as a whole, the worst first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.corpus_report import Severity
from trainer.data.check.findings import Clip, Finding, symbol_counts
from trainer.data.check.limits import LIMITS, Kind
from trainer.text import accented_words

NAMED_WORDS = 3  # for each letter with an accent


@dataclass(frozen=True)
class Amount:
    """What of a corpus is used. minutes: of speech, after trimming and without clips that are too long."""

    rows: int
    refused: int
    train: int
    validation: int
    minutes: float


@dataclass(frozen=True)
class Group:
    """Everything of one kind. count: rows, or 1 for what concerns the corpus; text: in words; findings: the rows."""

    kind: Kind
    severity: Severity
    count: int
    text: str
    why: str
    mend: str
    findings: Sequence[Finding] = ()


def groups(clips: Sequence[Clip], amount: Amount, findings: Sequence[Finding]) -> list[Group]:
    """clips: those that were measured; findings: on single ones."""
    found: dict[Kind, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.kind, []).append(finding)
    of_clips = [_group(kind, f"{counted(_rows(same), 'clip')}: {kind}", same) for kind, same in found.items()]
    of_corpus = [_group(kind, text) for kind, text in _of_corpus(clips, amount)]
    severities, kinds = list(Severity), list(Kind)
    return sorted(
        [*of_corpus, *of_clips], key=lambda group: (severities.index(group.severity), kinds.index(group.kind))
    )


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _group(kind: Kind, text: str, findings: Sequence[Finding] = ()) -> Group:
    limit = LIMITS[kind]
    return Group(kind, limit.severity, _rows(findings) or 1, text, limit.why, limit.mend, findings)


def _rows(findings: Sequence[Finding]) -> int:
    return len({finding.origin for finding in findings})


def _of_corpus(clips: Sequence[Clip], amount: Amount) -> Iterator[tuple[Kind, str]]:
    if amount.refused:
        yield Kind.REFUSED, f"{counted(amount.refused, 'row')} of {amount.rows:,} cannot be used"
        if amount.refused == amount.rows:
            return  # how much speech there is, is not known
    if amount.minutes <= LIMITS[Kind.LITTLE_SPEECH].value:
        yield Kind.LITTLE_SPEECH, f"{amount.minutes:.1f} minutes of speech"
    if amount.validation <= LIMITS[Kind.FEW_VALIDATION].value:
        yield Kind.FEW_VALIDATION, f"{counted(amount.validation, 'clip')} to validate"
    if not clips:
        return
    if accents := _accents(clips):
        yield Kind.ACCENTS, accents
    spread = float(np.std([clip.sound.level for clip in clips]))
    if spread >= LIMITS[Kind.LEVELS_VARY].value:
        yield Kind.LEVELS_VARY, f"levels vary by {spread:.1f} dB"
    rare = [symbol for symbol, count in symbol_counts(clips).items() if count <= LIMITS[Kind.RARE_SYMBOLS].value]
    if rare:
        shown = " ".join("space" if symbol == " " else symbol for symbol in rare)
        yield Kind.RARE_SYMBOLS, f"{counted(len(rare), 'symbol')} in five places or fewer: {shown}"
    rates = sorted({clip.sound.sample_rate for clip in clips})
    if len(rates) >= LIMITS[Kind.MIXED_RATES].value:
        yield Kind.MIXED_RATES, f"recordings at {', '.join(map(str, rates))} Hz"


def _accents(clips: Sequence[Clip]) -> str:
    """Such as "é read as e in 3 texts (café, cliché)"; empty where no letter has an accent."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for clip in clips:
        for word, accent in accented_words(clip.written, clip.expansions):
            found.setdefault((accent.written.lower(), accent.spoken), []).append((clip.origin, word))
    return "; ".join(_accent(*letters, places) for letters, places in found.items())


def _accent(written: str, spoken: str, places: Sequence[tuple[str, str]]) -> str:
    """places: the origin and the word of each."""
    words = list(dict.fromkeys(word for _, word in places))
    more = ", ..." if len(words) > NAMED_WORDS else ""
    texts = len({origin for origin, _ in places})
    return f"{written} read as {spoken} in {counted(texts, 'text')} ({', '.join(words[:NAMED_WORDS])}{more})"
