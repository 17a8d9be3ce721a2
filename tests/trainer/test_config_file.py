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
    ("content", "message"),
    [
        (b"a: [", "is not valid YAML"),
        (b'"\xff"', "is not valid YAML"),
        (b"!!python/object/apply:os.getcwd []", "is not valid YAML"),
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
