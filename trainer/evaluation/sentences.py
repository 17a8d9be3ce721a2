"""The figures of each spoken sentence, and their summary.

A sentence is compared with its own recording, with a hum (the training clips' mean frame, held), and with the
recordings of other sentences of like length: whether it is nearest to its own measures intelligibility in any language,
without a recogniser. For the whole sentence that is soon reached, by its pauses and its melody; for pieces of half a
second, about a word each, only when the words can be told apart.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from trainer.alignment import AlignmentScore, alignment_score, attention_figures
from trainer.config import AudioConfig
from trainer.data.features import Features
from trainer.evaluation.distance import Array, mcd, mel_cepstra, path
from trainer.evaluation.speech import Speech

EARLY = 0.7  # an utterance shorter than this share of the recording counts as cut
CANDIDATES = 20  # other recordings that a sentence, or a piece of it, could be mistaken for
PIECE = 45  # recorded frames, about half a second with the hop and the rate of the defaults
LOUDEST = 50.0  # natural log-mel; beyond it nothing is a spectrum of sound: full scale is about 5
HUM_CLIPS = 64  # training clips whose mean frame is the hum


@dataclass(frozen=True)
class Spoken:
    """One sentence, spoken free-running: what is known of it without a recording. Lengths in frames."""

    text: str
    frames: int
    endless: bool  # its gate never fired
    alignment: float  # and its parts; NaN for texts of fewer than `trainer.alignment.MIN_TOKENS` tokens
    diagonality: float
    focus: float
    coverage: float
    monotonicity: float
    backtracking: float
    skipped: float  # share of tokens that attention jumps over
    repeats: int  # times that attention moves back by more than `trainer.alignment.REPEATED` tokens


@dataclass(frozen=True)
class Sentence(Spoken):
    """A spoken sentence, compared with recordings. Distances in dB."""

    clip: int  # its recording
    recorded: int  # frames
    mcd: float  # to its own recording
    hum_mcd: float  # a hum's, to the same recording
    recognised: float  # share of its pieces that are nearer to their own place in the recording than to others, or NaN
    rank: int  # of its own recording among `CANDIDATES` others by distance; 1: it is nearest
    margin: float  # how much further the nearest other recording is, as a share of `mcd`; below 0: it is nearer
    mistaken_for: str  # the text of that other recording; empty where there is none
    variance: float  # over time, mean over mel bins, as a share of the recording's; a hum has 0

    @property
    def cut(self) -> bool:
        """It ended before it can have been said."""
        return self.frames < EARLY * self.recorded

    @property
    def failed(self) -> bool:
        return self.endless or self.cut

    @property
    def distance(self) -> float:
        """`mcd`, but of a sentence that fails at least a hum's."""
        return max(self.mcd, self.hum_mcd) if self.failed else self.mcd

    @property
    def duration_error(self) -> float:
        """As a share of the recording's length."""
        return abs(self.frames - self.recorded) / self.recorded


