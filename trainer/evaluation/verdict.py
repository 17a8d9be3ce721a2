"""What the figures of a voice mean, in words, so that nobody takes a smear for a voice. Standard library only.

Distances are judged relative to the corpus: a hum has likeness 0, the recordings themselves after Griffin-Lim have 1.
`docs/evaluation.md` shows the data behind the thresholds.
"""

import math
from collections.abc import Mapping
from enum import StrEnum

PREFIX = "free_running_"  # of these figures among those of a trial
CEILING_MCD = 1.15  # dB, where it was not measured: 1.11 for the English demo, 1.19 for the Russian one

FAILED = 0.5  # a larger share of sentences that fail: mute
ALIGNED = 0.5  # free-running alignment; below it: mute
RECOGNISED_IN_PARTS = 0.4  # share of sentences nearest to their own recording among 21; chance is 0.05
RECOGNISED = 0.9
FAILED_AT_TIMES = 0.15  # a larger share of sentences that fail: intelligible in parts at most
LIKE_THE_RECORDINGS = 0.5


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


_ADVICE: Mapping[Heard, str] = {
    Heard.MUTE: "Its attention does not follow the text without a teacher, or its sentences do not end: "
    "search with guided attention, and look at the corpus for silence and wrong texts.",
    Heard.HUM: "It keeps the rhythm of the text but says no words yet: train it longer (budget.frames).",
    Heard.PARTS: "Some words can be heard: train it longer (budget.frames).",
    Heard.INTELLIGIBLE: "Its words can be understood, but it sounds blurred: train it longer, or with a larger preset.",
    Heard.GOOD: "It is near to the recordings.",
}


def heard(figures: Mapping[str, float], prefix: str = PREFIX) -> Heard | None:
    """The verdict on the figures of `trainer.evaluation.sentences.summary`; None where they were not measured.

    prefix: of their names in `figures`.
    """
    alignment = figures.get(f"{prefix}alignment", math.nan)
    failed = figures.get(f"{prefix}failed", math.nan)
    recognised = figures.get(f"{prefix}recognised", math.nan)
    if math.isnan(failed) or math.isnan(recognised):
        return None
    if not alignment >= ALIGNED or failed > FAILED:
        return Heard.MUTE
    if recognised < RECOGNISED_IN_PARTS:
        return Heard.HUM
    if recognised < RECOGNISED or failed > FAILED_AT_TIMES:
        return Heard.PARTS
    return Heard.GOOD if likeness(figures, prefix) >= LIKE_THE_RECORDINGS else Heard.INTELLIGIBLE


def likeness(figures: Mapping[str, float], prefix: str = PREFIX) -> float:
    """Of the speech to the recordings: 0 is a hum's, 1 that of the recordings after Griffin-Lim; NaN if unknown."""
    mcd, hum = (figures.get(f"{prefix}{name}", math.nan) for name in ("mcd", "hum_mcd"))
    ceiling = figures.get(f"{prefix}ceiling_mcd", CEILING_MCD)
    return (hum - mcd) / (hum - ceiling) if hum > ceiling else math.nan
