"""Recordings of any form are read, or refused with a reason, in bounded memory."""

import math
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from trainer.audio import to_wav
from trainer.config import AudioConfig
from trainer.data.audio_files import MOST_VALUES, OFFSET_SHARE, TRIM_MARGIN, decode, loudness, offsets, prepare
from trainer.data.faults import FaultKind, RecordingError
from trainer.errors import CorpusError

AUDIO = AudioConfig()
RATE = AUDIO.sample_rate
WHOLE = replace(AUDIO, trim_db=0.0)  # silence at the edges is kept

Samples = npt.NDArray[np.float32]


def read(path: Path, audio: AudioConfig = WHOLE) -> Samples:
    return prepare(decode(path), audio)


def fault(path: Path, audio: AudioConfig = WHOLE) -> FaultKind:
    with pytest.raises(RecordingError) as caught:
        read(path, audio)
    assert str(caught.value).startswith(f"{path}: ")
    return caught.value.kind


def tone(seconds: float, hertz: float = 440.0, rate: int = RATE) -> Samples:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def word(offset: float = 0.0) -> Samples:
    """One second of sound between two seconds of silence."""
    silence = np.zeros(RATE, np.float32)
    return np.concatenate([silence, tone(1.0) * np.hanning(RATE).astype(np.float32), silence]) + np.float32(offset)


@pytest.mark.parametrize("name", ["a 0.wav", "a'; echo foo.wav", "ёжик.wav", "-n.wav", "😀\n.wav", "clip.flac"])
def test_a_recording_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    soundfile.write(str(tmp_path / name), tone(0.5), RATE, subtype="PCM_16")
    samples = read(tmp_path / name)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, tone(0.5), atol=1e-4)


@pytest.mark.parametrize(
    ("subtype", "step"),
    [
        ("PCM_U8", 2**-7),
        ("PCM_16", 2**-15),
        ("PCM_24", 2**-23),
        ("PCM_32", 2**-23),
        ("FLOAT", 2**-23),
        ("DOUBLE", 2**-23),
    ],
)
def test_samples_of_any_width_are_read_as_they_are(tmp_path: Path, subtype: str, step: float) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5), RATE, subtype=subtype)
    decoded = decode(tmp_path / "a.wav")
    assert (decoded.encoding, decoded.sample_rate, decoded.seconds) == (subtype, RATE, pytest.approx(0.5, abs=1e-4))
    np.testing.assert_allclose(decoded.channels, tone(0.5)[None], atol=step)
    np.testing.assert_allclose(read(tmp_path / "a.wav"), tone(0.5), atol=step)


@pytest.mark.parametrize("form", ["wav", "flac", "aiff"])
def test_samples_of_16_bits_are_those_of_libsndfile(tmp_path: Path, form: str) -> None:
    numbers = np.random.default_rng(0).integers(-(2**15), 2**15, 300_000).astype(np.int16)
    soundfile.write(tmp_path / f"a.{form}", numbers, RATE, subtype="PCM_16")
    expected, _ = soundfile.read(tmp_path / f"a.{form}", dtype="float32")
    np.testing.assert_array_equal(decode(tmp_path / f"a.{form}").channels[0], expected)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left = tone(0.5)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, np.zeros_like(left)], axis=1), RATE)
    assert decode(tmp_path / "stereo.wav").channels.shape == (2, len(left))
    np.testing.assert_allclose(read(tmp_path / "stereo.wav"), left / 2, atol=1e-4)


def test_another_rate_is_resampled_and_the_pitch_stays(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "48k.wav", tone(1.0, hertz=1000.0, rate=48000), 48000)
    samples = read(tmp_path / "48k.wav")
    assert len(samples) == RATE
    assert np.argmax(np.abs(np.fft.rfft(samples))) == pytest.approx(1000, abs=1)


def test_silence_at_the_edges_is_cut_except_for_a_margin(tmp_path: Path) -> None:
    silence = np.zeros(RATE, np.float32)
    soundfile.write(tmp_path / "edges.wav", np.concatenate([silence, tone(1.0), silence]), RATE)
    loud = np.flatnonzero(np.abs(trimmed := read(tmp_path / "edges.wav", AUDIO)) > 1e-3)
    assert TRIM_MARGIN <= loud[0] / RATE < 0.1
    # The last audible frame extends beyond the sound; the margin is added to it.
    assert TRIM_MARGIN + 0.015 <= (len(trimmed) - 1 - loud[-1]) / RATE < 0.1
    assert len(read(tmp_path / "edges.wav")) == 3 * RATE


