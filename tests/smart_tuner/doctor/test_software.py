"""What `doctor` says of the system, and of modules of our names."""

import sys
from pathlib import Path

import pytest

import smart_tuner
from smart_tuner.doctor.software import check_import_names, check_system
from trainer.findings import State


@pytest.mark.parametrize(
    ("name", "release", "state", "said"),
    [
        ("Linux", "6.8.0-45-generic", State.OK, ""),
        ("Linux", "5.15.153.1-microsoft-standard-WSL2", State.NOTE, "WSL: "),
        ("Darwin", "23.5.0", State.NOTE, "macOS: "),
        ("Windows", "11", State.ERROR, "runs on Linux and macOS"),
    ],
)
def test_the_system_is_named(name: str, release: str, state: State, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: name)
    monkeypatch.setattr("platform.release", lambda: release)
    finding = check_system()
    assert finding.state is state
    assert said in finding.found


def put(folder: Path, name: str) -> Path:
    package = folder / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')\n", encoding="utf-8")
    return folder


@pytest.fixture
def ours() -> str:
    return str(Path(str(smart_tuner.__file__)).parent.parent)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_nothing_else_has_our_names(ours: str, tmp_path: Path) -> None:
    (tmp_path / "trainer").mkdir()  # without __init__.py it hides nothing
    finding = check_import_names([ours, str(tmp_path), f"{sys.prefix}/no such folder"])
    assert finding.state is State.OK, finding


def test_a_trainer_in_the_current_folder_is_a_warning(ours: str, elsewhere: Path) -> None:
    put(elsewhere, "trainer")
    finding = check_import_names([ours])
    assert finding.state is State.WARNING
    assert f"{elsewhere}/trainer" in finding.found
    assert finding.mend.startswith("start in another folder")


def test_a_trainer_that_ours_hides_is_a_warning(ours: str, tmp_path: Path) -> None:
    finding = check_import_names([ours, str(put(tmp_path / "site", "trainer"))])
    assert finding.state is State.WARNING
    assert f"{tmp_path}/site/trainer" in finding.found
    assert "environment of its own" in finding.mend


def test_a_second_smart_tuner_is_a_warning(ours: str, tmp_path: Path) -> None:
    finding = check_import_names([ours, str(put(tmp_path / "site", "smart_tuner"))])
    assert (finding.state, "twice" in finding.mend) == (State.WARNING, True)


def test_packages_of_two_installations_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.__file__", str(tmp_path / "trainer" / "__init__.py"))
    finding = check_import_names()
    assert (finding.state, "two installations are mixed" in finding.found) == (State.ERROR, True)
