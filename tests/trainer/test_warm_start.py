"""A run may start with the weights of a voice: what fits is taken over, what must fit is checked before the corpus."""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_features import random_features

from trainer import __main__ as entry
from trainer import checkpoint_files, voice_format
from trainer.checkpoint import Progress, TrainingState
from trainer.config import TrainerConfig
from trainer.data.features import Features
from trainer.dotted import merge
from trainer.errors import ConfigError, UserError
from trainer.loop import StopReason, Training, train_on
from trainer.model import Tacotron2
from trainer.nvidia.checkpoint import export_voice
from trainer.nvidia.symbols import TABLE
from trainer.protocol import Event, EventKind, ExitCode, RunDir, all_events
from trainer.resuming import open_state
from trainer.text import SYMBOLS, symbols_of
from trainer.text.symbols import CYRILLIC, LATIN
from trainer.voice_format import Voice
from trainer.warm_start import EMBEDDING, warm_start

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
    config = _config(tmp_path, text={"language": "en"})
    torch.manual_seed(99)
    weights = Tacotron2(config.model, len(SYMBOLS), 8).state_dict()
    path = tmp_path / "a'; echo foo.pt"
    voice_format.save(path, Voice(weights, config, SYMBOLS))
    return path, voice_format.load(path)


@pytest.fixture(scope="module")
def features() -> Features:
    return random_features(_config(Path("unused")), utterances=44, seconds=0.5, seed=1)


def _equal(
    a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], trained: Iterable[str] = (*SYMBOLS[: -len(CYRILLIC)],)
) -> bool:
    """Without the statistics of batch norms, which are measured again. trained: the symbols whose rows are compared."""
    assert a.keys() == b.keys()
    rows = [SYMBOLS.index(symbol) for symbol in trained]
    parameters = [key for key in a if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    return all(
        torch.equal(a[key][rows], b[key][rows]) if key == EMBEDDING else torch.equal(a[key], b[key])
        for key in parameters
    )


def test_training_starts_with_the_weights_of_the_voice(
    tmp_path: Path, features: Features, saved_voice: tuple[Path, Voice], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, given = saved_voice
    seen: list[dict[str, torch.Tensor]] = []
    update = Training._update

    def look(training: Training, *arguments: Any) -> Any:
        seen.append({key: value.clone() for key, value in training._state.model.state_dict().items()})
        return update(training, *arguments)

    monkeypatch.setattr(Training, "_update", look)
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
    given = voice_format.load(best)
    assert given.trained == features.used_symbols()
    assert _equal(second.model.state_dict(), given.weights, given.trained)
    with pytest.raises(UserError, match=r"is no voice: it has no `config`; give a best\.pt"):
        open_state(_config(tmp_path / "third", warm_start=str(first.run_dir.last_checkpoint)), features)


CORRECTED = {
    "corrections": {"kind": "all"},
    "validation": {"free_running_utterances": 2, "alignment_floor": 0.0},
    "optimizer": {"lr": 0.5},  # spoils any voice
    "budget": {"reports": 4},
}


def test_a_voice_of_the_same_recordings_is_kept_where_training_spoils_it(tmp_path: Path, features: Features) -> None:
    good = open_state(_config(tmp_path / "good"), features)
    assert train_on(good) is ExitCode.FINISHED
    path = good.run_dir.best_checkpoint
    run = open_state(_config(tmp_path, warm_start=str(path), **CORRECTED), features)
    assert train_on(run) is ExitCode.FINISHED
    events = all_events(run.run_dir.events)
    reports = [event for event in events if event.kind is EventKind.VALIDATION]
    assert [(event.data["index"], event.data["best"]) for event in reports] == [
        (0, True),
        *((index, False) for index in range(1, 5)),
    ]
    assert reports[0].frames == 0
    distances = [each.data.get("free_running_distance", math.inf) for each in reports]
    assert distances[0] < min(distances[1:]) < math.inf
    assert events[0].data["start"]["free_running_distance"] == reports[0].data["free_running_distance"]
    kept, given = voice_format.load(run.run_dir.best_checkpoint), voice_format.load(path)
    assert _equal(kept.weights, given.weights, given.trained)


@pytest.mark.parametrize(
    "changes",
    [
        {"warm_start": "imported"},
        {"warm_start": "own", "corpus": {"source": "demo:ru"}},
        {"warm_start": "own", "corpus": {"speaker": "another"}},
        {"warm_start": "own", "corpus": {"split_seed": 5}},
        {"warm_start": "own", "corrections": {"kind": "safety"}},
    ],
)
def test_another_voice_is_no_report_of_the_training(
    changes: dict[str, Any], tmp_path: Path, features: Features, saved_voice: tuple[Path, Voice]
) -> None:
    imported, given = saved_voice
    own = tmp_path / "own.pt"
    voice_format.save(own, replace(given, figures={"loss": 1.0, "alignment": 0.9}))
    path = {"imported": imported, "own": own}[changes["warm_start"]]
    config = _config(tmp_path, **merge(merge(CORRECTED, changes), {"warm_start": str(path)}))
    run = open_state(config, features)
    assert train_on(run) is ExitCode.FINISHED
    events = all_events(run.run_dir.events)
    assert [event.data["index"] for event in events if event.kind is EventKind.VALIDATION] == [1, 2, 3, 4]


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
        ({"model": {"postnet_dim": 9}}, "`model.postnet_dim` must be 8, but got 9."),
    ],
)
def test_other_shapes_are_refused_with_the_keys_to_change(
    tmp_path: Path, saved_voice: tuple[Path, Voice], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        warm_start(_config(tmp_path, warm_start=str(saved_voice[0]), **changes))
    assert str(refused.value).startswith(f"`warm_start`: {saved_voice[0]}: ")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (
            {"sample_rate": 16000, "fmax": 7000},
            "`audio.sample_rate` must be 22050, but got 16000, `audio.fmax` must be",
        ),
        ({"hop_length": 200}, "`audio.hop_length` must be 256, but got 200."),
        ({"n_mels": 9}, "`audio.n_mels` must be 8, but got 9."),
        ({"log_floor": 1e-4}, "`audio.log_floor` must be 1e-05, but got 0.0001."),
    ],
)
@pytest.mark.parametrize("preset", ["tiny", "voice"])
def test_other_features_are_refused_with_the_keys_to_change(
    tmp_path: Path, saved_voice: tuple[Path, Voice], audio: dict[str, Any], message: str, preset: str
) -> None:
    sizes = {"model": {}} if preset == "voice" else {}
    raw = merge({**SMALL, **sizes}, {"audio": audio, "preset": preset, "warm_start": str(saved_voice[0])})
    with pytest.raises(ConfigError) as refused:
        warm_start(TrainerConfig.from_mapping(raw))
    assert str(refused.value).startswith(f"`warm_start`: {saved_voice[0]}: it was trained on other features: ")
    assert message in str(refused.value)


