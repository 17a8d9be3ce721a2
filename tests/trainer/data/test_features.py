"""Features are computed once, reused, and never half written."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trainer.audio import log_mel
from trainer.config import TrainerConfig
from trainer.data.atomic_folders import ABANDONED_AFTER, write_folder_atomically
from trainer.data.audio_files import decode, prepare
from trainer.data.demo import corpus as demo
from trainer.data.demo.sentences import compose
from trainer.data.features import Features, open_features
from trainer.errors import CorpusError
from trainer.text import encode, front_end, symbols_of


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight spoken sentences in LJSpeech layout; read-only."""
    return demo.demo_corpus("demo:en:8", tmp_path_factory.mktemp("corpus cache"))


def _config(source: Path | str, cache: Path, **corpus_settings: object) -> TrainerConfig:
    return TrainerConfig.from_mapping(
        {"corpus": {"source": str(source), **corpus_settings}, "paths": {"cache": str(cache)}}
    )


def _copy(corpus: Path, target: Path) -> Path:
    (target / "wavs").mkdir(parents=True)
    for path in corpus.rglob("*.*"):
        (target / path.relative_to(corpus)).write_bytes(path.read_bytes())
    return target


def _folders(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "features").iterdir() if path.name != ".unfinished")


def test_features_of_phonemes_have_their_own_table(tmp_path: Path) -> None:
    raw = {"corpus": {"source": "demo:de:4"}, "text": {"kind": "phonemes", "language": "de"}}
    config = TrainerConfig.from_mapping({**raw, "paths": {"cache": str(tmp_path)}})
    features = open_features(config)
    assert (features.language, features.symbols) == ("de", symbols_of(config.text))
    texts = dict(zip((f"de-{i:05d}" for i in range(1, 5)), compose("de", 4, demo.SEED), strict=True))
    read = front_end(config.text).read
    assert {features.id(i): features.text(i) for i in range(4)} == {id_: read(text).text for id_, text in texts.items()}
    assert any("ˈ" in features.text(i) for i in range(4))


def test_features_are_those_of_the_recordings(corpus: Path, tmp_path: Path) -> None:
    config = _config(corpus, tmp_path)
    features = open_features(config)
    written = dict(line.split("|")[::2] for line in (corpus / "metadata.csv").read_text().splitlines())
    assert (len(features), len(features.train), len(features.validation)) == (8, 7, 1)
    assert sorted((*features.train, *features.validation)) == list(range(8))
    assert (features.skipped, features.n_mels, features.language) == (0, 80, "en")
    assert {features.id(i): features.text(i) for i in range(8)} == written
    for i in range(8):
        samples = prepare(decode(corpus / "wavs" / f"{features.id(i)}.wav"), config.audio)
        np.testing.assert_array_equal(features.mel(i), log_mel(samples, config.audio).astype(np.float16))
        assert features.frames[i] == len(features.mel(i))
        assert features.tokens(i).tolist() == encode(features.text(i))


