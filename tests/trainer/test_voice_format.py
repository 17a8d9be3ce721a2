"""A voice is written and read without loss, as torch's file and as safetensors; damaged files are refused."""

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lively_voice import lively_voice, with_source
from safetensors import safe_open
from trainer_process import call_main

from trainer import checkpoint_files, voice_format
from trainer.errors import UserError, VoiceError
from trainer.protocol import ExitCode
from trainer.voice_format import Recordings, Voice, corpus_name, load, save, save_to_share
from trainer.warm_start import warm_start

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def voice() -> Voice:
    figures = {"loss": 1.25, "free_running_mcd": float("nan")}
    return replace(
        lively_voice(), figures=figures, trained=("a", "b"), recordings=Recordings("my-voice", 1.5, "CC BY 4.0")
    )


@pytest.fixture
def shared(tmp_path: Path, voice: Voice) -> Path:
    path = tmp_path / "a'; echo voice.safetensors"
    save_to_share(path, voice)
    return path


def same_weights(a: Voice, b: Voice) -> bool:
    return a.weights.keys() == b.weights.keys() and all(
        torch.equal(a.weights[key], b.weights[key]) for key in a.weights
    )


def header_of(path: Path) -> tuple[dict[str, dict[str, str]], bytes]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write_with(path: Path, header: dict[str, dict[str, str]], rest: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + rest)


@pytest.mark.parametrize("write", [save, save_to_share])
def test_it_comes_back_as_it_was(tmp_path: Path, voice: Voice, write: Callable[[Path, Voice], None]) -> None:
    path = tmp_path / "voice"  # its content says what it is
    write(path, voice)
    read = load(path)
    assert same_weights(read, voice)
    assert (read.config, read.symbols, read.recordings) == (voice.config, voice.symbols, voice.recordings)
    assert read.trained == ("a", "b")
    assert read.figures is not None
    assert read.figures["loss"] == 1.25


def test_a_shared_file_says_everything_in_its_metadata(shared: Path, voice: Voice) -> None:
    with safe_open(str(shared), "np") as file:
        metadata = file.metadata()
        assert set(file.keys()) == set(voice.weights)
        name = "encoder.embedding.weight"
        np.testing.assert_array_equal(file.get_tensor(name), voice.weights[name].numpy())
    assert (metadata["format"], metadata["format_version"]) == ("smart-tuner-voice", "1")
    assert json.loads(metadata["symbols"]) == list(voice.symbols)
    assert json.loads(metadata["config"])["audio"]["n_mels"] == 8
    assert json.loads(metadata["config"])["text"] == {"kind": "characters", "language": "en"}
    assert json.loads(metadata["figures"]) == {"loss": 1.25}
    assert json.loads(metadata["recordings"]) == {"corpus": "my-voice", "hours": 1.5, "licence": "CC BY 4.0"}


def test_a_shared_file_names_no_path_of_this_machine(tmp_path: Path) -> None:
    voice = with_source(lively_voice(), "/home/anna/data/anna/metadata.csv")
    paths = replace(voice.config.paths, run="/home/anna/run", cache="/home/anna/cache")
    config = replace(voice.config, paths=paths, warm_start="/home/anna/voice.pt")
    save_to_share(tmp_path / "voice.safetensors", replace(voice, config=config))
    content = (tmp_path / "voice.safetensors").read_bytes()
    assert b"/home/anna" not in content
    read = load(tmp_path / "voice.safetensors")
    assert (read.config.corpus.source, read.source.corpus) == ("anna/metadata.csv", "anna/metadata.csv")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("demo:en:1000", "demo:en:1000"),
        ("/data/LJSpeech-1.1", "LJSpeech-1.1"),
        ("/data/my voice/", "my voice"),
        ("/data/anna/train.csv", "anna/train.csv"),
        ("train.csv", "train.csv"),
        ("/train.csv", "train.csv"),
    ],
)
def test_the_name_of_a_corpus_says_nothing_of_where_it_is(source: str, name: str) -> None:
    assert corpus_name(source) == name


def test_a_file_of_an_earlier_version_names_its_corpus_but_no_hours(tmp_path: Path, voice: Voice) -> None:
    path = tmp_path / "best.pt"
    save(path, with_source(voice, "/data/anna"))
    content = checkpoint_files.read(path)
    del content["recordings"]
    checkpoint_files.save(path, content)
    assert load(path).source == Recordings("anna")
    checkpoint_files.save(path, {**content, "figures": None})  # imported
    assert load(path).source == Recordings("")


