"""Configurations are parsed strictly, merged over a preset, and lose nothing in JSON."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_origin

import pytest

from trainer.config import EFFECTIVE_WHEN, NOT_SEARCHABLE, PRESETS, RANGES, TrainerConfig, field_types, suggest_key
from trainer.dotted import flatten, merge, unflatten
from trainer.errors import ConfigError, UserError

NEEDED: dict[str, dict[str, Any]] = {  # the settings that a key needs to have an effect
    "schedule.final_factor": {"schedule": {"kind": "cosine"}},
    "schedule.decay_share": {"schedule": {"kind": "wsd"}},
    "model.encoder_dim": {},
}


def _parse(raw: dict[str, Any]) -> TrainerConfig:
    return TrainerConfig.from_mapping(raw, "here.json")


def _refusal(raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as refused:
        _parse(raw)
    text = str(refused.value)
    assert text.startswith("here.json: ")
    assert "\n" not in text
    return text


def test_the_default_is_the_full_model() -> None:
    assert _parse({}) == TrainerConfig() == _parse({"preset": "full"})


def test_given_values_override_the_preset() -> None:
    config = _parse({"preset": "tiny", "model": {"prenet_dim": 32}, "optimizer": {"lr": 5e-4}})
    assert (config.model.prenet_dim, config.model.embedding_dim) == (32, 128)
    assert (config.optimizer.lr, config.optimizer.weight_decay) == (5e-4, 0.0)
    assert (config.model.reduction, config.batch.size) == (4, 16)
    assert config.model.location_kernel == TrainerConfig().model.location_kernel
    for key, value in flatten(PRESETS["tiny"]).items():
        assert flatten(asdict(_parse({"preset": "tiny"})))[key] == value


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_json_loses_nothing(preset: str) -> None:
    more = {"warm_start": "voice.pt"} if preset == "voice" else {}
    config = _parse({"preset": preset, "corpus": {"source": "/корпус/a'b"}, "seed": 7, **more})
    text = config.to_json()
    assert "корпус" in text
    assert TrainerConfig.from_mapping(json.loads(text)) == config
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("raw", "named", "nearest"),
    [
        ({"optimizer": {"learning_rat": 1e-3}}, "optimizer.learning_rat", "optimizer."),
        ({"optimizer": {"leg": 1e-3}}, "optimizer.leg", "optimizer.lr"),
        ({"optimiser": {"lr": 1e-3}}, "optimiser", "optimizer"),
        ({"model": {"reduktion": 2}}, "model.reduktion", "model.reduction"),
        ({"guided_attention": {"weigth": 2}}, "guided_attention.weigth", "guided_attention.weight"),
        ({"sed": 2}, "sed", "seed"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_one(raw: dict[str, Any], named: str, nearest: str) -> None:
    text = _refusal(raw)
    assert f"`{named}` is no known key" in text
    assert f"nearest: `{nearest}" in text


def test_for_a_key_without_a_similar_one_all_are_listed() -> None:
    text = _refusal({"loss": {"qqqq": 1}})
    assert "`loss.gate_positive_weight`" in text
    assert "`loss.gate_weight`" in text


def test_the_nearest_key_is_found_across_sections() -> None:
    assert suggest_key("lr") == "nearest: `optimizer.lr`"
    assert suggest_key("reduction") == "nearest: `model.reduction`"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("batch.size", "16", "of type int"),
        ("batch.size", 16.0, "of type int"),
        ("batch.size", True, "of type int"),
        ("batch.size", None, "of type int"),
        ("optimizer.lr", "fast", "of type float"),
        ("optimizer.lr", True, "of type float"),
        ("optimizer.lr", [1e-3], "of type float"),
        ("optimizer.lr", 10**400, "of type float"),
        ("corpus.source", 3, "of type str"),
        ("logging.pictures", 1, "of type bool"),
        ("logging.pictures", "yes", "of type bool"),
        ("optimizer.kind", "sgd", "one of 'adam', 'adamw'"),
        ("optimizer.kind", ["adam"], "one of 'adam', 'adamw'"),
        ("model", 3, "a mapping"),
        ("model", None, "a mapping"),
        ("preset", "huge", "one of ['full', 'tiny', 'voice']"),
        ("preset", ["tiny"], "one of ['full', 'tiny', 'voice']"),
    ],
)
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_wrong_type_is_refused(preset: str, key: str, value: object, message: str) -> None:
    text = _refusal({"preset": preset, **unflatten({key: value})})
    assert f"`{key}` must be {message}" in text


def test_an_integer_is_accepted_as_a_float_and_a_text_is_not() -> None:
    assert isinstance(_parse({"optimizer": {"gradient_clip": 1}}).optimizer.gradient_clip, float)
    assert "`optimizer.lr` must be of type float, but got '1e-4'" in _refusal({"optimizer": {"lr": "1e-4"}})


@pytest.mark.parametrize("key", sorted(RANGES))
def test_both_bounds_are_accepted_and_values_beyond_are_not(key: str) -> None:
    low, high = RANGES[key]
    whole = field_types()[key] is int
    needed = NEEDED.get(key, {})
    for value in (low - (1 if whole else 1e-3 * max(1.0, low)), high + (1 if whole else 1e-3 * max(1.0, high))):
        text = _refusal(merge(unflatten({key: value}), needed))
        assert f"`{key}` must lie between {low:g} and {high:g}, but got" in text
    if key.startswith("audio."):  # these also limit each other
        return
    for value in (low, high):
        assert flatten(asdict(_parse(merge(unflatten({key: value}), needed))))[key] == value


@pytest.mark.parametrize("key", sorted(key for key in RANGES if field_types()[key] is float))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused(key: str, value: float) -> None:
    assert f"`{key}` must lie between" in _refusal(merge(unflatten({key: value}), NEEDED.get(key, {})))


def test_every_number_has_a_range_and_every_rule_names_a_known_key() -> None:
    types = field_types()
    assert {key for key, kind in types.items() if kind in (int, float)} == set(RANGES)
    assert all(kind in (int, float, str, bool, str | int) or get_origin(kind) is Literal for kind in types.values())
    assert set(flatten(asdict(TrainerConfig()))) == set(types)
    assert set(EFFECTIVE_WHEN) | {needs.key for needs in EFFECTIVE_WHEN.values()} <= set(types)
    for prefix in NOT_SEARCHABLE:
        assert any(key == prefix or key.startswith(prefix) for key in types)
    for preset in PRESETS.values():
        assert set(flatten(preset)) <= set(types)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"audio": {"win_length": 2048}}, "must not exceed `audio.n_fft` (1024), but got 2048"),
        ({"audio": {"fmax": 12000.0}}, "fmax <= audio.sample_rate / 2` must hold"),
        ({"audio": {"fmin": 8000.0}}, "`audio.fmin < audio.fmax"),
        ({"model": {"encoder_dim": 33}}, "`model.encoder_dim` must be even"),
        ({"model": {"encoder_kernel": 4}}, "`model.encoder_kernel` must be odd"),
        ({"model": {"location_kernel": 30}}, "`model.location_kernel` must be odd"),
        ({"model": {"postnet_kernel": 2}}, "`model.postnet_kernel` must be odd"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(raw: dict[str, Any], message: str) -> None:
    assert message in _refusal(raw)


@pytest.mark.parametrize(
    ("key", "value", "other", "inert", "effective"),
    [
        ("guided_attention.weight", 0.7, "guided_attention.enabled", False, True),
        ("guided_attention.sigma", 0.7, "guided_attention.enabled", False, True),
        ("guided_attention.half_life_frames", 7, "guided_attention.enabled", False, True),
        ("schedule.final_factor", 0.7, "schedule.kind", "constant", "cosine"),
        ("corpus.validation_share", 0.2, "corpus.validation_source", "list.txt", ""),
        ("corpus.split_seed", 2, "corpus.validation_source", "list.txt", ""),
    ],
)
def test_a_key_without_effect_is_refused(key: str, value: Any, other: str, inert: Any, effective: Any) -> None:
    assert key in EFFECTIVE_WHEN
    text = _refusal(unflatten({key: value, other: inert}))
    assert f"`{key}` = {value!r} has no effect, since `{other}` is {inert!r}" in text
    assert EFFECTIVE_WHEN[key].requirement in text
    assert flatten(asdict(_parse(unflatten({key: value, other: effective}))))[key] == value


@pytest.mark.parametrize("raw", [{"guided_attention": {"enabled": False}}, {"corpus": {"validation_source": "v.txt"}}])
def test_inert_defaults_are_accepted_back_from_json(raw: dict[str, Any]) -> None:
    config = _parse(raw)
    assert _parse(json.loads(config.to_json())) == config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not valid JSON"),
        (b'"\xff"', "is not valid JSON"),
        (b"[1]", "must hold one JSON object, but got list"),
        (b'{"seed": "x"}', "`seed` must be of type int"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_file_without_a_configuration_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a'; echo foo.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="echo foo") as refused:
        TrainerConfig.load(path)
    assert message in str(refused.value)


def test_a_written_file_is_read_back(tmp_path: Path) -> None:
    config = _parse({"preset": "tiny", "paths": {"run": "прогон 1"}})
    path = tmp_path / "config.json"
    path.write_text(config.to_json(), encoding="utf-8")
    assert TrainerConfig.load(path) == config


def test_merging_changes_neither_side_and_flattening_is_reversible() -> None:
    base, over = {"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 4}, "b": {"z": 5}}
    assert merge(base, over) == {"a": {"x": 1, "y": 4}, "b": {"z": 5}}
    assert (base, over) == ({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 4}, "b": {"z": 5}})
    nested = asdict(TrainerConfig())
    assert unflatten(flatten(nested)) == nested


def test_an_earlier_name_of_a_key_is_read() -> None:
    config = _parse({"corpus": {"source": "x", "language": "ru"}})
    assert (config.corpus.source, config.text.language) == ("x", "ru")
    assert "language" not in json.loads(config.to_json())["corpus"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"language": "de"}, "for other languages set also `text.kind: phonemes`"),
        ({"kind": "phonemes"}, "`text.kind: phonemes` needs `text.language`, a language of espeak-ng such as de"),
        ({"kind": "ipa"}, "`text.kind` must be one of 'characters', 'phonemes'"),
    ],
)
def test_a_language_that_letters_do_not_show_needs_phonemes(text: dict[str, str], message: str) -> None:
    assert message in _refusal({"text": text})
    assert _parse({"text": {"kind": "phonemes", "language": "en-gb"}}).text.language == "en-gb"
