"""A configuration file may be JSON or YAML; one that cannot be used is named."""

from pathlib import Path

import pytest

from trainer.config import TrainerConfig
from trainer.config_file import load_config
from trainer.errors import UserError


@pytest.mark.parametrize("ending", [".json", ".yaml", ".yml"])
def test_the_files_ending_selects_json_or_yaml(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"голос{ending}"
    path.write_text('{"preset": "tiny", "optimizer": {"lr": 0.001}}', encoding="utf-8")  # JSON is YAML, too
    assert load_config(path) == TrainerConfig.from_mapping({"preset": "tiny", "optimizer": {"lr": 0.001}})


@pytest.mark.parametrize(
    ("text", "rate"),
    [("4e-3", 4e-3), ("4E-3", 4e-3), (".4e-2", 4e-3), ("4_0.0e-4", 4e-3), ("0.004", 4e-3), ("+4.e-3", 4e-3), ("1", 1)],
)
def test_numbers_are_those_of_yaml_1_2(tmp_path: Path, text: str, rate: float) -> None:
    path = tmp_path / "voice.yaml"
    path.write_text(f"optimizer: {{lr: {text}}}\nbudget: {{frames: 0_100}}\n", encoding="utf-8")
    config = load_config(path)
    assert config.optimizer.lr == pytest.approx(rate)
    assert config.budget.frames == 100, "a leading 0 does not make a number octal"


@pytest.mark.parametrize("text", ["10:30", "1:2.5", "2026-01-31", "4e-3x", "1e", "0x"])
def test_what_is_no_number_is_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "voice.yaml"
    path.write_text(f"corpus: {{source: {text}}}\n", encoding="utf-8")
    assert load_config(path).corpus.source == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "is not valid YAML"),
        (b'"\xff"', "is not valid YAML"),
        (b"!!python/object/apply:os.getcwd []", "is not valid YAML"),
        (b"seed: 1\nseed: 2", "the key `seed` is given twice"),
        (b"seed: 0b_", "is not valid YAML"),
        (b"a: &a [" + b"1," * 400 + b"]\nb: &b [" + b"*a," * 400 + b"]", "more than 100,000 values"),
        (b"a: &a {b: *a}", "holds itself by an alias"),
        (b"{a: " * 500, "nested too deeply"),
        (b"- 1", "must hold one mapping of keys to values, but got list"),
        (b"seed: x", "`seed` must be of type int"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_file_without_a_configuration_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a'; echo foo.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="echo foo") as refused:
        load_config(path)
    assert message in str(refused.value)
