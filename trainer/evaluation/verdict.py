"""What the figures of a voice mean, in words. Standard library only.

Distances are judged relative to the corpus: a hum has likeness 0, the recordings themselves after Griffin-Lim have 1.
`docs/evaluation.md` shows the data behind the thresholds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

PREFIX = "free_running_"  # of these figures among those of a trial
CEILING_MCD = 1.15  # dB, where it was not measured: 1.11 for the English demo, 1.19 for the Russian one
FEW_SENTENCES = 8  # of fewer, one more that fails changes the verdict
HARDLY_RECOGNISED = 0.4  # share of a sentence's pieces


class Heard(StrEnum):
    """From worst to best."""

    MUTE = "mute"
    HUM = "aligned, but a hum"
    PARTS = "intelligible in parts"
    INTELLIGIBLE = "intelligible"
    GOOD = "good"

    @property
    def advice(self) -> str:
        """What to do next."""
        return _ADVICE[self]


@dataclass(frozen=True)
class Thresholds:
    """What a voice must reach for a verdict. Each figure can be fooled alone."""

    alignment: float = 0.5  # free-running
    failed: float = 0.5  # at most, share of sentences
    recognised: float = 0.0  # share of pieces that are nearest to their own place; a blur keeps it for long
    variance: float = 0.0  # as a share of the recordings'; a blur loses it first, noise has it
    likeness: float = -math.inf

    def is_met(self, figures: Mapping[str, float], prefix: str) -> bool:
        def figure(name: str) -> float:
            return figures.get(f"{prefix}{name}", math.nan)

        return (
            figure("alignment") >= self.alignment
            and figure("failed") <= self.failed
            and figure("recognised") >= self.recognised
            and figure("variance") >= self.variance
            and likeness(figures, prefix) >= self.likeness
        )


# From best to worst; a voice that meets none is mute.
THRESHOLDS: Mapping[Heard, Thresholds] = {
    Heard.GOOD: Thresholds(alignment=0.7, failed=0.05, recognised=0.95, variance=0.75, likeness=0.6),
    Heard.INTELLIGIBLE: Thresholds(failed=0.15, recognised=0.9, variance=0.6, likeness=0.45),
    Heard.PARTS: Thresholds(recognised=0.7, variance=0.4, likeness=0.3),
    Heard.HUM: Thresholds(),
}

_ADVICE: Mapping[Heard, str] = {
    Heard.MUTE: "Its attention does not follow the text without a teacher, or its sentences do not end: "
    "train it longer, with guided attention, and look at the corpus for silence and wrong texts.",
    Heard.HUM: "Its attention follows the text, but its words cannot be understood yet: train it longer.",
    Heard.PARTS: "Some words can be heard: train it longer.",
    Heard.INTELLIGIBLE: "Its words can be understood, but it sounds blurred: train it longer, or with a larger preset.",
    Heard.GOOD: "It is near to the recordings.",
}


def heard(figures: Mapping[str, float], prefix: str = PREFIX) -> Heard | None:
    """The verdict on the figures of `trainer.evaluation.sentences.summary`; None where one that it needs is unknown.

    prefix: of their names in `figures`.
    """
    needed = [figures.get(f"{prefix}{name}", math.nan) for name in ("alignment", "failed", "recognised", "variance")]
    if any(math.isnan(value) for value in (*needed, likeness(figures, prefix))):
        return None
    return next((verdict for verdict, least in THRESHOLDS.items() if least.is_met(figures, prefix)), Heard.MUTE)


def reservation(sentences: int) -> str:
    """What to add to a verdict on so many sentences; empty where they are enough."""
    if sentences >= FEW_SENTENCES:
        return ""
    rests = "one sentence" if sentences == 1 else f"{sentences} sentences"
    return (
        f"It rests on {rests} alone, and is uncertain: another sentence may change it. Raise corpus.validation_share, "
        "or name another corpus with --corpus."
    )


def likeness(figures: Mapping[str, float], prefix: str = PREFIX) -> float:
    """Of the speech to the recordings: 0 is a hum's, 1 that of the recordings after Griffin-Lim; NaN if unknown."""
    mcd, hum = (figures.get(f"{prefix}{name}", math.nan) for name in ("mcd", "hum_mcd"))
    ceiling = figures.get(f"{prefix}ceiling_mcd", CEILING_MCD)
    return (hum - mcd) / (hum - ceiling) if hum > ceiling else math.nan