@pytest.mark.slow  # librosa compiles for 15 s
@pytest.mark.parametrize("trim_db", [20.0, 40.0, 60.0])
@pytest.mark.parametrize("length", [50, 3000, 2 * RATE])
def test_silence_is_cut_where_librosa_cuts_it(tmp_path: Path, trim_db: float, length: int) -> None:
    import librosa

    random = np.random.default_rng(length)
    louder = np.exp(-10 * np.linspace(-1, 1, length) ** 2)
    sound = (0.5 * louder * random.uniform(-1, 1, length)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    _, (start, end) = librosa.effects.trim(sound, top_db=trim_db, frame_length=1014, hop_length=256)
    margin = round(TRIM_MARGIN * RATE)
    expected = sound[max(0, start - margin) : end + margin]
    np.testing.assert_array_equal(read(tmp_path / "a.wav", replace(AUDIO, trim_db=trim_db)), expected)


def test_a_pause_within_is_kept(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "pause.wav", np.concatenate([tone(0.3), np.zeros(RATE), tone(0.3)]), RATE)
    assert len(read(tmp_path / "pause.wav", AUDIO)) / RATE == pytest.approx(1.6, abs=0.01)


def _write_text(path: Path) -> None:
    path.write_text("this is no sound at all, whatever the name says")


def _write_zip(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + bytes(1000))


def _write_value(value: float) -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, np.array([0.1, value, 0.2]), RATE, subtype="FLOAT")


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (lambda path: None, FaultKind.MISSING),
        (lambda path: path.mkdir(), FaultKind.MISSING),
        (os.mkfifo, FaultKind.MISSING),
        (_write_text, FaultKind.UNREADABLE),
        (_write_zip, FaultKind.UNREADABLE),
        (lambda path: path.write_bytes(b""), FaultKind.UNREADABLE),
        (lambda path: soundfile.write(path, np.zeros(0), RATE), FaultKind.SILENT),
        (lambda path: soundfile.write(path, np.zeros(RATE), RATE), FaultKind.SILENT),
        (lambda path: soundfile.write(path, np.full(RATE, 2**-15), RATE), FaultKind.SILENT),
        (lambda path: soundfile.write(path, np.full(RATE, 0.02), RATE), FaultKind.SILENT),
        (_write_value(np.nan), FaultKind.SCALE),
        (_write_value(-np.inf), FaultKind.SCALE),
        (_write_value(-16384.0), FaultKind.SCALE),
        (lambda path: soundfile.write(path, tone(1.0, rate=1000), 1000), FaultKind.UNREADABLE),
    ],
)
def test_an_unusable_file_is_refused_and_named(tmp_path: Path, write: Callable[[Path], None], kind: FaultKind) -> None:
    path = tmp_path / "a'; echo foo.wav"
    write(path)
    assert fault(path, AUDIO) is kind


def test_an_empty_file_and_one_without_permission_are_named_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp3"
    path.touch()
    with pytest.raises(RecordingError, match=r"a.mp3: is an empty file \(0 bytes\); copy or export it again"):
        decode(path)
    path.write_bytes(b"x")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(RecordingError, match=r"cannot be read \(Permission denied\); allow it .* or remove its line"):
        decode(path)