def test_all_that_differs_is_named_at_once(tmp_path: Path, saved_voice: tuple[Path, Voice]) -> None:
    changes = {"audio": {"hop_length": 200}, "model": {"reduction": 2}}
    with pytest.raises(ConfigError) as refused:
        warm_start(_config(tmp_path, warm_start=str(saved_voice[0]), **changes))
    assert "`audio.hop_length` must be 256" in str(refused.value)
    assert "`model.reduction` must be 4, but got 2. Set them so, or let `preset` be voice" in str(refused.value)


def test_audio_settings_that_change_no_feature_may_differ(tmp_path: Path, saved_voice: tuple[Path, Voice]) -> None:
    assert warm_start(_config(tmp_path, warm_start=str(saved_voice[0]), audio={"trim_db": 30, "level": -23}))


@pytest.mark.parametrize("kind", ["characters", "phonemes"])
def test_rows_of_shared_symbols_are_taken_over_and_new_ones_start_at_the_mean(
    tmp_path: Path, saved_voice: tuple[Path, Voice], kind: str
) -> None:
    path, given = saved_voice
    text = {"kind": kind, "language": "ru" if kind == "characters" else "de"}
    start = warm_start(_config(tmp_path, warm_start=str(path), text=text, seed=3))
    rows, before = start.weights[EMBEDDING], given.weights[EMBEDDING]
    wanted = symbols_of(start.config.text)
    trained = set(SYMBOLS[1:]) - set(CYRILLIC)
    assert rows.shape == (len(wanted), 8)
    assert set(start.symbols.taken) == set(wanted) & trained
    assert set(start.symbols.new) == set(wanted[1:]) - trained
    assert set(start.symbols.left_out) == trained - set(wanted)
    mean = before[[SYMBOLS.index(symbol) for symbol in trained]].mean(dim=0)
    for row, symbol in enumerate(wanted):
        if row == 0 or symbol in trained:
            assert torch.equal(rows[row], before[SYMBOLS.index(symbol)]), symbol
        else:
            assert 0 < float((rows[row] - mean).abs().max()) < 0.5 * float(before.abs().max()), symbol
    new = rows[[wanted.index(symbol) for symbol in start.symbols.new]]
    assert len(torch.unique(new, dim=0)) == len(new), "each new symbol has a row of its own"
    other = {key: value for key, value in start.weights.items() if key != EMBEDDING}
    assert all(torch.equal(value, given.weights[key]) for key, value in other.items())


