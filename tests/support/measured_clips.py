"""Clips of a corpus whose figures are given."""

from dataclasses import replace

from trainer.data.check.findings import Clip, Settings
from trainer.data.check.measures import Sound

SETTINGS = Settings(sample_rate=22050, max_seconds=12.0)
SOUND = Sound(
    sample_rate=22050,
    channels=1,
    seconds=2.0,
    kept=2.0,
    level=-20.0,
    floor=-60.0,
    peak=0.5,
    clipped=0.0,
    offset=0.0,
    cancelled=0.0,
    lead=0.0,
    tail=0.0,
    inner=0.1,
    pauses=0.0,
    start=-40.0,
    end=-40.0,
    content="",
)


def clip(number: int, text: str = "", validates: bool = False, **figures: object) -> Clip:
    text = text or f"a text of its own, number {number}"
    sound = replace(SOUND, content=str(number), **figures)  # type: ignore[arg-type]
    origin = f"metadata.csv:{number + 1}"
    return Clip(f"c{number}", origin, f"c{number}.wav", text, text, text, (), validates, sound)
