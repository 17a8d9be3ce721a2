"""The figures of all clips, small enough for a page: histograms, and a sample of the clips as points."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.data.check.findings import Clip
from trainer.data.check.groups import Group
from trainer.data.check.limits import Kind

BINS = 40
POINTS = 1500  # clips of the sample


@dataclass(frozen=True)
class Histogram:
    """counts: of clips in each bin; edges: one more than bins."""

    edges: Sequence[float]
    counts: Sequence[int]


@dataclass(frozen=True)
class Point:
    """One clip. seconds: of speech; suspect: text and length do not fit."""

    id: str
    symbols: int
    seconds: float
    suspect: bool


@dataclass(frozen=True)
class Plots:
    seconds: Histogram
    level: Histogram
    contrast: Histogram
    points: Sequence[Point]


def plots(clips: Sequence[Clip], groups: Sequence[Group]) -> Plots:
    """All clips whose text does not fit are among the points."""
    suspects = {finding.origin for group in groups if group.kind is Kind.WRONG_TEXT for finding in group.findings}
    others = [clip for clip in clips if clip.origin not in suspects]
    drawn = random.Random(0).sample(others, min(POINTS, len(others)))
    return Plots(
        seconds=_histogram([clip.sound.kept for clip in clips]),
        level=_histogram([clip.sound.level for clip in clips]),
        contrast=_histogram([min(clip.sound.contrast, 80.0) for clip in clips]),
        points=[
            Point(clip.id, len(clip.text), round(clip.sound.spoken, 3), clip.origin in suspects)
            for clip in (*drawn, *(clip for clip in clips if clip.origin in suspects))
        ],
    )


def _histogram(values: Sequence[float]) -> Histogram:
    counts, edges = np.histogram(values, bins=BINS)
    return Histogram([float(edge) for edge in edges], [int(count) for count in counts])
