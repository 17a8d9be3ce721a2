"""The commands that messages give: for this environment, and for the place from which Smart Tuner was installed."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer import installing
from trainer.installing import extra_command, install_command, project_command, reinstall_command

Place = Callable[[object], None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """What pip leaves of Smart Tuner in an environment; told: its direct_url.json, None for an index."""

    def put(told: object) -> None:
        info = tmp_path / "site" / "smart_tuner-1.0.0.dist-info"
        info.mkdir(parents=True)
        needs = "Requires-Dist: optuna<6,>=5\nRequires-Dist: psycopg[binary]>=3.1; extra == 'postgresql'\n"
        head = "Metadata-Version: 2.1\nName: smart-tuner\nVersion: 1.0.0\n"
        (info / "METADATA").write_text(head + needs, encoding="utf-8")
        if told is not None:
            (info / "direct_url.json").write_text(json.dumps(told), encoding="utf-8")
        monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])

    monkeypatch.setattr(sys, "executable", "/opt/my env/bin/python")
    monkeypatch.setattr(installing, "find_spec", lambda name: object())
    return put


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """With what a shell would not take for a part of the name."""
    folder = tmp_path / "my 'tuner'"
    folder.mkdir()
    return folder


def test_of_an_index_the_name_is_given(installed: Place) -> None:
    installed(None)
    assert extra_command("onnx") == "'/opt/my env/bin/python' -m pip install 'smart-tuner[onnx]'"
    assert project_command("--no-deps") == "'/opt/my env/bin/python' -m pip install --no-deps smart-tuner"


def test_of_a_checkout_or_a_wheel_its_path_is_given(installed: Place, checkout: Path) -> None:
    installed({"url": checkout.as_uri(), "dir_info": {}})
    assert shlex.split(extra_command("onnx"))[1:] == ["-m", "pip", "install", f"{checkout}[onnx]"]


def test_of_an_editable_checkout_the_link_is_kept(installed: Place, checkout: Path) -> None:
    installed({"url": checkout.as_uri(), "dir_info": {"editable": True}})
    assert shlex.split(project_command())[1:] == ["-m", "pip", "install", "--editable", str(checkout)]


def test_a_wheel_that_was_removed_is_not_named(installed: Place, tmp_path: Path) -> None:
    installed({"url": (tmp_path / "gone.whl").as_uri(), "archive_info": {}})
    assert shlex.split(extra_command("onnx"))[-1] == "smart-tuner[onnx]"


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (
            {"url": "https://git.example/tuner.git", "vcs_info": {"vcs": "git", "commit_id": "ab12"}},
            "smart-tuner[onnx] @ git+https://git.example/tuner.git@ab12",
        ),
        (
            {"url": "https://files.example/smart_tuner-1.0.0-py3-none-any.whl", "archive_info": {}},
            "smart-tuner[onnx] @ https://files.example/smart_tuner-1.0.0-py3-none-any.whl",
        ),
    ],
)
def test_of_another_place_its_url_is_given(installed: Place, told: object, named: str) -> None:
    installed(told)
    assert shlex.split(extra_command("onnx"))[-1] == named


def test_of_modules_that_are_not_installed_the_checkout_is_given(
    installed: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [])
    root = Path(__file__).parents[2]
    assert shlex.split(extra_command("onnx"))[-2:] == ["--editable", f"{root}[onnx]"]
    monkeypatch.setattr(installing, "__file__", str(tmp_path / "trainer" / "installing.py"))
    assert shlex.split(extra_command("onnx"))[-1] == "smart-tuner[onnx]"


def test_a_package_is_installed_again_in_a_version_that_fits(installed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(None)
    asked = shlex.split(reinstall_command("Optuna", "psycopg", "another"))
    assert asked[4:] == ["--force-reinstall", "--no-cache-dir", "optuna<6,>=5", "psycopg[binary]>=3.1", "another"]
    monkeypatch.setattr(sys, "path", [])
    assert shlex.split(reinstall_command("optuna"))[-1] == "optuna"


def test_without_pip_uv_installs_into_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an environment of `uv tool install`."""
    monkeypatch.setattr(sys, "executable", "/opt/tool/bin/python")
    monkeypatch.setattr(installing, "find_spec", lambda name: None)
    assert install_command("optuna<6,>=5") == "uv pip install --python /opt/tool/bin/python 'optuna<6,>=5'"