def test_new_rows_depend_on_the_seed_alone(tmp_path: Path, saved_voice: tuple[Path, Voice]) -> None:
    def rows(seed: int) -> torch.Tensor:
        torch.rand(seed)  # another state of the generator
        return warm_start(_config(tmp_path, warm_start=str(saved_voice[0]), seed=seed)).weights[EMBEDDING]

    assert torch.equal(rows(3), rows(3))
    assert not torch.equal(rows(3), rows(4))


def test_what_was_trained_is_recorded_in_a_voice_and_goes_on(tmp_path: Path, features: Features) -> None:
    """Symbols that no text has are new to the next run, though the table has them."""
    some = replace(features, _tokens=np.minimum(features._tokens, 20))
    first = open_state(_config(tmp_path / "first"), some)
    first.save_voice(first.run_dir.best_checkpoint, None)
    path = first.run_dir.best_checkpoint
    assert voice_format.load(path).trained == SYMBOLS[1:21]
    config = _config(tmp_path / "second", warm_start=str(path))
    start = warm_start(config)
    assert (start.symbols.taken, start.symbols.new) == (SYMBOLS[1:21], SYMBOLS[21:])
    others = replace(features, _tokens=np.maximum(features._tokens, 30))
    second = open_state(config, others)
    assert set(second.trained) == {*SYMBOLS[1:21], *SYMBOLS[30:]}
    second.save()
    assert open_state(config, others).trained == second.trained


def test_an_earlier_voice_is_taken_to_know_the_letters_of_its_language(saved_voice: tuple[Path, Voice]) -> None:
    path, given = saved_voice
    content = checkpoint_files.read(path)
    del content["trained"]
    torch.save(content, path)
    assert voice_format.load(path).trained_symbols == tuple(s for s in SYMBOLS[1:] if s not in CYRILLIC)
    text = replace(given.config.text, language="ru")
    russian = replace(given, config=replace(given.config, text=text))
    assert russian.trained_symbols == tuple(s for s in SYMBOLS[1:] if s not in LATIN)


def test_a_checkpoint_of_nvidia_is_converted_in_memory(
    tmp_path: Path, saved_voice: tuple[Path, Voice], features: Features, caplog: pytest.LogCaptureFixture
) -> None:
    given = saved_voice[1]
    path = tmp_path / "nvidia.pt"
    torch.save(export_voice(given, Path("here"))[0], path)
    raw = {**SMALL, "preset": "voice", "warm_start": str(path), "paths": {"run": str(tmp_path / "run")}}
    del raw["model"]
    with caplog.at_level("INFO"):
        state = open_state(TrainerConfig.from_mapping(raw), features)
    assert replace(state.config.model, encoder_dropout=0.5, prenet_dropout=0.5) == replace(
        given.config.model, encoder_dropout=0.5, attention_dropout=0.1, decoder_dropout=0.1, postnet_dropout=0.5
    )
    rows = state.model.state_dict()[EMBEDDING]
    for symbol in set(TABLE[1:]) & set(SYMBOLS):
        row = SYMBOLS.index(symbol)
        assert torch.equal(rows[row], given.weights[EMBEDDING][row]), symbol
    assert (
        f"starts with the weights of {path}: 36 of the corpus's 71 symbols taken over; new (35): \" + " in caplog.text
    )
    assert "left out (110): A B C" in caplog.text
    assert list(tmp_path.glob("**/voice.pt")) == []


def test_a_checkpoint_of_nvidia_with_another_table_must_be_imported(
    tmp_path: Path, saved_voice: tuple[Path, Voice]
) -> None:
    content = export_voice(saved_voice[1], Path("here"))[0]
    content["state_dict"]["embedding.weight"] = content["state_dict"]["embedding.weight"][:100]
    torch.save(content, tmp_path / "nvidia.pt")
    with pytest.raises(UserError, match=r"^`warm_start`: .*100 rows, .* give `python -m trainer import` the option"):
        warm_start(_config(tmp_path, warm_start=str(tmp_path / "nvidia.pt")))


def _of_voice(folder: Path, voice: Path, **changes: Any) -> TrainerConfig:
    """Without any size of the model."""
    raw = {key: value for key, value in SMALL.items() if key != "model"}
    own = {"preset": "voice", "warm_start": str(voice), "paths": {"run": str(folder / "run")}}
    return TrainerConfig.from_mapping(merge(merge(raw, changes), own))


def test_preset_voice_has_the_sizes_of_the_voice(
    tmp_path: Path, features: Features, saved_voice: tuple[Path, Voice]
) -> None:
    path, given = saved_voice
    config = _of_voice(tmp_path, path, model={"decoder_dropout": 0.2})
    again = TrainerConfig.from_mapping(json.loads(config.to_json()))
    assert again == config
    state = open_state(again, features)
    assert state.config.model == replace(given.config.model, decoder_dropout=0.2)
    assert state.config.preset == given.config.preset
    assert (state.config.optimizer.lr, state.config.guided_attention.weight) == (1e-4, 0.05)
    assert _equal(state.model.state_dict(), given.weights)
    state.save_voice(state.run_dir.best_checkpoint, None)
    assert voice_format.load(state.run_dir.best_checkpoint).config.model == state.config.model


