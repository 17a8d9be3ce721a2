"""Whatever bytes a recording has: it is read, or refused with a reason. The examples are the same at each run."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer.config import AudioConfig
from trainer.data.audio_files import MOST_VALUES, decode, prepare
from trainer.data.faults import RecordingError

AUDIO = AudioConfig()
MAX_SECONDS = 20.0
bounded = settings(
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

# Values at which readers of headers go wrong, among others.
u16 = st.sampled_from([0, 1, 2, 3, 6, 7, 8, 16, 24, 32, 64, 255, 1024, 0xFFFE, 0xFFFF]) | st.integers(0, 0xFFFF)
u32 = st.sampled_from([0, 1, 2, 36, 44, 8000, 22050, 48000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]) | (
    st.integers(0, 0xFFFFFFFF)
)


def _chunk(name: bytes, content: bytes, length: int | None) -> bytes:
    return name + struct.pack("<I", len(content) if length is None else length) + content + b"\0" * (len(content) % 2)


@st.composite
def wavs(draw: st.DrawFn) -> bytes:
    """A WAV of which any field of the header may lie."""
    form, channels, bits = draw(st.sampled_from([1, 3, 6, 7]) | u16), draw(st.sampled_from([1, 2]) | u16), draw(u16)
    rate = draw(st.sampled_from([22050, 48000]) | u32)
    fmt = struct.pack("<HHIIHH", form, channels, rate, draw(u32), draw(u16), bits) + draw(st.binary(max_size=24))
    sound = draw(st.binary(max_size=2000))
    lengths, names = st.none() | u32, st.binary(min_size=4, max_size=4)
    chunks = [
        _chunk(b"fmt ", fmt, draw(lengths)),
        *(_chunk(draw(names), draw(st.binary(max_size=40)), draw(lengths)) for _ in range(2)),
        _chunk(b"data", sound, draw(lengths)),
    ]
    kept = draw(st.sampled_from([[0, 3], [0, 1, 3], [0, 1, 2, 3], [3, 0], [0], [3]]))
    body = b"".join(chunks[i] for i in kept)
    magic = draw(st.sampled_from([b"RIFF", b"RIFX", b"RF64"]))
    return magic + struct.pack("<I", draw(st.just(len(body) + 4) | u32)) + b"WAVE" + body


def check(path: Path) -> None:
    """Read it; what comes out is sound, or the reason names the file."""
    try:
        decoded = decode(path, MAX_SECONDS)
        samples = prepare(decoded, AUDIO)
    except RecordingError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017 (an error is one of two right outcomes)
        return
    assert decoded.channels.dtype == samples.dtype == np.float32
    assert 0 < decoded.channels.size <= MOST_VALUES
    assert decoded.seconds <= MAX_SECONDS
    assert np.isfinite(samples).all()
    assert samples.ndim == 1


@bounded
@given(content=wavs())
def test_a_wav_whose_header_lies(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    check(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A short file of each form."""
    folder = tmp_path_factory.mktemp("whole")
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 6000)
    for form in ("flac", "ogg", "mp3", "aiff"):
        soundfile.write(folder / f"a.{form}", sound, 24000)
    soundfile.write(folder / "a.opus", sound, 24000, format="OGG", subtype="OPUS")
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@bounded
@given(data=st.data())
def test_a_file_with_damaged_bytes(tmp_path: Path, whole: dict[str, bytes], data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(sorted(whole)))
    content = bytearray(whole[form])
    header, anywhere = st.integers(0, 100), st.integers(0, len(content) - 1)
    for at in data.draw(st.lists(header | anywhere, max_size=6)):
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path / f"a{form}"
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    check(path)
