"""What an amount of speech has become: only what was measured. docs/evaluation.md and docs/performance.md say how.

A row more for each amount that is measured; nothing is interpolated.
"""

import shlex
from dataclasses import dataclass

from trainer.evaluation.verdict import Heard

LONG = 300.0  # minutes from which on the study for LJSpeech fits, whose recipes are for 24 hours
_LIKE_MEASURED = (0.85, 1.5)  # times the measured amounts


@dataclass(frozen=True)
class Measured:
    """minutes: of speech to train on; heard: None where it was not evaluated; took: with the machine."""

    minutes: float
    corpus: str
    preset: str
    frames: int
    heard: Heard | None
    figures: str
    took: str


MEASURED: tuple[Measured, ...] = (
    Measured(
        minutes=10.6,
        corpus="the embedded English corpus",
        preset="tiny",
        frames=600_000,
        heard=Heard.HUM,
        figures="9.3 dB to the recordings, 52 % recognised",
        took="1 min 50 s on two cores",
    ),
    Measured(
        minutes=10.6,
        corpus="the embedded English corpus",
        preset="tiny",
        frames=2_400_000,
        heard=Heard.PARTS,
        figures="6.4 dB to the recordings, 87 % recognised",
        took="7 min 20 s on two cores",
    ),
    Measured(
        minutes=10.6,
        corpus="the embedded English corpus",
        preset="tiny",
        frames=14_900_000,
        heard=Heard.GOOD,
        figures="2.4 dB to the recordings, 95 % recognised",
        took="38 minutes on two cores, with the search",
    ),
    Measured(
        minutes=10.1,
        corpus="the embedded English corpus",
        preset="full",
        frames=5_000_000,
        heard=None,
        figures="alignment 0.96 without a teacher, every sentence ends",
        took="33 s on an NVIDIA H200",
    ),
)
_EVALUATED = [row for row in MEASURED if row.heard is not None]
BEST = max(_EVALUATED, key=lambda row: (row.heard is not None and list(Heard).index(row.heard), row.frames))


@dataclass(frozen=True)
class Advice:
    """expect: what the amount is enough for, as far as it is known; settings: which preset and budget to take."""

    expect: str
    settings: str


def advice(source: str, minutes: float) -> Advice:
    """source: of the corpus; minutes: of speech, in both splits."""
    least, most = min(row.minutes for row in MEASURED), max(row.minutes for row in MEASURED)
    known = (
        f"{BEST.minutes:.0f} minutes of {BEST.corpus} became “{BEST.heard}” ({BEST.figures}; preset {BEST.preset}, "
        f"{BEST.frames / 1e6:g} million frames, {BEST.took}). Of a person, 3.7 minutes alone were tried, with `--from`."
    )
    if minutes < _LIKE_MEASURED[0] * least:
        compared = "Less speech than was measured: whether it is enough is not known."
    elif minutes <= _LIKE_MEASURED[1] * most:
        compared = "As much speech as was measured."
    else:
        compared = "More speech than was measured: it can become better than this."
    return Advice(f"{compared} {known}", _settings(source, minutes))


def _settings(source: str, minutes: float) -> str:
    alone = "study `ljspeech`" if minutes >= LONG else "study `quickstart`, and with a GPU preset full"
    command = f"smart-tuner voice {shlex.quote(source)} --hours 8"
    return (
        f"To make a voice: `{command}` chooses preset and budget by the time; the search alone: {alone}. From a voice "
        "that speaks already: `--from VOICE`."
    )
