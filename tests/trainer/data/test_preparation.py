"""Preparation uses all cores, survives kills, and gives the same result with any number of processes."""

import os
import subprocess
import sys
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from waiting import wait_until, wait_until_gone

from trainer.audio import log_mel
from trainer.config import TrainerConfig
from trainer.data import features_writer, preparation
from trainer.data.atomic_folders import remove_abandoned
from trainer.data.audio_files import decode, prepare
from trainer.data.corpus import content_hash, list_corpus
from trainer.data.faults import FaultKind
from trainer.data.features import Features, open_features
from trainer.errors import CorpusError
from trainer.text import encode

RATE = 22050


def _corpus(folder: Path, clips: int, prefix: str = "clip", text: str = "hi number") -> Path:
    """`clips` recordings of 0.3 s of noise, each with its own text."""
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
    """Replace the content of the files, but keep size and time, so that the listing stays the same."""
    for path in recordings:
        status = path.stat()
        path.write_bytes(b"x" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _shard_files(cache: Path) -> list[Path]:
    return sorted((cache / "features" / ".unfinished").glob("[!.]*.part"))


def _contents(features: Features) -> list[Any]:
    clips = [(features.id(i), features.text(i), features.tokens(i).tolist()) for i in range(len(features))]
    return [clips, features.train, features.validation, features.mels.tobytes(), features.offsets.tolist()]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six hundred clips, in several shards; read-only."""
    return _corpus(tmp_path_factory.mktemp("many") / "corpus", 600)


@pytest.fixture(scope="module")
def alone(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Features:
    """The features of `many`, computed in this process alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "cores", lambda: 1)
        return open_features(_config(many, tmp_path_factory.mktemp("alone")))


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "cores", lambda: 1)


def test_many_processes_compute_what_one_computes(
    many: Path, alone: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "cores", lambda: 2)
    seen = []
    together = open_features(_config(many, tmp_path), lambda *report: seen.append(report))
    assert seen == [(i, 600, "log-mel features") for i in range(1, 601)]
    assert _contents(together) == _contents(alone)
    assert together.fingerprint == alone.fingerprint
    assert not list((tmp_path / "features" / ".unfinished").iterdir())


def test_a_small_corpus_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.data.processes._start_worker", lambda modules: pytest.fail("a process was started"))
    assert len(open_features(_config(_corpus(tmp_path / "corpus", 20), tmp_path))) == 20


def test_a_killed_preparation_is_continued(tmp_path: Path, alone: Features, many: Path, one_core: None) -> None:
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
        wait_until(lambda: _shard_files(cache))
        process.kill()
        wait_until_gone(workers)
    kept = {path.name for path in _shard_files(cache)}
    assert kept
    _make_unreadable([clip.wav for shard in _shards(config) if shard.path.name in kept for clip in shard.clips])
    seen = []
    features = open_features(config, lambda *report: seen.append(report))
    assert _contents(features) == _contents(alone)
    assert 0 < len(seen) < 600
    assert seen[-1][0] == 600


def _shards(config: TrainerConfig) -> list[preparation.Shard]:
    listing = list_corpus(config.corpus, Path(config.paths.cache))
    corpus = preparation.utterances(listing, config.text)
    unfinished = Path(config.paths.cache) / "features" / ".unfinished"
    both = (
        preparation.cut(split, unfinished, config.audio, config.corpus.max_seconds)
        for split in (corpus.train, corpus.validation)
    )
    return [shard for shards in both for shard in shards]