class Recordings:
    """The recordings of a corpus, as what speech is compared with. Computed on demand, and kept."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self._kept: dict[int, Array] = {}

    def cepstra(self, clip: int) -> Array:
        """(frames, C)."""
        if clip not in self._kept:
            self._kept[clip] = mel_cepstra(self._features.mel(clip))
        return self._kept[clip]

    @cached_property
    def hum(self) -> Array:
        """(1, C) cepstra of the mean frame of a few training clips."""
        train = self._features.train
        chosen = [train[round(at)] for at in np.linspace(0, len(train) - 1, min(HUM_CLIPS, len(train)))]
        frames = np.concatenate([self._features.mel(clip) for clip in chosen])
        return mel_cepstra(frames.mean(0, dtype=np.float64)[None])

    def ceiling(self, clips: Sequence[int], audio: AudioConfig, device: torch.device | None = None) -> float:
        """MCD of the recordings of `clips` to themselves after Griffin-Lim, in dB. Needs the libraries for audio."""
        from trainer.audio import resynthesised

        mels = [resynthesised(self._features.mel(clip), audio, device) for clip in clips]
        return statistics.fmean(
            mcd(mel_cepstra(mel), [self.cepstra(clip)]).item() for mel, clip in zip(mels, clips, strict=True)
        )

    def other_mcd(self, clip: int) -> float:
        """Mean MCD in dB of the recording of `clip` to those of `others`; NaN without any."""
        others = [self.cepstra(other) for other in self.others(clip)]
        return float(mcd(self.cepstra(clip), others).mean()) if others else math.nan

    def others(self, clip: int) -> list[int]:
        """The clips of other texts whose recordings are nearest to that of `clip` in length."""
        apart = np.abs(self._features.frames - self._features.frames[clip])
        order = np.argsort(apart, kind="stable")[: 2 * CANDIDATES + 1].tolist()
        text = self._features.text(clip)
        return [other for other in order if self._features.text(other) != text][:CANDIDATES]


def measure(speech: Speech, features: Features, recordings: Recordings) -> list[Sentence]:
    """The sentences of `speech`, in its order. A mel that is not finite counts as a hum."""
    lengths = speech.batch.token_lengths
    scores = alignment_score(speech.output.attention, lengths, speech.output.steps).rows()
    return [
        _measure(speech, row, clip, scores[row], features, recordings) for row, clip in enumerate(speech.batch.indices)
    ]


def _measure(
    speech: Speech, row: int, clip: int, score: Mapping[str, Any], features: Features, recordings: Recordings
) -> Sentence:
    mel = speech.mel(row)
    is_sound = bool((np.abs(mel) < LOUDEST).all())  # False also for NaN
    recorded = features.mel(clip).astype(np.float32)
    own = recordings.cepstra(clip)
    others = recordings.others(clip)
    other_cepstra = [recordings.cepstra(other) for other in others]
    spoken = mel_cepstra(mel) if is_sound else np.repeat(recordings.hum, len(mel), 0)
    distance, *to_others = mcd(spoken, [own, *other_cepstra]).tolist()
    return Sentence(
        text=features.text(clip),
        frames=len(mel),
        endless=len(mel) >= int(speech.limit[row]),
        **score,
        **attention_figures(speech.shown(row).attention),
        clip=clip,
        recorded=len(recorded),
        mcd=distance,
        hum_mcd=mcd(np.repeat(recordings.hum, len(recorded), 0), [own]).item(),
        recognised=recognised(spoken, own, other_cepstra),
        rank=1 + sum(other < distance for other in to_others),
        margin=min(to_others) / distance - 1 if to_others else math.nan,
        mistaken_for=features.text(others[int(np.argmin(to_others))]) if to_others else "",
        variance=float(mel.var(0).mean() / max(recorded.var(0).mean(), 1e-6)) if is_sound else 0.0,
    )


def recognised(spoken: Array, own: Array, others: Sequence[Array]) -> float:
    """Share of the pieces of `own` whose speech is nearer to them than to the same places of the `others`.

    NaN without others.
    """
    if not others:
        return math.nan
    frames = path(spoken, own)
    edges = np.linspace(0, len(own), max(1, round(len(own) / PIECE)) + 1).astype(int).tolist()
    found = 0
    for start, end in pairwise(edges):
        said = spoken[frames[start] : frames[end - 1] + 1]
        places = [round(start / len(own) * len(other)) for other in others]
        pieces = [other[at : at + end - start] for at, other in zip(places, others, strict=True)]
        distance, *to_others = mcd(said, [own[start:end], *(piece for piece in pieces if len(piece))]).tolist()
        found += all(other > distance for other in to_others)
    return found / (len(edges) - 1)


def summary(sentences: Sequence[Sentence]) -> dict[str, float]:
    """Means over the sentences that have the figure, and of the alignment as `AlignmentScore.summary` gives them."""
    return summary_of_spoken(sentences) | {
        "distance": mean(s.distance for s in sentences),
        "failed": mean(float(s.failed) for s in sentences),
        "stopped_early": mean(float(s.cut) for s in sentences),
        "duration_error": mean(s.duration_error for s in sentences),
        "mcd": mean(s.mcd for s in sentences),
        "hum_mcd": mean(s.hum_mcd for s in sentences),
        "recognised": mean(s.recognised for s in sentences),
        "rank": mean(float(s.rank) for s in sentences),
        "margin": mean(s.margin for s in sentences),
        "variance": mean(s.variance for s in sentences),
    }


def summary_of_spoken(sentences: Sequence[Spoken]) -> dict[str, float]:
    """The figures of `summary` that need no recordings."""
    scores = AlignmentScore(*(torch.tensor([getattr(s, f.name) for s in sentences]) for f in fields(AlignmentScore)))
    return scores.summary() | {
        "reached_limit": mean(float(s.endless) for s in sentences),
        "skipped": mean(s.skipped for s in sentences),
        "repeats": mean(float(s.repeats) for s in sentences),
    }


def mean(values: Iterable[float]) -> float:
    """Of those that are not NaN."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.fmean(known) if known else math.nan