def test_float_samples_a_little_beyond_full_scale_are_used(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hot.wav", 3 * tone(0.5), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read(tmp_path / "hot.wav"), 3 * tone(0.5))


FORMS = {
    "wav": {},
    "aiff": {},
    "flac": {},
    "mp3": {},
    "ogg": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "rf64": {"format": "RF64"},
}


def _speechlike(seconds: float) -> Samples:
    """Noise whose level changes, so that no frame of a codec is like another."""
    random = np.random.default_rng(0)
    time = np.arange(int(seconds * 24000)) / 24000
    return (0.2 * (1 + np.sin(7 * time)) * random.uniform(-1, 1, len(time))).astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_file_of_each_form_is_read(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"a.{form}"
    soundfile.write(path, _speechlike(2.0), 24000, **FORMS[form])
    assert decode(path).channels.shape == (1, 48000)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, form: str, share: float) -> None:
    path = tmp_path / f"a.{form}"
    soundfile.write(path, _speechlike(2.0), 24000, **FORMS[form])
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    # Of Opus, libsndfile does not open what has no whole page.
    assert fault(path) in (FaultKind.TRUNCATED, *([FaultKind.UNREADABLE] if form == "opus" else []))


def _with_length(path: Path, order: str, length: int) -> None:
    """Write `length` as the one of the chunk `data`."""
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack(order + "I", length)
    path.write_bytes(content)


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x7FFFF000])
def test_a_stream_whose_length_was_not_known_is_read_to_its_end(tmp_path: Path, length: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5), RATE)
    _with_length(tmp_path / "a.wav", "<", length)
    np.testing.assert_allclose(read(tmp_path / "a.wav"), tone(0.5), atol=1e-4)


def test_a_big_endian_wav_is_measured_too(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5), RATE, endian="BIG")
    np.testing.assert_allclose(read(tmp_path / "a.wav"), tone(0.5), atol=1e-4)
    _with_length(tmp_path / "a.wav", ">", 8 * RATE)
    assert fault(tmp_path / "a.wav") is FaultKind.TRUNCATED


def test_the_error_says_how_much_is_there(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1.0), RATE)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[: 44 + RATE])
    with pytest.raises(CorpusError, match=r"0\.50 s can be read; its header says 1\.00 s"):
        decode(tmp_path / "a.wav")


def test_a_header_that_counts_itself_is_accepted(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5), RATE)
    _with_length(tmp_path / "a.wav", "<", (tmp_path / "a.wav").stat().st_size)
    np.testing.assert_allclose(read(tmp_path / "a.wav"), tone(0.5), atol=1e-4)


@pytest.mark.parametrize("offset", [0.0035, 0.02, -0.3])
def test_an_offset_changes_nothing(tmp_path: Path, offset: float) -> None:
    soundfile.write(tmp_path / "straight.wav", word(), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "shifted.wav", word(offset), RATE, subtype="FLOAT")
    straight, shifted = (read(tmp_path / name, AUDIO) for name in ("straight.wav", "shifted.wav"))
    assert len(straight) < 1.1 * RATE
    np.testing.assert_allclose(shifted, straight, atol=1e-6)


def test_an_offset_is_the_median_where_it_is_not_negligible() -> None:
    random = np.random.default_rng(0)
    removed = 0
    for _ in range(200):
        samples = random.laplace(random.normal() * 0.003, random.uniform(0.001, 0.1), random.integers(1, 3000))
        channels = np.clip(samples, -1, 1).astype(np.float32)[None]
        middle = np.median(channels)
        share = abs(middle) / max(channels.max() - middle, middle - channels.min(), 1e-9)
        removed += share > OFFSET_SHARE
        assert offsets(channels) == (middle if share > OFFSET_SHARE else 0)
    assert 20 < removed < 180


def test_offsets_of_channels_are_their_own(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([word(0.1), word(-0.1)], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "a.wav"), word(), atol=1e-6)


@pytest.mark.parametrize("gain", [1.0, 0.9, 0.7])
def test_channels_that_cancel_each_other_are_named(tmp_path: Path, gain: float) -> None:
    soundfile.write(tmp_path / "inverted.wav", np.stack([word(), -gain * word()], axis=1), RATE)
    assert fault(tmp_path / "inverted.wav", AUDIO) is FaultKind.CANCELLED
    soundfile.write(tmp_path / "same.wav", np.stack([word(), gain * word()], axis=1), RATE)
    np.testing.assert_allclose(read(tmp_path / "same.wav"), (1 + gain) / 2 * word(), atol=1e-4)


def test_one_of_six_channels_may_speak_alone(tmp_path: Path) -> None:
    channels = np.zeros((len(word()), 6), np.float32)
    channels[:, 2] = word()
    soundfile.write(tmp_path / "a.wav", channels, RATE)
    np.testing.assert_allclose(read(tmp_path / "a.wav"), word() / 6, atol=1e-4)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 3.0])