def test_the_second_opening_computes_nothing_and_needs_no_audio_library(corpus: Path, tmp_path: Path) -> None:
    config = _config(corpus, tmp_path)
    first = open_features(config)
    script = f"""
import sys
sys.modules.update(dict.fromkeys(["soxr", "soundfile", "num2words", "espeakng_loader"]))
from pathlib import Path
from trainer.config import TrainerConfig
from trainer.data.batches import Padding, collate
from trainer.data.features import open_features
config = TrainerConfig.load(Path({str(tmp_path / "config.json")!r}))
features = open_features(config, lambda *report: sys.exit(f"computed: {{report}}"))
print(collate(features, features.train, Padding(2), 1e-5).mels.sum().item())
"""
    (tmp_path / "config.json").write_text(config.to_json())
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    padded = sum(-(-max(first.frames[list(first.train)]) // 2) * 2 - first.frames[i] for i in first.train)
    expected = sum(float(first.mel(i).sum(dtype=np.float64)) for i in first.train) + float(padded) * 80 * np.log(1e-5)
    assert float(result.stdout) == pytest.approx(expected, rel=1e-4)


def test_progress_is_reported_to_the_end(corpus: Path, tmp_path: Path) -> None:
    seen = []
    open_features(_config(corpus, tmp_path), lambda *report: seen.append(report))
    assert seen == [(i, 8, "log-mel features") for i in range(1, 9)]


def test_features_of_the_embedded_corpus(tmp_path: Path) -> None:
    seen = []
    features = open_features(_config("demo:ru:3", tmp_path), lambda *report: seen.append(report))
    assert (len(features), features.language) == (3, "ru")
    assert [what for _, _, what in seen] == ["speaking the embedded corpus"] * 3 + ["log-mel features"] * 3


def test_a_change_of_what_features_depend_on_gives_another_folder(corpus: Path, tmp_path: Path) -> None:
    cache, mine = tmp_path / "cache", _copy(corpus, tmp_path / "mine")
    config = _config(mine, cache)
    open_features(config)
    open_features(config)
    assert len(_folders(cache)) == 1

    def folders_after_opening() -> int:
        open_features(config)
        return len(_folders(cache))

    config = replace(config, audio=replace(config.audio, hop_length=300))
    assert folders_after_opening() == 2
    config = replace(config, corpus=replace(config.corpus, split_seed=5))
    assert folders_after_opening() == 3
    wav = next((mine / "wavs").iterdir())
    os.utime(wav, ns=(0, wav.stat().st_mtime_ns + 1))
    assert folders_after_opening() == 4
    text = (mine / "metadata.csv").read_text()
    (mine / "metadata.csv").write_text(text.replace("the", "that"))
    assert folders_after_opening() == 5
    (mine / "metadata.csv").write_text(text)
    config = replace(config, optimizer=replace(config.optimizer, lr=0.5), seed=9)
    assert folders_after_opening() == 5


def test_longer_clips_are_left_out_and_counted(corpus: Path, tmp_path: Path) -> None:
    full = open_features(_config(corpus, tmp_path, validation_share=0.5))
    seconds = full.frames * 256 / 22050
    limit = float(np.sort(seconds)[-3]) + 0.02
    short = open_features(_config(corpus, tmp_path, validation_share=0.5, max_seconds=limit))
    assert (short.skipped, len(short)) == (2, 6)
    kept = {full.id(i) for i in range(8) if seconds[i] <= limit}
    assert {short.id(i) for i in range(6)} == kept
    for i in range(6):
        original = next(k for k in range(8) if full.id(k) == short.id(i))
        np.testing.assert_array_equal(short.mel(i), full.mel(original))
        assert (i in short.train) == (original in full.train)


def test_a_limit_that_leaves_no_clip_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"max_seconds.* = 0\.2"):
        open_features(_config(corpus, tmp_path, max_seconds=0.2))
    assert _folders(tmp_path) == []


def test_a_recording_that_cannot_be_read_is_named_and_nothing_is_left(corpus: Path, tmp_path: Path) -> None:
    mine = _copy(corpus, tmp_path / "mine")
    (mine / "wavs" / "en-00005.wav").write_text("no sound")
    with pytest.raises(CorpusError, match=r"metadata.csv:5: .*en-00005.wav: cannot be read as audio"):
        open_features(_config(mine, tmp_path / "cache"))
    assert _folders(tmp_path / "cache") == []


def test_a_recording_too_short_for_its_text_is_named(corpus: Path, tmp_path: Path) -> None:
    mine = _copy(corpus, tmp_path / "mine")
    samples, rate = soundfile.read(mine / "wavs" / "en-00005.wav")
    soundfile.write(mine / "wavs" / "en-00005.wav", samples[2000:3000], rate)
    with pytest.raises(CorpusError, match=r"metadata.csv:5: .*en-00005.wav: is too short for its text"):
        open_features(_config(mine, tmp_path / "cache"))


def test_faulty_lines_are_reported_before_any_audio_is_read(corpus: Path, tmp_path: Path) -> None:
    mine = _copy(corpus, tmp_path / "mine")
    (mine / "wavs" / "en-00001.wav").write_text("no sound")
    with (mine / "metadata.csv").open("a", encoding="utf-8") as file:
        file.write("en-00001|again\n")
    with pytest.raises(CorpusError, match=r"metadata.csv:9: .*listed already"):
        open_features(_config(mine, tmp_path / "cache"))


def test_of_two_processes_one_computes_and_the_other_waits(corpus: Path, tmp_path: Path) -> None:
    config = _config(corpus, tmp_path / "cache")
    (tmp_path / "config.json").write_text(config.to_json())
    script = (
        "from pathlib import Path; from trainer.config import TrainerConfig;"
        "from trainer.data.features import open_features;"
        f"config = TrainerConfig.load(Path({str(tmp_path / 'config.json')!r}));"
        "print(open_features(config, lambda *report: print('computed')).frames.sum())"
    )
    others = []

    def joined(done: int, total: int, what: str) -> None:
        if done == 4:  # half way, another process starts and waits
            others.append(subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True))

    features = open_features(config, joined)
    (other,) = others
    output, _ = other.communicate(timeout=60)
    assert other.returncode == 0
    assert int(output) == features.frames.sum()  # it computed nothing
    assert len(_folders(tmp_path / "cache")) == 1
    assert not list((tmp_path / "cache" / "features" / ".unfinished").iterdir())


