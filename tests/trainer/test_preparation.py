"""Preparation uses all cores, keeps what is done whenever it is killed, and gives the same whoever did it."""

import os
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from waiting import wait_until, wait_until_gone

from trainer.audio import log_mel, read
from trainer.config import TrainerConfig
from trainer.data import assembly, preparation
from trainer.data.corpus import content_hash, list_corpus
from trainer.data.features import Features, open_features
from trainer.data.folders import remove_abandoned
from trainer.errors import CorpusError
from trainer.text import encode

RATE = 22050


def _corpus(folder: Path, clips: int, prefix: str = "clip", text: str = "hi number") -> Path:
    """`clips` recordings of 0.3 s of noise; file number i says i."""
    rng = np.random.default_rng(clips)
    (folder / "wavs").mkdir(parents=True)
    lines = []
    for i in range(clips):
        _write(folder / "wavs" / f"{prefix} {i:04d}.wav", rng.integers(-8000, 8000, RATE * 3 // 10 + i, dtype=np.int16))
        lines.append(f"{prefix} {i:04d}|{text} {'abcdefghij'[i % 10]}\n")
    (folder / "metadata.csv").write_text("".join(lines), encoding="utf-8")
    return folder


def _write(path: Path, samples: npt.NDArray[np.int16]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def _config(source: Path, cache: Path, **settings: object) -> TrainerConfig:
    return TrainerConfig.from_mapping({"corpus": {"source": str(source), **settings}, "paths": {"cache": str(cache)}})


def _make_unreadable(recordings: list[Path]) -> None:
    """What their listing tells stays the same."""
    for path in recordings:
        status = path.stat()
        path.write_bytes(b"x" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _parts(cache: Path) -> list[Path]:
    return sorted((cache / "features" / ".unfinished").glob("[!.]*.part"))


def _contents(features: Features) -> list[Any]:
    clips = [(features.id(i), features.text(i), features.tokens(i).tolist()) for i in range(len(features))]
    return [clips, features.train, features.validation, features.mels.tobytes(), features.offsets.tolist()]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six hundred clips, some parts; not to be changed."""
    return _corpus(tmp_path_factory.mktemp("many") / "corpus", 600)


@pytest.fixture(scope="module")
def alone(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Features:
    """What this process alone makes of `many`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "cores", lambda: 1)
        return open_features(_config(many, tmp_path_factory.mktemp("alone")))


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "cores", lambda: 1)


def test_many_make_what_one_makes(many: Path, alone: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "cores", lambda: 2)
    seen = []
    together = open_features(_config(many, tmp_path), lambda *report: seen.append(report))
    assert seen == [(i, 600, "log-mel features") for i in range(1, 601)]
    assert _contents(together) == _contents(alone)
    assert together.fingerprint == alone.fingerprint
    assert not list((tmp_path / "features" / ".unfinished").iterdir())


def test_a_small_corpus_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.data.processes._hire", lambda: pytest.fail("a process was started"))
    assert len(open_features(_config(_corpus(tmp_path / "corpus", 20), tmp_path))) == 20


def test_a_killed_preparation_goes_on(tmp_path: Path, alone: Features, many: Path, one_core: None) -> None:
    corpus = _corpus(tmp_path / "corpus", 600)
    config, cache = _config(corpus, tmp_path / "cache"), tmp_path / "cache"
    (tmp_path / "config.json").write_text(config.to_json())
    script = f"""
import time
from pathlib import Path
from trainer.config import TrainerConfig
from trainer.data import preparation
from trainer.data.features import open_features
preparation.cores = lambda: 2
def stop_half_way(done, total, what):
    if done == 200:
        print("here", flush=True)
        time.sleep(60)
open_features(TrainerConfig.load(Path({str(tmp_path / "config.json")!r})), stop_half_way)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        workers = [p for p in psutil.Process(process.pid).children() if "spawn_main" in " ".join(p.cmdline())]
        assert len(workers) == 2
        wait_until(lambda: _parts(cache))
        process.kill()
        wait_until_gone(workers)
    kept = {path.name for path in _parts(cache)}
    assert kept
    _make_unreadable([clip.wav for part in _cut(config) if part.path.name in kept for clip in part.clips])
    seen = []
    features = open_features(config, lambda *report: seen.append(report))
    assert _contents(features) == _contents(alone)
    assert 0 < len(seen) < 600
    assert seen[-1][0] == 600


def _cut(config: TrainerConfig) -> list[preparation.Part]:
    listing = list_corpus(config.corpus, Path(config.paths.cache))
    corpus = preparation.utterances(config.corpus, listing)
    unfinished = Path(config.paths.cache) / "features" / ".unfinished"
    both = (
        preparation.cut(each, unfinished, config.audio, config.corpus.max_seconds)
        for each in (corpus.train, corpus.validation)
    )
    return [part for parts in both for part in parts]


class Killed(BaseException):
    """As good as a kill: nobody catches it."""


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("at", range(5))
def test_putting_together_goes_on_wherever_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: Path, alone: Features, one_core: None, at: int, half: bool
) -> None:
    append, calls = assembly._append, 0

    def killed(path: Path, array: npt.NDArray[np.generic]) -> None:
        nonlocal calls
        calls += 1
        if calls == at + 1 and half:
            path.write_bytes(path.read_bytes() + array.tobytes()[: array.nbytes // 2 - 3])
            raise Killed
        append(path, array)
        if calls == at + 1:
            raise Killed

    _share_parts(many, tmp_path)
    monkeypatch.setattr(assembly, "_append", killed)
    with pytest.raises(Killed):
        open_features(_config(many, tmp_path))
    monkeypatch.setattr(assembly, "_append", append)
    assert _contents(open_features(_config(many, tmp_path), _no_work)) == _contents(alone)


def test_a_kill_before_the_renaming_is_borne(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: Path, alone: Features, one_core: None
) -> None:
    def killed(folder: Path) -> None:
        raise Killed

    _share_parts(many, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "flush", killed)
        with pytest.raises(Killed):
            open_features(_config(many, tmp_path))
    assert not _parts(tmp_path)
    assert _contents(open_features(_config(many, tmp_path), _no_work)) == _contents(alone)


def _share_parts(many: Path, cache: Path) -> None:
    """Put the parts of `many` into `cache`; they are computed once."""
    store = many.parent / "parts"
    config = _config(many, cache)
    unfinished = cache / "features" / ".unfinished"
    unfinished.mkdir(parents=True)
    if not store.exists():
        store.mkdir()
        for part in _cut(_config(many, cache)):
            assert not preparation.compute(part, lambda: None)
            part.path.rename(store / part.path.name)
    for part in _cut(config):
        os.link(store / part.path.name, part.path)


def _no_work(done: int, total: int, what: str) -> None:
    pytest.fail("a recording was read again")


def test_recordings_at_fault_are_told_together(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path / "corpus", 40)
    recordings = sorted((corpus / "wavs").iterdir())
    _make_unreadable([recordings[i] for i in (30, 4, 9)])
    with pytest.raises(CorpusError) as caught:
        open_features(_config(corpus, tmp_path))
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["metadata.csv:5", "metadata.csv:10", "metadata.csv:31"]


def test_no_more_than_ten_faults_are_told(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path / "corpus", 40)
    _make_unreadable(sorted((corpus / "wavs").iterdir())[5:25])
    with pytest.raises(CorpusError) as caught:
        open_features(_config(corpus, tmp_path))
    lines = str(caught.value).splitlines()
    assert len(lines) == 11
    assert lines[10] == "... and maybe more."


def test_mending_one_recording_leaves_the_other_parts(tmp_path: Path, one_core: None) -> None:
    corpus = _corpus(tmp_path / "corpus", 600)
    config = _config(corpus, tmp_path)
    faulty = corpus / "wavs" / "clip 0300.wav"
    _make_unreadable([faulty])
    with pytest.raises(CorpusError, match=r"^metadata.csv:301: .*clip 0300.wav: cannot be read as audio.*$"):
        open_features(config)
    kept = {path.name for path in _parts(tmp_path)}
    cut = _cut(config)
    assert len(kept) == len(cut) - 1
    _make_unreadable([clip.wav for part in cut if part.path.name in kept for clip in part.clips])
    _write(faulty, np.full(RATE // 2, 3000, np.int16))
    assert len(open_features(config)) == 600


def test_a_line_less_changes_one_part(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path / "corpus", 600)
    config = _config(corpus, tmp_path)
    before = {part.path.name for part in _cut(config)}
    lines = (corpus / "metadata.csv").read_text().splitlines(keepends=True)
    (corpus / "metadata.csv").write_text("".join(lines[:200] + lines[201:]))
    assert len(before - {part.path.name for part in _cut(config)}) <= 2  # one more where the split moves


def test_a_changed_recording_gives_its_part_another_name(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path / "corpus", 600)
    config = _config(corpus, tmp_path)
    before = {part.path.name for part in _cut(config)}
    _write(corpus / "wavs" / "clip 0007.wav", np.full(RATE // 2, 3000, np.int16))
    assert len(before - {part.path.name for part in _cut(config)}) == 1
    assert not before & {part.path.name for part in _cut(_config(corpus, tmp_path, max_seconds=11))}


def test_a_part_that_another_corpus_took_is_computed_again(
    many: Path, alone: Features, tmp_path: Path, one_core: None
) -> None:
    _share_parts(many, tmp_path)
    taken, other = _parts(tmp_path)[:2]
    other.unlink()  # so that there is something to compute, in which time:
    features = open_features(_config(many, tmp_path), lambda *report: taken.unlink(missing_ok=True))
    assert _contents(features) == _contents(alone)


def test_halves_are_rounded_by_no_more_than_said(many: Path, alone: Features) -> None:
    audio = TrainerConfig().audio
    for i in range(0, 600, 40):
        exact = log_mel(read(many / "wavs" / f"{alone.id(i)}.wav", RATE, audio.trim_db), audio)
        assert alone.mel(i).dtype == alone.mels.dtype == np.float16
        assert 0 < np.abs(alone.mel(i).astype(np.float32) - exact).max() <= 0.004


def test_texts_and_names_come_back_in_any_script(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path / "corpus", 30, prefix="ёжик №", text="Ёж, привет")
    features = open_features(_config(corpus, tmp_path, language="ru"))
    assert features.language == "ru"
    for i in range(30):
        text = f"ёж, привет {'abcdefghij'[int(features.id(i)[-4:]) % 10]}"
        assert features.text(i) == text
        assert features.tokens(i).tolist() == encode(text)
        assert features.tokens(i).dtype == np.int64
    assert sorted(features.id(i) for i in range(30)) == [f"ёжик № {i:04d}" for i in range(30)]


def test_offsets_say_where_a_clip_lies(alone: Features) -> None:
    assert alone.offsets.dtype == np.int64
    assert np.diff(alone.offsets).tolist() == alone.frames.tolist()
    assert alone.mels.shape == (alone.offsets[-1], 80)
    np.testing.assert_array_equal(alone.mels[alone.offsets[7] : alone.offsets[8]], alone.mel(7))
    assert [*alone.train, *alone.validation] == list(range(600))
    for array in (alone.mels, alone.offsets):
        assert not array.flags.writeable


def test_the_quick_look_at_a_list_sees_what_the_long_one_sees(many: Path, tmp_path: Path) -> None:
    config = _config(many, tmp_path)
    seen = content_hash(config.corpus, tmp_path)
    assert seen == list_corpus(config.corpus, tmp_path).content
    backwards = _corpus(tmp_path / "corpus", 30)
    config = _config(backwards, tmp_path)
    seen = content_hash(config.corpus, tmp_path)
    lines = (backwards / "metadata.csv").read_text().splitlines(keepends=True)
    (backwards / "metadata.csv").write_text("".join(reversed(lines)))
    assert content_hash(config.corpus, tmp_path) == seen
    (backwards / "metadata.csv").write_text("".join(lines[1:]))
    assert content_hash(config.corpus, tmp_path) != seen


def test_a_folder_that_is_written_to_is_not_abandoned(tmp_path: Path) -> None:
    for name in ("left", "in use"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mels.npy").touch()
        os.utime(tmp_path / name, (0, 0))
    os.utime(tmp_path / "left" / "mels.npy", (0, 0))
    (tmp_path / "old.part").touch()
    os.utime(tmp_path / "old.part", (0, 0))
    remove_abandoned(tmp_path, "*", 3600)
    assert [path.name for path in tmp_path.iterdir()] == ["in use"]