class Killed(BaseException):
    """Simulates a kill: nothing catches it."""


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("at", range(5))
def test_writing_the_folder_is_continued_after_a_kill_at_any_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: Path, alone: Features, one_core: None, at: int, half: bool
) -> None:
    append = features_writer._append
    calls = 0

    def killed(path: Path, arrays: Sequence[npt.NDArray[np.generic]]) -> None:
        nonlocal calls
        calls += 1
        if calls == at + 1 and half:
            content = b"".join(array.tobytes() for array in arrays)
            path.write_bytes(path.read_bytes() + content[: len(content) // 2 - 3])
            raise Killed
        append(path, arrays)
        if calls == at + 1:
            raise Killed

    _link_shards(many, tmp_path)
    monkeypatch.setattr(features_writer, "_append", killed)
    with pytest.raises(Killed):
        open_features(_config(many, tmp_path))
    monkeypatch.setattr(features_writer, "_append", append)
    assert _contents(open_features(_config(many, tmp_path), _refuse_work)) == _contents(alone)


def test_a_kill_before_the_renaming_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: Path, alone: Features, one_core: None
) -> None:
    def killed(folder: Path) -> None:
        raise Killed

    _link_shards(many, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "flush", killed)
        with pytest.raises(Killed):
            open_features(_config(many, tmp_path))
    assert not _shard_files(tmp_path)
    assert _contents(open_features(_config(many, tmp_path), _refuse_work)) == _contents(alone)


def _link_shards(many: Path, cache: Path) -> None:
    """Link the shards of `many` into `cache`; they are computed once."""
    store = many.parent / "shards"
    config = _config(many, cache)
    unfinished = cache / "features" / ".unfinished"
    unfinished.mkdir(parents=True)
    if not store.exists():
        store.mkdir()
        for shard in _shards(_config(many, cache)):
            assert not preparation.compute(shard, lambda: None)
            shard.path.rename(store / shard.path.name)
    for shard in _shards(config):
        os.link(store / shard.path.name, shard.path)


def _refuse_work(done: int, total: int, what: str) -> None:
    pytest.fail("a recording was read again")


def test_all_faulty_recordings_are_reported_together_by_kind(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path / "corpus", 40)
    recordings = sorted((corpus / "wavs").iterdir())
    _make_unreadable([recordings[i] for i in (30, 4, 9, 17)])
    _write(recordings[2], np.zeros(RATE, np.int16))
    with pytest.raises(CorpusError) as caught:
        open_features(_config(corpus, tmp_path))
    lines = [line.split(": ")[0].strip() for line in str(caught.value).splitlines()]
    unreadable = [FaultKind.UNREADABLE.capitalize(), "metadata.csv:5", "metadata.csv:10", "metadata.csv:18"]
    assert lines == [*unreadable, "... and 1 more", FaultKind.SILENT.capitalize(), "metadata.csv:3"]


@pytest.mark.parametrize("line", ["no columns at all", "clip 0001|a \u2603"], ids=["of the list", "of a text"])
def test_faulty_recordings_are_reported_with_the_faults_of_lists_and_texts(tmp_path: Path, line: str) -> None:
    corpus = _corpus(tmp_path / "corpus", 40)
    listed = corpus / "metadata.csv"
    lines = listed.read_text().splitlines()
    listed.write_text("\n".join([lines[0], line, *lines[2:]]), encoding="utf-8")
    _make_unreadable([corpus / "wavs" / "clip 0004.wav"])
    with pytest.raises(CorpusError, match=r"(?s)metadata.csv:2: .*recording cannot be read: 1\n  metadata.csv:5"):
        open_features(_config(corpus, tmp_path))
    assert _shard_files(tmp_path)  # found again when the faults are mended


def test_a_corrected_recording_keeps_the_other_shards(tmp_path: Path, one_core: None) -> None:
    corpus = _corpus(tmp_path / "corpus", 600)
    config = _config(corpus, tmp_path)
    faulty = corpus / "wavs" / "clip 0300.wav"
    _make_unreadable([faulty])
    with pytest.raises(CorpusError, match=r"^metadata.csv:301: .*clip 0300.wav: cannot be read as audio.*$"):
        open_features(config)
    kept = {path.name for path in _shard_files(tmp_path)}
    shards = _shards(config)
    assert len(kept) == len(shards) - 1
    _make_unreadable([clip.wav for shard in shards if shard.path.name in kept for clip in shard.clips])
    _write(faulty, np.tile(np.array([3000, -3000], np.int16), RATE // 4))
    assert len(open_features(config)) == 600


def test_removing_a_line_changes_one_shard(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path / "corpus", 600)
    config = _config(corpus, tmp_path)
    before = {shard.path.name for shard in _shards(config)}
    lines = (corpus / "metadata.csv").read_text().splitlines(keepends=True)
    (corpus / "metadata.csv").write_text("".join(lines[:200] + lines[201:]))
    assert (
        len(before - {shard.path.name for shard in _shards(config)}) <= 2
    )  # another one where a clip changes its split


def test_a_changed_recording_gives_its_shard_another_name(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path / "corpus", 600)
    config = _config(corpus, tmp_path)
    before = {shard.path.name for shard in _shards(config)}
    _write(corpus / "wavs" / "clip 0007.wav", np.full(RATE // 2, 3000, np.int16))
    assert len(before - {shard.path.name for shard in _shards(config)}) == 1
    assert not before & {shard.path.name for shard in _shards(_config(corpus, tmp_path, max_seconds=11))}


def test_a_shard_that_another_preparation_used_up_is_computed_again(
    many: Path, alone: Features, tmp_path: Path, one_core: None
) -> None:
    _link_shards(many, tmp_path)
    taken, other = _shard_files(tmp_path)[:2]
    other.unlink()  # must be computed; meanwhile another process takes the first:
    features = open_features(_config(many, tmp_path), lambda *report: taken.unlink(missing_ok=True))
    assert _contents(features) == _contents(alone)


def test_float16_errs_by_no_more_than_documented(many: Path, alone: Features) -> None:
    audio = TrainerConfig().audio
    for i in range(0, 600, 40):
        exact = log_mel(prepare(decode(many / "wavs" / f"{alone.id(i)}.wav"), audio), audio)
        assert alone.mel(i).dtype == alone.mels.dtype == np.float16
        assert 0 < np.abs(alone.mel(i).astype(np.float32) - exact).max() <= 0.004


def test_texts_and_names_survive_in_any_script(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path / "corpus", 30, prefix="ёжик №", text="Ёж, привет")
    features = open_features(_config(corpus, tmp_path, language="ru"))
    assert features.language == "ru"
    for i in range(30):
        text = f"ёж, привет {'abcdefghij'[int(features.id(i)[-4:]) % 10]}"
        assert features.text(i) == text
        assert features.tokens(i).tolist() == encode(text)
        assert features.tokens(i).dtype == np.int64
    assert sorted(features.id(i) for i in range(30)) == [f"ёжик № {i:04d}" for i in range(30)]


def test_offsets_give_the_rows_of_a_clip(alone: Features) -> None:
    assert alone.offsets.dtype == np.int64
    assert np.diff(alone.offsets).tolist() == alone.frames.tolist()
    assert alone.mels.shape == (alone.offsets[-1], 80)
    np.testing.assert_array_equal(alone.mels[alone.offsets[7] : alone.offsets[8]], alone.mel(7))
    assert [*alone.train, *alone.validation] == list(range(600))
    for array in (alone.mels, alone.offsets):
        assert not array.flags.writeable


def test_the_quick_hash_of_a_list_equals_the_full_one(many: Path, tmp_path: Path) -> None:
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


def test_a_folder_in_use_is_not_removed(tmp_path: Path) -> None:
    for name in ("left", "in use"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mels.npy").touch()
        os.utime(tmp_path / name, (0, 0))
    os.utime(tmp_path / "left" / "mels.npy", (0, 0))
    (tmp_path / "old.part").touch()
    os.utime(tmp_path / "old.part", (0, 0))
    remove_abandoned(tmp_path, "*", 3600)
    assert [path.name for path in tmp_path.iterdir()] == ["in use"]
