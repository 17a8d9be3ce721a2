"""Recordings: decoded from files, and prepared for the features.

Reads in blocks and stops at a limit, whatever a header says: memory is bounded by `MOST_VALUES`. Formats are those of
libsndfile: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF and others, of any width. A recording that would teach a wrong sound
is refused: cut short, silent, not finite, far beyond full scale, channels that cancel each other. A constant offset is
removed; a drifting one is not.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from trainer.audio import resampled
from trainer.config import AudioConfig
from trainer.data.audio_lengths import missing_share
from trainer.data.faults import FaultKind, RecordingError, TooLong, cannot_be_read

Samples = npt.NDArray[np.float32]

SILENT_PEAK = 1e-4  # of full scale (-80 dB): about three steps of 16-bit audio, so that dither counts as silence
LARGEST_SAMPLE = 8.0  # times full scale; beyond it the samples are integers that were written as floats
SAMPLE_RATES = (4000, 768_000)  # Hz: others are no speech, or a wrong header
MOST_VALUES = 2**26  # of all channels together: 256 MiB, 11 minutes of stereo at 48 kHz
TRIM_MARGIN = 0.025  # seconds of silence kept at each edge: a plosive's closure is silent, but part of it
# Of the peak: a smaller offset is below what is trimmed as silence, and speech is not symmetric to that degree.
OFFSET_SHARE = 0.0035
CANCELLED = 0.1  # power of the channels' mean, as a share of what it were if the channels were independent
MP3_SLACK = 1152  # samples, one frame: encoders count the first and the last one differently
UNKNOWN_FRAMES = 2**62  # libsndfile's number for a stream whose header gives no length is larger
_BLOCK = 2**18  # values read at once
_TRIM_FRAME, _TRIM_HOP = 0.046, 0.0116  # seconds: 1024 and 256 samples at 22,050 Hz


@dataclass(frozen=True, eq=False)
class Decoded:
    """A recording as it is in its file.

    channels: (channels, samples), finite; full scale is 1. encoding: libsndfile's name, such as "PCM_16".
    """

    path: Path
    channels: Samples = field(repr=False)
    sample_rate: int
    encoding: str

    @property
    def seconds(self) -> float:
        return float(self.channels.shape[1] / self.sample_rate)


def decode(path: Path, max_seconds: float = float("inf")) -> Decoded:
    """Decode a recording. Reads at most `max_seconds`, and at most `MOST_VALUES` values.

    Raises RecordingError where the file is missing, no audio, cut short, empty, longer than these limits, or has
    samples that are not finite or far beyond full scale.
    """
    try:
        if not path.is_file():
            raise RecordingError(FaultKind.MISSING, path, "does not exist; add it, or remove its line from the list.")
        if not path.stat().st_size:
            raise RecordingError(
                FaultKind.UNREADABLE, path, "is an empty file (0 bytes); copy or export it again, or remove its line."
            )
        with path.open("rb") as raw:
            missing = missing_share(raw)
        with soundfile.SoundFile(os.fsencode(path)) as file:
            decoded = Decoded(path, _read(file, path, max_seconds, missing), file.samplerate, file.subtype)
    except OSError as error:
        raise RecordingError(FaultKind.UNREADABLE, path, f"{cannot_be_read(error)}, or remove its line.") from error
    except soundfile.SoundFileError as error:
        raise RecordingError(
            FaultKind.UNREADABLE,
            path,
            f"cannot be read as audio ({_without_path(error)}); convert it to WAV or FLAC, or remove its line from "
            "the list.",
        ) from error
    _refuse_wrong_samples(decoded)
    return decoded


def _without_path(error: soundfile.SoundFileError) -> str:
    """What libsndfile says, without the path that it names as bytes."""
    return str(getattr(error, "error_string", error)).strip()


def stated_seconds(path: Path) -> float:
    """How long the recording is by its header; 0 where that cannot be read or does not say it."""
    try:
        info = soundfile.info(os.fsencode(path))
    except (soundfile.SoundFileError, OSError):
        return 0.0
    return 0.0 if info.frames > UNKNOWN_FRAMES else float(info.duration)


def prepare(decoded: Decoded, audio: AudioConfig) -> Samples:
    """(samples,) mono at `audio.sample_rate` Hz; full scale is 1.

    Channels are averaged, without their offsets. Silence at the edges, `audio.trim_db` below the clip's peak, is cut
    except for `TRIM_MARGIN`; 0 keeps it. Then the loudness is brought to `audio.level`. Raises RecordingError where the
    recording is silent, or its channels cancel each other.
    """
    samples = _mono(decoded)
    if decoded.sample_rate != audio.sample_rate:
        samples = resampled(samples, decoded.sample_rate, audio.sample_rate)
    if audio.trim_db:
        samples = _trimmed(samples, audio.sample_rate, audio.trim_db)
    return _levelled(samples, audio.sample_rate, audio.level) if audio.level else samples


def offsets(channels: Samples) -> Samples:
    """(channels, samples) -> (channels,): the constant that each channel's samples are shifted by; 0 if negligible.

    It is the median, not the mean: the mean of speech differs from its silence where the waveform is not symmetric, as
    that of espeak-ng, and removing it would shift the silence.
    """
    return np.array([_offset(samples) for samples in channels], np.float32)


def _offset(samples: Samples) -> np.float32:
    """(samples,) -> their median, or 0 if it is negligible."""
    low, high = samples.min(), samples.max()
    # Counting takes a tenth of the time that the median takes: it is negligible where more than half of the samples
    # are not above this limit, and more than half not below the negative one.
    limit = OFFSET_SHARE * (high - low) / 2
    if 2 * max(np.count_nonzero(samples > limit), np.count_nonzero(samples < -limit)) < len(samples):
        return np.float32(0)
    middle = np.float32(np.median(samples))
    return middle if np.abs(middle) > OFFSET_SHARE * max(high - middle, middle - low) else np.float32(0)


def _read(file: soundfile.SoundFile, path: Path, max_seconds: float, missing: float) -> Samples:
    """(channels, samples)."""
    low, high = SAMPLE_RATES
    if not low <= file.samplerate <= high:
        raise RecordingError(
            FaultKind.UNREADABLE,
            path,
            f"its header says {file.samplerate} samples per second, but {low} to {high} are possible; export it again.",
        )
    most = MOST_VALUES // file.channels
    limit = int(min(max_seconds * file.samplerate, most)) + 1
    samples = np.empty((file.channels, min(file.frames, limit)), np.float32)
    count, problem = _fill(samples, file)
    if count == limit:
        raise _too_long(path, file, most, max_seconds)
    if problem and file.frames > UNKNOWN_FRAMES:
        raise soundfile.SoundFileRuntimeError(f"its header gives no length: {problem}")
    whole = file.frames if file.frames < UNKNOWN_FRAMES else 0
    slack = MP3_SLACK if file.format == "MP3" else 0
    if missing or problem or count + slack < whole:
        raise _truncated(path, count / file.samplerate, max(whole, count / (1 - missing)) / file.samplerate, problem)
    return samples[:, :count]


def _fill(samples: Samples, file: soundfile.SoundFile) -> tuple[int, str]:
    """Read until `samples` is full or the file ends. -> how many were read, and the decoder's error or nothing."""
    # As integers: numpy converts 16-bit samples to the same numbers in half the time that libsndfile takes.
    dtype, scale = ("int16", 2.0**-15) if file.subtype == "PCM_16" else ("float32", 1.0)
    count = 0
    block = max(1, _BLOCK // len(samples))
    while count < samples.shape[1]:
        try:
            read = file.read(min(block, samples.shape[1] - count), dtype=dtype, always_2d=True)
        except soundfile.SoundFileError as error:
            return count, str(error).strip() or type(error).__name__
        if not len(read):
            break
        np.multiply(read.T, scale, out=samples[:, count : count + len(read)], dtype=np.float32)
        count += len(read)
    return count, ""


def _truncated(path: Path, read: float, whole: float, problem: str) -> RecordingError:
    """read, whole: seconds."""
    says = f"; its header says {whole:.2f} s" if whole > read else ""
    why = f" ({problem})" if problem else ""
    text = f"is cut short or damaged: {read:.2f} s can be read{says}{why}; copy or export it again."
    return RecordingError(FaultKind.TRUNCATED, path, text)


def _too_long(path: Path, file: soundfile.SoundFile, most: int, max_seconds: float) -> RecordingError:
    if max_seconds * file.samplerate < most:
        return TooLong(FaultKind.TOO_LONG, path, f"is longer than {max_seconds:g} s; cut it into sentences.")
    return RecordingError(
        FaultKind.TOO_LONG,
        path,
        f"is longer than {most / file.samplerate:.0f} s, the most that is read with {file.channels} channel(s) at "
        f"{file.samplerate} Hz; cut it into sentences.",
    )


def _refuse_wrong_samples(decoded: Decoded) -> None:
    path, channels = decoded.path, decoded.channels
    if not channels.size:
        text = "has no samples; record it again, or remove its line from the list."
        raise RecordingError(FaultKind.SILENT, path, text)
    peak = _peak(channels)
    if not np.isfinite(peak):
        text = "has samples that are not finite (NaN or infinite); export it again."
        raise RecordingError(FaultKind.SCALE, path, text)
    if peak > LARGEST_SAMPLE:
        raise RecordingError(
            FaultKind.SCALE,
            path,
            f"its largest sample is {peak:.6g}, but floating-point samples lie between -1 and 1; they seem to be "
            "integers. Divide them by 32768 (for 16 bits), or export it as 16-bit.",
        )


def _mono(decoded: Decoded) -> Samples:
    """(samples,): the channels' mean, each without its offset."""
    channels = decoded.channels
    shifts = offsets(channels)
    if shifts.any():
        channels = channels - shifts[:, None]
    mono: Samples = channels.mean(axis=0) if len(channels) > 1 else channels[0]
    if len(channels) > 1:
        _refuse_cancelled(decoded.path, channels, mono)
    if _peak(mono) < SILENT_PEAK:
        text = "is silent from end to end; record it again, or remove its line from the list."
        raise RecordingError(FaultKind.SILENT, decoded.path, text)
    return mono


def _refuse_cancelled(path: Path, channels: Samples, mono: Samples) -> None:
    """mono: (samples,) the mean of the channels."""
    independent = sum(float(np.vdot(row, row)) for row in channels) / len(channels) ** 2
    if float(np.vdot(mono, mono)) < CANCELLED * independent:
        raise RecordingError(
            FaultKind.CANCELLED,
            path,
            f"its {len(channels)} channels cancel each other, since one of them is inverted; invert it, or export one "
            "channel only.",
        )


def _peak(samples: Samples) -> float:
    """The largest absolute value, NaN where one is."""
    return max(float(samples.max()), -float(samples.min()))


def _trimmed(samples: Samples, sample_rate: int, trim_db: float) -> Samples:
    """Cut where `librosa.effects.trim` cuts, and leave a margin: frames are loud whose power, the mean of their
    squares, is less than `trim_db` below that of the loudest.
    """
    hop = max(1, round(_TRIM_HOP * sample_rate))
    frame = max(hop, round(_TRIM_FRAME * sample_rate))
    squares = np.pad(np.square(samples), frame // 2)
    powers = np.lib.stride_tricks.sliding_window_view(squares, frame)[::hop].mean(axis=1)
    decibels = 10 * np.log10(np.maximum(np.square(np.sqrt(powers)), 1e-10))
    loud = np.flatnonzero(decibels - decibels.max() > -trim_db)
    margin = round(TRIM_MARGIN * sample_rate)
    return samples[max(0, loud[0] * hop - margin) : min(len(samples), (loud[-1] + 1) * hop) + margin]


def loudness(samples: Samples, sample_rate: int) -> float:
    """The integrated loudness in LUFS (ITU-R BS.1770); -inf where no block of it is above -70."""
    from pyloudnorm import Meter

    meter = Meter(sample_rate)
    block = round(meter.block_size * sample_rate) + 1
    repeated = samples if len(samples) >= block else np.resize(samples, block)  # a clip must hold one block
    return float(meter.integrated_loudness(repeated))


def _levelled(samples: Samples, sample_rate: int, level: float) -> Samples:
    """At a loudness of `level` LUFS, but not above full scale: a clip of few, loud peaks stays quieter."""
    gain = 10 ** ((level - loudness(samples, sample_rate)) / 20)
    return samples * np.float32(min(gain, 1 / np.abs(samples).max()))
