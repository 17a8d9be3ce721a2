"""A run may start with the weights of a voice, which must fit; that is checked before anything is computed."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from random_features import random_features

from trainer import __main__ as entry
from trainer import checkpoint_files, voice_format
from trainer.checkpoint import Progress, open_state
from trainer.config import TrainerConfig, merge
from trainer.data.features import Features
from trainer.errors import ConfigError, UserError
from trainer.loop import Training, train_on
from trainer.model import Tacotron2
from trainer.nvidia.checkpoint import export_voice
from trainer.protocol import EventKind, ExitCode, RunDir, all_events
from trainer.text import SYMBOLS
from trainer.voice_format import Voice

SMALL: dict[str, Any] = {
    "preset": "tiny",
    "audio": {"n_mels": 8},
    "model": {
        "embedding_dim": 8,
        "encoder_dim": 8,
        "encoder_convolutions": 1,
        "prenet_dim": 8,
        "attention_rnn_dim": 8,
        "attention_dim": 8,
        "location_filters": 4,
        "location_kernel": 7,
        "decoder_rnn_dim": 8,
        "postnet_dim": 8,
        "postnet_convolutions": 2,
    },
    "batch": {"size": 4},
    "budget": {"frames": 1000, "reports": 1},
    "validation": {"free_running_utterances": 0},
    "logging": {"progress_every_updates": 1, "tensorboard": False, "pictures": False, "samples": False},
    "device": {"name": "cpu", "threads": 1},
}


def _config(folder: Path, **changes: Any) -> TrainerConfig:
    return TrainerConfig.from_mapping(merge(merge(SMALL, changes), {"paths": {"run": str(folder / "run")}}))


@pytest.fixture
def saved_voice(tmp_path: Path) -> tuple[Path, Voice]:
    """A voice with weights of another seed, in a file with an awkward name."""
    config = _config(tmp_path)
    torch.manual_seed(99)
    weights = Tacotron2(config.model, len(SYMBOLS), 8).state_dict()
    path = tmp_path / "a'; echo foo.pt"
    voice_format.save(path, Voice(weights, config, SYMBOLS))
    return path, voice_format.load(path)


@pytest.fixture(scope="module")
def features() -> Features:
    return random_features(_config(Path("unused")), utterances=44, seconds=0.5, seed=1)


def _equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_training_starts_with_the_weights_of_the_voice(
    tmp_path: Path, features: Features, saved_voice: tuple[Path, Voice], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, given = saved_voice
    seen: list[dict[str, torch.Tensor]] = []
    losses = Training._losses

    def look(training: Training, *arguments: Any) -> Any:
        seen.append({key: value.clone() for key, value in training._state.model.state_dict().items()})
        return losses(training, *arguments)

    monkeypatch.setattr(Training, "_losses", look)
    config = _config(tmp_path, warm_start=str(path))
    state = open_state(config, features)
    assert state.optimizer.state_dict()["state"] == {}
    assert train_on(state) is ExitCode.FINISHED
    assert _equal(seen[0], given.weights)
    assert not _equal(seen[1], given.weights)
    started = all_events(state.run_dir.events)[0]
    assert (started.data["config"]["warm_start"], started.data["resumed"]) == (str(path), False)


def test_without_it_the_weights_come_from_the_seed(
    tmp_path: Path, features: Features, saved_voice: tuple[Path, Voice]
) -> None:
    assert not _equal(open_state(_config(tmp_path), features).model.state_dict(), saved_voice[1].weights)


def test_a_runs_best_checkpoint_is_accepted(tmp_path: Path, features: Features) -> None:
    first = open_state(_config(tmp_path / "first"), features)
    assert train_on(first) is ExitCode.FINISHED
    best = first.run_dir.best_checkpoint
    second = open_state(_config(tmp_path / "second", warm_start=str(best)), features)
    assert _equal(second.model.state_dict(), checkpoint_files.load(best)["model"])
    with pytest.raises(UserError, match=r"is no voice: it has no `config`; give a best\.pt"):
        open_state(_config(tmp_path / "third", warm_start=str(first.run_dir.last_checkpoint)), features)


def test_a_resumed_run_ignores_it(tmp_path: Path, features: Features, saved_voice: tuple[Path, Voice]) -> None:
    path, given = saved_voice
    config = _config(tmp_path, warm_start=str(path))
    answers = iter([None, None, "enough"])
    state = open_state(config, features)
    assert train_on(state, lambda: next(answers)) is ExitCode.STOPPED
    path.unlink()
    resumed = open_state(config, features)
    assert resumed.resumed
    assert _equal(resumed.model.state_dict(), state.model.state_dict())
    assert not _equal(resumed.model.state_dict(), given.weights)


def test_dropouts_may_differ_from_those_of_the_voice(
    tmp_path: Path, features: Features, saved_voice: tuple[Path, Voice]
) -> None:
    changed = {"prenet_dropout": 0.3, "decoder_dropout": 0.2}
    state = open_state(_config(tmp_path, warm_start=str(saved_voice[0]), model=changed), features)
    assert _equal(state.model.state_dict(), saved_voice[1].weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"reduction": 2}}, "`model.reduction` must be 4, but got 2."),
        ({"model": {"encoder_kernel": 7}}, "`model.encoder_kernel` must be 5, but got 7."),
        (
            {"audio": {"n_mels": 9}, "model": {"postnet_dim": 9}},
            "`audio.n_mels` must be 8, but got 9, `model.postnet_dim` must be 8, but got 9.",
        ),
    ],
)
def test_other_shapes_are_refused_with_the_keys_to_change(
    tmp_path: Path, saved_voice: tuple[Path, Voice], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        voice_format.warm_start(_config(tmp_path, warm_start=str(saved_voice[0]), **changes))
    assert str(refused.value).startswith(f"`warm_start`: {saved_voice[0]}: ")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (SYMBOLS[:-1], "has 72 symbols, but 73 was expected"),
        ((*SYMBOLS[:5], "ß", *SYMBOLS[6:]), "has 'ß' as symbol 5, but '(' was expected"),
    ],
)
def test_other_symbols_are_refused(
    tmp_path: Path, saved_voice: tuple[Path, Voice], symbols: tuple[str, ...], message: str
) -> None:
    path, given = saved_voice
    rows = given.weights["encoder.embedding.weight"][: len(symbols)]
    weights = {**given.weights, "encoder.embedding.weight": rows}
    voice_format.save(path, replace(given, symbols=symbols, weights=weights))
    with pytest.raises(ConfigError) as refused:
        voice_format.warm_start(_config(tmp_path, warm_start=str(path)))
    assert message in str(refused.value)


def test_a_voice_of_letters_is_no_start_for_phonemes(tmp_path: Path, saved_voice: tuple[Path, Voice]) -> None:
    config = _config(tmp_path, warm_start=str(saved_voice[0]), text={"kind": "phonemes", "language": "de"})
    with pytest.raises(ConfigError, match=r"it reads characters, and `text.kind` is phonemes"):
        voice_format.warm_start(config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {}, "config": asdict(TrainerConfig()), "symbols": ["_"]}, "is missing, by its own configuration"),
        ({"model": {}, "config": 3, "symbols": ["_"]}, "is no voice: it has no `config`"),
        ({"state_dict": {}}, "import it first: `python -m trainer import "),
        ([1, 2], "holds no model"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_file_without_a_voice_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "a'; echo foo.pt"
    if content is not None:
        torch.save(content, path)
    with pytest.raises(UserError) as refused:
        voice_format.warm_start(_config(tmp_path, warm_start=str(path)))
    assert str(refused.value).startswith(f"`warm_start`: {path}: ")
    assert message in str(refused.value)


def test_a_voice_whose_tensors_contradict_its_configuration_is_refused(
    tmp_path: Path, saved_voice: tuple[Path, Voice]
) -> None:
    path, given = saved_voice
    voice_format.save(path, replace(given, weights={**given.weights, "decoder.gate.bias": torch.zeros(2)}))
    with pytest.raises(UserError, match=r"`decoder.gate.bias` must have the shape \(1,\), but got \(2,\)"):
        voice_format.load(path)


def test_it_is_refused_before_the_corpus_is_read(
    tmp_path: Path, saved_voice: tuple[Path, Voice], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry, "set_up_logging", lambda *_: None)
    monkeypatch.setattr(entry.StopRequest, "listen", lambda _: None)
    run = RunDir(tmp_path / "run")
    run.create()
    corpus = {"corpus": {"source": str(tmp_path / "no such corpus")}}
    config = _config(tmp_path, warm_start=str(saved_voice[0]), model={"reduction": 2}, **corpus)
    run.config.write_text(config.to_json(), encoding="utf-8")
    for more in ([], ["--prepare"]):
        assert entry.main(["--config", str(run.config), *more]) == ExitCode.BAD_INPUT
        assert "`model.reduction` must be 4, but got 2" in capsys.readouterr().err
    (event,) = all_events(run.events)
    assert (event.kind, event.data["exit_code"]) == (EventKind.FAILED, int(ExitCode.BAD_INPUT))


def test_a_missing_file_is_found_by_check(
    tmp_path: Path, saved_voice: tuple[Path, Voice], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.json"
    for named, code in ((saved_voice[0], ExitCode.FINISHED), (tmp_path / "none.pt", ExitCode.BAD_INPUT)):
        path.write_text(json.dumps({"warm_start": str(named)}), encoding="utf-8")
        assert entry.main(["--config", str(path), "--check"]) == code
    assert f"`warm_start`: {tmp_path}/none.pt: there is no such file; correct the path" in capsys.readouterr().err


def test_an_imported_voice_is_accepted(tmp_path: Path, features: Features) -> None:
    config = _config(tmp_path)
    torch.manual_seed(5)
    given = Voice(Tacotron2(config.model, len(SYMBOLS), 8).state_dict(), config, SYMBOLS)
    torch.save(export_voice(given, Path("here"))[0], tmp_path / "nvidia.pt")
    target = tmp_path / "voice.pt"
    assert entry.main(["import", str(tmp_path / "nvidia.pt"), "--to", str(target)]) == ExitCode.FINISHED
    state = open_state(_config(tmp_path, warm_start=str(target)), features)
    assert torch.equal(state.model.decoder.mel.weight, given.weights["decoder.mel.weight"])
    assert Progress() == state.progress
