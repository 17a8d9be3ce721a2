"""`scripts/release` refuses what is not ready, before anything is built, and a wheel with other files than git's."""

import re
import subprocess
import tomllib
import zipfile
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
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
    return script


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
    shipped, about = "smart_tuner/_shipped", "smart_tuner-2.0.0.dist-info/METADATA"
    release.refuse_other_files(wheel(tmp_path, f"{shipped}/studies/quickstart.yaml", about))
    with pytest.raises(release.Refused, match=r"lacks smart_tuner/_shipped/studies/quickstart\.yaml"):
        release.refuse_other_files(wheel(tmp_path, "studies/quickstart.yaml"))
    with pytest.raises(release.Refused, match=r"has smart_tuner/_shipped/config/local\.yaml, which git does not track"):
        release.refuse_other_files(
            wheel(tmp_path, f"{shipped}/studies/quickstart.yaml", f"{shipped}/config/local.yaml", about)
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
