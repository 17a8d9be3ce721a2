"""What is measured of one recording. Pure functions of its samples; thresholds are in `trainer.data.check.limits`.

Levels are in dB of full scale (dBFS), of the root mean square. All but `offset`, `clipped` and `cancelled` are of the
mean of the channels without its offset. Shapes: C channels, S samples, F frames of `FRAME` seconds, `HOP` apart.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trainer.data.audio_files import offsets

Samples = npt.NDArray[np.float32]

FRAME, HOP = 0.02, 0.01  # seconds; a frame is longer than a period of a low voice
FLOOR_DB = -120.0
_DIGITAL_SILENCE = -100.0  # dBFS; at the edges, where it was added, it says nothing of the noise
_SPEECH_WITHIN = 20.0  # dB below the loudest frames: frames that count as speech
_LOUDEST = 95  # percentile of the frames
_SILENT_BELOW = 35.0  # dB below the speech, where no noise is louder
_ABOVE_NOISE = 6.0  # dB by which speech exceeds the noise
_LEAST_CONTRAST = 15.0  # dB below the speech: louder frames are never silence
_PAUSE = 0.25  # seconds; a shorter silence inside is a part of speech, such as the closure of a plosive
_EDGE = 0.01  # seconds at each edge that show whether speech was cut
_RAIL = 1 - 1e-6  # share of the largest sample: those that are equal to it, but for rounding
_RUN = 3  # samples at a rail, one after the other


@dataclass(frozen=True)
class Sound:
    """The figures of one recording.

    seconds: of the file; kept: after trimming, as the model hears it; level: of the speech; floor: of the quietest
    frame, since each sentence has one between two sounds, which noise fills; clipped: share of samples in flat tops;
    offset: the largest constant of a channel, of full scale; cancelled: dB lost where the channels are averaged (0: one
    channel, or equal ones); lead, tail: seconds of silence at the edges; inner: the longest silence inside; pauses:
    seconds of all silences inside; start, end: level of the first and last 10 ms relative to the speech; content: a
    hash of the samples; bands: (K,) shares of the time, of `trainer.data.check.agreement`.
    """

    sample_rate: int
    channels: int
    seconds: float
    kept: float
    level: float
    floor: float
    peak: float
    clipped: float
    offset: float
    cancelled: float
    lead: float
    tail: float
    inner: float
    pauses: float
    start: float
    end: float
    content: str
    bands: Samples = field(default_factory=lambda: np.zeros(0, np.float32), compare=False, repr=False)

    @property
    def contrast(self) -> float:
        """dB of the speech above the noise."""
        return self.level - self.floor

    @property
    def spoken(self) -> float:
        """Seconds without pauses and without silence at the edges."""
        return max(0.0, self.seconds - self.lead - self.tail - self.pauses)


def measure(channels: Samples, sample_rate: int, kept: float) -> Sound:
    """channels: (C, S) as in the file, finite and not empty; kept: seconds after trimming."""
    assert channels.ndim == 2, channels.shape
    assert channels.size, channels.shape
    shifts = offsets(channels)
    centred = channels - shifts[:, None] if shifts.any() else channels
    mono = _mean(centred)
    frames = _frame_levels(mono, sample_rate)
    level = _speech_level(frames)
    floor = _quietest(frames)
    lead, tail, inner, pauses = _silences(frames < _silence_threshold(level, floor))
    edge = max(1, round(_EDGE * sample_rate))
    return Sound(
        sample_rate=sample_rate,
        channels=len(channels),
        seconds=len(mono) / sample_rate,
        kept=kept,
        level=level,
        floor=floor,
        peak=float(np.abs(channels).max()),
        clipped=_clipped(channels),
        offset=float(np.abs(shifts).max()),
        cancelled=_decibels(_power(centred)) - _decibels(_power(mono)) if len(channels) > 1 else 0.0,
        lead=lead,
        tail=tail,
        inner=inner,
        pauses=pauses,
        start=_decibels(_power(mono[:edge])) - level,
        end=_decibels(_power(mono[-edge:])) - level,
        content=_content(_mean(channels)),
    )


def _mean(channels: Samples) -> Samples:
    """(C, S) -> (S,)."""
    mean: Samples = channels.mean(axis=0) if len(channels) > 1 else channels[0]
    return mean


def _power(samples: Samples) -> float:
    return float(np.square(samples, dtype=np.float64).mean())


def _decibels(power: float) -> float:
    return max(FLOOR_DB, 10 * float(np.log10(max(power, 1e-30))))


def _frame_levels(mono: Samples, sample_rate: int) -> npt.NDArray[np.float64]:
    """(S,) -> (F,) dBFS of whole frames, each without its own mean: slow drifts are no sound.

    One frame of all samples where there is no whole one.
    """
    hop = max(1, round(HOP * sample_rate))
    per_frame = round(FRAME / HOP)
    blocks = mono[: len(mono) // hop * hop].reshape(-1, hop).astype(np.float64)
    if len(blocks) < per_frame:
        return np.array([_decibels(float(mono.var(dtype=np.float64)))])
    kernel = np.full(per_frame, 1 / per_frame)
    powers = np.convolve(np.square(blocks).mean(axis=1), kernel, "valid")
    means = np.convolve(blocks.mean(axis=1), kernel, "valid")
    levels: npt.NDArray[np.float64] = 10 * np.log10(np.maximum(powers - np.square(means), 1e-30))
    return np.maximum(levels, FLOOR_DB)


def _speech_level(frames: npt.NDArray[np.float64]) -> float:
    loud = frames[frames >= np.percentile(frames, _LOUDEST) - _SPEECH_WITHIN]
    return _decibels(float(np.mean(10 ** (loud / 10))))


def _quietest(frames: npt.NDArray[np.float64]) -> float:
    """dBFS, without silence at the edges and the frames that it is a part of."""
    sounding = np.flatnonzero(frames > _DIGITAL_SILENCE)
    if not len(sounding):
        return FLOOR_DB
    inside = frames[sounding[0] : sounding[-1] + 1]
    shared = round(FRAME / HOP) - 1
    return float((inside[shared:-shared] if len(inside) > 2 * shared else inside).min())


def _silence_threshold(level: float, floor: float) -> float:
    """dBFS below which a frame is silence."""
    return max(level - _SILENT_BELOW, min(floor + _ABOVE_NOISE, level - _LEAST_CONTRAST))


def _silences(silent: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """(F,) -> seconds of silence at the start, at the end, of the longest one inside, and of all pauses inside."""
    sounding = np.flatnonzero(~silent)
    if not len(sounding):
        return len(silent) * HOP, 0.0, 0.0, 0.0
    gaps = (np.diff(sounding) - 1) * HOP
    lead, tail = sounding[0] * HOP, (len(silent) - 1 - sounding[-1]) * HOP
    return float(lead), float(tail), float(gaps.max(initial=0.0)), float(gaps[gaps >= _PAUSE].sum())


def _clipped(channels: Samples) -> float:
    """(C, S) -> share of samples in flat tops, of the channel that has most.

    Found where the recorder clipped; not after a lossy codec, or resampling, which round the tops.
    """
    return max(_share_at_rails(samples) for samples in channels)


def _share_at_rails(samples: Samples) -> float:
    """(S,) -> share of samples in runs of `_RUN` and more that are as high, or as low, as any."""
    if len(samples) < _RUN or not samples.any():
        return 0.0
    count = 0
    for rail in (samples, -samples):
        places = np.flatnonzero(rail >= abs(rail.max()) * _RAIL)
        starts = np.flatnonzero(np.diff(places) > 1) + 1
        lengths = np.diff(starts, prepend=0, append=len(places))
        count += int(lengths[lengths >= _RUN].sum())
    return count / len(samples)


def _content(mono: Samples) -> str:
    """The same for the same audio in another lossless format, or with more or less digital silence at its edges."""
    quantised = np.round(mono * 32767).astype(np.int32)
    sounding = np.abs(quantised) > 1
    inside = quantised[sounding.argmax() : len(quantised) - sounding[::-1].argmax()]  # all where nothing sounds
    return hashlib.blake2b(inside.astype("<i4", copy=False).data, digest_size=12).hexdigest()
