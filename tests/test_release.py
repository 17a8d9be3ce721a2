"""`scripts/release` refuses what is not ready or not checked, before anything is built, and a wheel that fails."""

import re
import subprocess
import tomllib
import zipfile
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = "smart_tuner/_shipped"
INSTALLING = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, at work in a repository that is ready for its version 2.0.0."""
    loader = SourceFileLoader("release", str(ROOT / "scripts" / "release"))
    spec = spec_from_loader("release", loader)
    assert spec is not None
    script = module_from_spec(spec)
    loader.exec_module(script)
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "2.0.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 2.0.0\n\n## 1.0.0\n")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "quickstart.yaml").touch()
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "all")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setitem(script.PROJECT["project"], "version", "2.0.0")
    return script


class Programs:
    """Stands in for all programs but git: the commands, and what they write. failing: the command that fails."""

    def __init__(self, release: ModuleType, failing: str = "") -> None:
        self.commands: list[str] = []
        self.version = "smart-tuner 2.0.0"
        self._release = release
        self._failing = failing
        self._run = release.run

    def run(self, *command: str | Path, **more: Any) -> str:
        if command[0] == "git":
            return str(self._run(*command, **more))
        self.commands.append(" ".join([Path(command[0]).name, *map(str, command[1:])]))
        if self._failing and self._failing in self.commands[-1]:
            raise self._release.Refused(f"`{self._failing}` failed")
        return self.version


@pytest.fixture
def programs(release: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Programs]:
    """Makes programs that stand in for those that the script runs; its wheel is complete."""

    def made(failing: str = "") -> Programs:
        stand_in = Programs(release, failing)
        monkeypatch.setattr(release, "run", stand_in.run)
        monkeypatch.setattr(release.venv, "create", lambda *_, **__: None)
        monkeypatch.setattr(release, "build", lambda _: wheel(tmp_path.parent, f"{SHIPPED}/studies/quickstart.yaml"))
        return stand_in

    return made


IN_ITS_ENVIRONMENT = ["--version", "doctor", "init demo:en:24", "validate studies/demo-en-24.yaml"]


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, timeout=30)


def wheel(folder: Path, *names: str) -> Path:
    path = folder / "smart_tuner-2.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return path


def test_a_tree_that_is_not_ready_is_refused(release: ModuleType, tmp_path: Path) -> None:
    def why(version: str = "2.0.0") -> str:
        with pytest.raises(release.Refused) as refused:
            release.refuse_unready(version, f"v{version}")
        return str(refused.value)

    release.refuse_unready("2.0.0", "v2.0.0")
    assert "CHANGELOG.md must begin with a section `## 3.0.0`" in why("3.0.0")
    git(tmp_path, "tag", "v2.0.0")
    assert "there is a tag v2.0.0 already" in why()
    (tmp_path / "new").touch()
    assert why().endswith("?? new")
    git(tmp_path, "switch", "--quiet", "--create", "other")
    assert "made from main, and this is other" in why()


def test_a_wheel_with_other_files_than_the_tree_is_refused(release: ModuleType, tmp_path: Path) -> None:
    about = "smart_tuner-2.0.0.dist-info/METADATA"
    release.refuse_other_files(wheel(tmp_path, f"{SHIPPED}/studies/quickstart.yaml", about))
    with pytest.raises(release.Refused, match=r"lacks smart_tuner/_shipped/studies/quickstart\.yaml"):
        release.refuse_other_files(wheel(tmp_path, "studies/quickstart.yaml"))
    with pytest.raises(release.Refused, match=r"has smart_tuner/_shipped/config/local\.yaml, which git does not track"):
        release.refuse_other_files(
            wheel(tmp_path, f"{SHIPPED}/studies/quickstart.yaml", f"{SHIPPED}/config/local.yaml", about)
        )


def test_a_wheel_has_the_studies_and_settings_that_git_tracks_and_no_secret_beside_them() -> None:
    """A folder would be packed whole: with config/local.yaml, which holds passwords, and with studies of one's own."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no repository of git")
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "studies", "config/*.yaml"],
        check=True,
        timeout=30,
        capture_output=True,
        text=True,
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert packed == {file: f"smart_tuner/_shipped/{file}" for file in listed.stdout.splitlines()}


def test_the_versions_of_python_in_the_metadata_are_those_that_were_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [last for *_, last in (each.split(" :: ") for each in project["classifiers"]) if last.startswith("3.")]
    tried = re.search(r"The tests run with Python (3\.\d+)\. With (3\.\d+) .* and (3\.\d+)", INSTALLING)
    assert tried is not None
    assert named == [*tried.groups()]
    assert project["requires-python"] == f">={named[0]}"


def test_what_is_released_is_checked_and_tried(
    release: ModuleType, programs: Callable[..., Programs], tmp_path: Path
) -> None:
    ran = programs()
    release.main([])
    assert ran.commands[:2] == ["check", "audit"]
    assert ran.commands[2].endswith("smart_tuner-2.0.0-py3-none-any.whl[demo]")
    assert ran.commands[3:] == [f"smart-tuner {command}" for command in IN_ITS_ENVIRONMENT]
    assert release.git("tag", "--list") == "v2.0.0"


def test_checks_are_left_out_where_that_is_asked_for(release: ModuleType, programs: Callable[..., Programs]) -> None:
    ran = programs()
    release.main(["--skip-checks", "--dry-run"])
    assert not {"check", "audit"} & set(ran.commands)
    assert release.git("tag", "--list") == ""
    with pytest.raises(release.Refused, match="usage"):
        release.main(["--skip-check"])


@pytest.mark.parametrize("failing", ["check", "audit", "doctor", "init"])
def test_what_fails_sets_no_tag_and_nothing_runs_after_it(
    release: ModuleType, programs: Callable[..., Programs], failing: str
) -> None:
    ran = programs(failing)
    with pytest.raises(release.Refused, match=failing):
        release.main([])
    assert failing in ran.commands[-1]
    assert release.git("tag", "--list") == ""


def test_a_wheel_of_another_version_is_refused(release: ModuleType, programs: Callable[..., Programs]) -> None:
    programs().version = "smart-tuner 1.0.0"
    with pytest.raises(release.Refused, match=r"says 'smart-tuner 1\.0\.0' to --version"):
        release.main([])


def test_the_checks_run_with_the_programs_of_the_environment(
    release: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMART_TUNER_JOBS", "7")
    said = release.run("sh", "-c", "echo $PATH; echo jobs $SMART_TUNER_JOBS")
    assert said.startswith(f"{tmp_path}/.venv/bin:")
    assert said.endswith("jobs")
