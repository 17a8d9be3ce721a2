"""A study may fix a voice that its trials start from; then it cannot search parameters that shape the weights."""

import json
from pathlib import Path
from typing import Any

import pytest
from lab import STUDY, Lab, study_spec
from tuner_process import no_corpus

import smart_tuner.run.corpus
from smart_tuner.errors import StudyError
from trainer.config import AS_THE_VOICE, TrainerConfig

REDUCTION = {"model.reduction": {"type": "int", "low": 1, "high": 3}}
DROPOUT = {"model.decoder_dropout": {"type": "float", "low": 0, "high": 0.3}}


def test_shapes_are_not_searched_beside_a_voice_to_start_from() -> None:
    fixed = {"warm_start": "voice.pt"}
    with pytest.raises(StudyError) as refused:
        study_spec(fixed=fixed, search={**STUDY["search"], **REDUCTION})
    assert "`search.model.reduction` must not be searched beside `fixed.warm_start`" in str(refused.value)
    assert study_spec(fixed=fixed, search={**STUDY["search"], **DROPOUT}).fixed == fixed
    assert study_spec(search={**STUDY["search"], **REDUCTION})


def test_preset_voice_needs_a_voice() -> None:
    with pytest.raises(StudyError) as refused:
        study_spec(preset="voice", fixed={"text.kind": "characters", "batch.size": 8})
    assert str(refused.value).count("needs") == 1
    assert "`preset` = voice needs `fixed.warm_start`, the voice to start from" in str(refused.value)
    assert study_spec(preset="voice", fixed={"continue_from": "last.pt"})


@pytest.mark.parametrize("key", ["model.reduction", "model.encoder_dim"])
def test_sizes_are_not_set_with_preset_voice(key: str) -> None:
    with pytest.raises(StudyError) as refused:
        study_spec(preset="voice", fixed={"warm_start": "voice.pt", key: 4})
    assert f"`fixed.{key}` must not be set with `preset: voice`" in str(refused.value)


def test_trials_with_preset_voice_leave_the_sizes_to_the_trainer(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_tuner.run.corpus, "prepare_corpus", lambda *_, **__: no_corpus())
    fixed = {"warm_start": "voice.pt", "model.decoder_dropout": 0.2}
    lab.define(preset="voice", fixed=fixed)
    lab.tuner().optimize(1)
    config = TrainerConfig.load(lab.run_dir(0).config)
    assert (config.preset, config.model.reduction, config.model.decoder_dropout) == ("voice", AS_THE_VOICE, 0.2)


def test_the_voice_itself_is_not_searched() -> None:
    choices = {"warm_start": {"type": "categorical", "choices": ["a.pt", "b.pt"]}}
    with pytest.raises(StudyError, match=r"`search.warm_start` must not be searched"):
        study_spec(search={**STUDY["search"], **choices})


def test_the_voice_is_checked_once_and_trials_get_its_absolute_path(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[TrainerConfig] = []

    def prepare(config: TrainerConfig, *_: Any) -> dict[str, Any]:
        asked.append(config)
        return no_corpus()

    monkeypatch.setattr(smart_tuner.run.corpus, "prepare_corpus", prepare)
    monkeypatch.chdir(lab.path)
    lab.define(fixed={"warm_start": "a'; echo foo.pt", "model.reduction": 1})
    lab.tuner().optimize(1)
    path = str(Path(lab.path).absolute() / "a'; echo foo.pt")
    (config,) = asked
    assert (config.warm_start, config.preset, config.model.reduction) == (path, "tiny", 1)
    assert json.loads(lab.run_dir(0).config.read_text(encoding="utf-8"))["warm_start"] == path