def test_the_second_to_finish_keeps_the_firsts_folder(tmp_path: Path) -> None:
    target = tmp_path / "a'; echo foo"
    with write_folder_atomically(target) as slow:
        (slow / "who").write_text("slow")
        with write_folder_atomically(target) as fast:
            (fast / "who").write_text("fast")
    assert (target / "who").read_text() == "fast"
    assert list(tmp_path.iterdir()) == [target]


def test_only_folders_abandoned_long_ago_are_removed(tmp_path: Path) -> None:
    old, young = tmp_path / ".x.1.tmp", tmp_path / ".x.2.tmp"
    old.mkdir()
    young.mkdir()
    os.utime(old, (0, old.stat().st_mtime - ABANDONED_AFTER - 60))
    with write_folder_atomically(tmp_path / "x"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.2.tmp", "x"]


def test_the_error_about_damaged_features_names_what_to_delete(corpus: Path, tmp_path: Path) -> None:
    config = _config(corpus, tmp_path)
    open_features(config)
    folder = tmp_path / "features" / _folders(tmp_path)[0]
    (folder / "mels.npy").write_bytes((folder / "mels.npy").read_bytes()[:1000])
    with pytest.raises(CorpusError, match="delete the folder"):
        open_features(config)


def test_features_are_read_only(corpus: Path, tmp_path: Path) -> None:
    features = open_features(_config(corpus, tmp_path))
    for array in (features.mel(0), features.tokens(0), features.frames):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_features_of_recordings_with_weird_names(corpus: Path, tmp_path: Path) -> None:
    samples, _ = soundfile.read(corpus / "wavs" / "en-00001.wav", dtype="float32")
    names = ("a 0.wav", "a'; echo foo.wav", "ёж.wav")
    for name in names:
        soundfile.write(str(tmp_path / name), np.stack([samples, samples], axis=1), 22050)
    (tmp_path / "list.csv").write_text("".join(f"{name}|Hello there\n" for name in names), encoding="utf-8")
    features = open_features(_config(tmp_path / "list.csv", tmp_path / "the cache"))
    assert {features.id(i) for i in range(3)} == set(names)
    np.testing.assert_array_equal(features.mel(0), features.mel(2))


def _same(one: Features, two: Features) -> bool:
    return one.frames.tolist() == two.frames.tolist() and bool((one.mel(0) == two.mel(0)).all())