@pytest.mark.parametrize("gain", [0.02, 1.0])
def test_loudness_is_evened_out_where_asked_for(tmp_path: Path, seconds: float, gain: float) -> None:
    soundfile.write(tmp_path / "a.wav", gain * tone(seconds), RATE, subtype="FLOAT")
    levelled = read(tmp_path / "a.wav", replace(WHOLE, level=-23.0))
    assert loudness(levelled, RATE) == pytest.approx(-23.0, abs=0.2)
    # A sine of 440 Hz: 20 log10 of its effective value, minus 0.691, plus the filter's gain at 440 Hz.
    assert 20 * math.log10(np.sqrt(np.mean(levelled**2))) == pytest.approx(-23 + 0.691 - 0.06, abs=0.3)
    np.testing.assert_array_equal(read(tmp_path / "a.wav"), np.float32(gain) * tone(seconds))


def test_nothing_is_raised_above_full_scale(tmp_path: Path) -> None:
    samples = 0.01 * tone(1.0)
    samples[5000] = 0.9
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    assert np.abs(read(tmp_path / "a.wav", replace(WHOLE, level=-10.0))).max() == pytest.approx(1.0)


def test_a_limit_in_seconds_ends_the_reading(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(3.0), RATE)
    assert decode(tmp_path / "a.flac", max_seconds=3.0).seconds == pytest.approx(3.0)
    with pytest.raises(RecordingError, match=r"longer than 2\.9 s") as caught:
        decode(tmp_path / "a.flac", max_seconds=2.9)
    assert caught.value.kind is FaultKind.TOO_LONG


def test_a_written_file_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "quiet.wav").write_bytes(to_wav(tone(0.2), RATE))
    np.testing.assert_allclose(read(tmp_path / "quiet.wav"), tone(0.2), atol=1e-4)


MEASURED = """
import resource, sys
from pathlib import Path
from trainer.audio import log_mel
from trainer.config import AudioConfig
from trainer.data.audio_files import decode, prepare
from trainer.data.faults import RecordingError
try:
    print(len(log_mel(prepare(decode(Path(sys.argv[1]), float(sys.argv[2])), AudioConfig()), AudioConfig())))
except RecordingError as error:
    print(error.kind)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def measured(path: Path, max_seconds: float = float("inf")) -> tuple[str, int]:
    """What became of a recording in a process of its own, and the most memory that this took, in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path), str(max_seconds)], capture_output=True, text=True, check=True
    )
    outcome, memory = done.stdout.splitlines()
    return outcome, int(memory)


def write_long(path: Path, seconds: int, rate: int, channels: int, level: float) -> None:
    """Noise, or silence at level 0, second by second."""
    random = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate, channels, "PCM_16") as file:
        second = (level * random.uniform(-1, 1, (rate, channels))).astype(np.float32)
        for _ in range(seconds):
            file.write(second)


@pytest.mark.slow
def test_four_hours_in_a_small_file_are_refused_in_little_memory(tmp_path: Path) -> None:
    write_long(tmp_path / "bomb.flac", 4 * 3600, 8000, 1, 0.0)
    assert (tmp_path / "bomb.flac").stat().st_size < 2**20
    for limit in (float("inf"), 72.0):
        outcome, memory = measured(tmp_path / "bomb.flac", limit)
        assert outcome == FaultKind.TOO_LONG
        assert memory < 2**30


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "channels"), [(96000, 1), (48000, 2), (44100, 8)])
def test_the_longest_recording_that_is_read_fits_into_a_gibibyte(tmp_path: Path, rate: int, channels: int) -> None:
    write_long(tmp_path / "long.wav", MOST_VALUES // channels // rate, rate, channels, 0.5)
    outcome, memory = measured(tmp_path / "long.wav")
    assert int(outcome) > 1000
    assert memory < 2**30


def test_a_header_that_promises_hours_takes_no_memory_for_them(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(0.5), RATE)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] |= 0x0F  # the number of samples has 36 bits, the last of which end at byte 26
    content[22:26] = b"\xff" * 4
    (tmp_path / "a.flac").write_bytes(content)
    assert fault(tmp_path / "a.flac") is FaultKind.TRUNCATED