def test_a_run_with_preset_voice_resumes_without_the_voice(
    tmp_path: Path, features: Features, saved_voice: tuple[Path, Voice]
) -> None:
    path, _ = saved_voice
    config = _of_voice(tmp_path, path)
    state = open_state(config, features)
    answers = iter([None, None, "enough"])
    assert train_on(state, lambda: next(answers)) is ExitCode.STOPPED
    path.unlink()
    resumed = open_state(config, features)
    assert (resumed.resumed, resumed.config, resumed.start) == (True, state.config, state.start)
    assert _equal(resumed.model.state_dict(), state.model.state_dict())


def test_another_run_continues_one_with_preset_voice(
    tmp_path: Path, features: Features, saved_voice: tuple[Path, Voice]
) -> None:
    state = open_state(_of_voice(tmp_path, saved_voice[0]), features)
    answers = iter([None, None, "enough"])
    assert train_on(state, lambda: next(answers)) is ExitCode.STOPPED
    saved_voice[0].unlink()
    own = {"continue_from": str(state.run_dir.last_checkpoint), "budget": {"frames": 9000}}
    config = replace(_of_voice(tmp_path / "further", Path("gone.pt"), **own), warm_start="")
    further = open_state(config, features)
    assert (further.config.model, further.trained) == (state.config.model, state.trained)
    assert _equal(further.model.state_dict(), state.model.state_dict())


def test_guided_attention_can_be_off_in_a_voice_that_was_finetuned(
    tmp_path: Path, features: Features, saved_voice: tuple[Path, Voice]
) -> None:
    config = _of_voice(tmp_path, saved_voice[0], guided_attention={"enabled": False})
    state = open_state(TrainerConfig.from_mapping(json.loads(config.to_json())), features)
    state.save_voice(state.run_dir.best_checkpoint, None)
    assert not voice_format.load(state.run_dir.best_checkpoint).config.guided_attention.enabled


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"preset": "voice"}, "`preset: voice` needs `warm_start`"),
        (
            {"preset": "voice", "warm_start": "v.pt", "model": {"reduction": 1, "encoder_convolutions": 0}},
            "`model.encoder_convolutions`, `model.reduction` must not be set with `preset: voice`",
        ),
        ({"preset": "voice", "warm_start": "v.pt", "model": {"decoder_dropout": 2}}, "must lie between 0 and 0.95"),
        ({"model": {"reduction": -1}}, "`model.reduction` must lie between 1 and 20, but got -1"),
    ],
)
def test_a_preset_that_does_not_fit_is_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        TrainerConfig.from_mapping(raw)


def test_the_voice_is_measured_on_the_corpus_before_the_first_update(
    tmp_path: Path, features: Features, saved_voice: tuple[Path, Voice]
) -> None:
    state = open_state(_config(tmp_path, warm_start=str(saved_voice[0])), features)
    statistics = "encoder.convolutions.0.norm.running_mean"
    before = state.model.state_dict()[statistics].clone()
    events = run_events(state, lambda: "at once")
    started = events[0]
    assert started.update == 0
    assert started.data["start"] == state.start
    assert {"loss", "alignment", "gate_f1"} <= started.data["start"].keys()
    assert not torch.equal(state.model.state_dict()[statistics], before), "its statistics are those of the new corpus"
    told = started.data["warm_start"]
    assert (told["voice"], told["left_out"]) == (str(saved_voice[0]), [])
    assert set(told["new"]) == set(CYRILLIC)
    assert set(told["taken"]) | set(told["new"]) == set(features.used_symbols())
    resumed = run_events(open_state(state.config, features), lambda: "again")
    assert resumed[-1].kind is EventKind.STOPPED
    (again,) = [event for event in resumed if event.data.get("resumed")]
    assert (again.data["start"], "warm_start" in again.data) == (state.start, False)


def run_events(state: TrainingState, stop_reason: StopReason) -> list[Event]:
    train_on(state, stop_reason)
    return all_events(state.run_dir.events)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {}, "config": asdict(TrainerConfig()), "symbols": ["_"]}, "is missing, by its own configuration"),
        ({"model": {}, "config": 3, "symbols": ["_"]}, "is no voice: it has no `config`"),
        ({"state_dict": {}}, "must hold a `state_dict`, as NVIDIA/tacotron2 saves it"),
        ([1, 2], "holds no model"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_file_without_a_voice_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "a'; echo foo.pt"
    if content is not None:
        torch.save(content, path)
    with pytest.raises(UserError) as refused:
        warm_start(_config(tmp_path, warm_start=str(path)))
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