def test_files_cut_short_anywhere_are_refused(shared: Path) -> None:
    content = shared.read_bytes()
    for length in (0, 5, 8, 9, 200, len(content) // 2, len(content) - 1):
        shared.write_bytes(content[:length])
        with pytest.raises(
            VoiceError, match=r"is no safetensors file, or an incomplete one .*export it again"
        ) as error:
            load(shared)
        assert str(error.value).startswith(f"{shared}: ")


def test_a_changed_byte_anywhere_is_noticed(shared: Path) -> None:
    content = shared.read_bytes()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    places = [start, (start + len(content)) // 2, len(content) - 1, content.index(b"sample_rate") + 15]
    for place in places:
        shared.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(VoiceError, match="is damaged"):
            load(shared)


def test_another_version_and_another_kind_of_file_are_refused(shared: Path) -> None:
    header, rest = header_of(shared)
    later = {**header, "__metadata__": {**header["__metadata__"], "format_version": "2"}}
    write_with(shared, later, rest)
    with pytest.raises(VoiceError, match="has the format version '2', and this program reads '1'"):
        load(shared)
    write_with(shared, {key: value for key, value in header.items() if key != "__metadata__"}, rest)
    with pytest.raises(VoiceError, match="is a safetensors file, but no voice"):
        load(shared)


def test_a_file_whose_metadata_lacks_something_is_refused(shared: Path, voice: Voice) -> None:
    from trainer import safetensors_files

    about = voice_format.about(voice)
    safetensors_files.save(shared, voice.weights, {key: about[key] for key in about if key != "symbols"})
    with pytest.raises(VoiceError, match="it has no `symbols`"):
        load(shared)
    some = dict(list(voice.weights.items())[1:])
    safetensors_files.save(shared, some, about)
    with pytest.raises(VoiceError, match=r"`encoder.embedding.weight` \(\d+, \d+\) is missing"):
        load(shared)


@pytest.mark.parametrize("value", ["{", "[" * 100_000])
def test_metadata_that_is_no_json_is_refused(shared: Path, voice: Voice, value: str) -> None:
    from safetensors.torch import save_file

    from trainer.safetensors_files import _digest

    entries = {"config": value}
    header = {"format": "smart-tuner-voice", "format_version": "1", "sha256": _digest(voice.weights, entries)}
    save_file(voice.weights, shared, {**header, **entries})
    with pytest.raises(VoiceError, match="its metadata is no JSON"):
        load(shared)


class Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    for name in ("voice.safetensors", "voice.pt"):
        (tmp_path / name).write_bytes(pickle.dumps(Touches(tmp_path / "executed")))
        with pytest.raises(VoiceError):
            load(tmp_path / name)
    assert not (tmp_path / "executed").exists()
    pickle.loads((tmp_path / "voice.pt").read_bytes())
    assert (tmp_path / "executed").exists()  # it would have been


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbols": [1, 2]}, r"`symbols\[0\]` must be of type str"),
        ({"trained": 5}, "`trained` must be a list"),
        ({"trained": [["a"]]}, r"`trained\[0\]` must be of type str"),
        ({"figures": {"loss": "<b>"}}, "its `figures` are no numbers"),
        ({"figures": ["loss"]}, "its `figures` are no numbers"),
        ({"recordings": 5}, "`recordings` must be a mapping"),
        ({"config": {5: 6}}, "`5` is no known key"),
        ({"config": {"model": {"encoder_dim": 10**12}}}, "`model.encoder_dim` must lie between"),
    ],
)
def test_what_is_not_of_its_type_is_refused(
    tmp_path: Path, voice: Voice, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load(written(tmp_path, voice, changes))


@pytest.mark.parametrize("hostile", [5, "view", "sparse"])
def test_a_weight_that_is_not_whole_in_the_file_counts_as_missing(tmp_path: Path, voice: Voice, hostile: Any) -> None:
    name = "encoder.embedding.weight"
    whole = voice.weights[name]
    kinds = {"view": torch.zeros(1).expand(whole.shape), "sparse": whole.to_sparse()}
    weights = {**voice.weights, name: kinds.get(hostile, hostile)}
    with pytest.raises(VoiceError, match=f"`{name}` .* is missing"):
        load(written(tmp_path, voice, {"model": weights}))


def test_what_is_no_tensor_is_dropped(tmp_path: Path, voice: Voice) -> None:
    read = load(written(tmp_path, voice, {"model": {**voice.weights, "extra": "x"}}))
    assert same_weights(read, voice)


def written(tmp_path: Path, voice: Voice, changes: dict[str, Any]) -> Path:
    """A file of torch's with a voice that has changes."""
    save(tmp_path / "whole.pt", voice)
    content = torch.load(tmp_path / "whole.pt", weights_only=True)
    torch.save({**content, **changes}, tmp_path / "voice.pt")
    return tmp_path / "voice.pt"


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.zeros(1_000_000)}}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for each in plain.infolist():
            bomb.writestr(each.filename, plain.read(each))
    assert (tmp_path / "bomb.pt").stat().st_size < 10_000
    with pytest.raises(VoiceError, match=r"bomb.pt: is compressed, which `torch.save` never does"):
        load(tmp_path / "bomb.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"none.safetensors: cannot be read \(No such file"):
        load(tmp_path / "none.safetensors")


def test_it_speaks_and_training_starts_from_it(
    shared: Path, voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "voice.pt", voice)
    for path in (shared, tmp_path / "voice.pt"):
        assert call_main("say", str(path), "Hello there.", f"--out={path}.wav") == ExitCode.FINISHED
    assert Path(f"{shared}.wav").read_bytes() == (tmp_path / "voice.pt.wav").read_bytes()
    configs = [replace(voice.config, warm_start=str(path)) for path in (shared, tmp_path / "voice.pt")]
    ours, expected = (warm_start(config).weights for config in configs)
    assert all(torch.equal(ours[key], expected[key]) for key in voice.weights)
    assert torch.equal(ours["decoder.mel.weight"], voice.weights["decoder.mel.weight"])
