"""Where a package that Smart Tuner needs is missing or broken: `doctor` says which, others end with one sentence."""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from smart_tuner.cli import app
from smart_tuner.doctor import incomplete, versions
from smart_tuner.doctor.incomplete import cure_of, package_at_fault, print_incomplete
from trainer.findings import Finding, State
from trainer.installing import install_command, project_command, reinstall_command

MISSING = ModuleNotFoundError("No module named 'rich'", name="rich")
# As where nothing is installed but packaging and pip.
ALONE = """
import sys
class Hidden:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "smart_tuner", "trainer", "packaging", "pip"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden)
from smart_tuner.cli.app import main
main()
"""


def alone(*arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-P", "-c", ALONE, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def raised_by(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> Exception:
    """What the import of a package `fragile` raises, whose code that is."""
    (folder / "fragile").mkdir()
    (folder / "fragile" / "__init__.py").write_text("import fragile.inner\n", encoding="utf-8")
    (folder / "fragile" / "inner.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    try:
        import fragile  # type: ignore[import-not-found]  # noqa: F401
    except Exception as error:
        return error
    finally:
        for name in ("fragile", "fragile.inner"):
            sys.modules.pop(name, None)
    raise AssertionError("it can be imported")


@pytest.fixture
def few_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look through all that are installed takes long."""
    monkeypatch.setattr(incomplete, "packages_distributions", lambda: {"yaml": ["PyYAML", "PyYAML"]})


@pytest.mark.parametrize(
    ("code", "package"),
    [
        ("import no_such_package.part", "no_such_package"),
        ("from json import no_such_name", "json"),
        ("raise ImportError('the C extension was built for another Python')", "fragile"),
        ("raise SystemError('the installed fragile-core is incompatible')", "fragile"),
        ("from smart_tuner import no_such_name", None),
    ],
)
def test_the_package_is_named_whose_import_failed(
    code: str, package: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert package_at_fault(raised_by(tmp_path, monkeypatch, code)) == package


def test_an_error_without_an_import_names_no_package() -> None:
    assert package_at_fault(ValueError("wrong")) is None


def test_a_missing_package_is_installed_and_a_broken_one_installed_again(few_packages: None) -> None:
    assert cure_of("yaml") == reinstall_command("PyYAML")
    assert cure_of("no_such_package") == cure_of(None) == project_command()


def test_doctor_says_what_it_can(
    few_packages: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def installed(name: str) -> str:
        if name == "rich":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(incomplete, "check_import_names", lambda: Finding("import names", State.OK, "ours."))
    monkeypatch.setattr(versions.check_packages, "__defaults__", (installed,))
    assert print_incomplete(MISSING, "rich", ["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok       system        ")
    assert "error    packages      rich>=13.7: is not installed." in lines
    assert f"{' ' * 23}{install_command('rich>=13.7')}" in lines
    assert "error    imports       rich cannot be imported (No module named 'rich'); the other checks need it." in lines
    assert lines[-1] == "2 errors."


def test_without_packaging_doctor_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for module in ("smart_tuner.doctor.versions", "packaging", "packaging.requirements"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    monkeypatch.delattr("smart_tuner.doctor.versions", raising=False)
    print_incomplete(MISSING, "rich", ["doctor", "--json"])
    told = {check["check"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert told.keys() == {"system", "Python", "packages", "import names", "imports"}
    assert "packaging cannot be imported" in told["packages"]["found"]
    assert (told["packages"]["state"], told["packages"]["mend"]) == ("error", install_command("packaging"))


def test_doctor_needs_nothing_but_python_and_packaging() -> None:
    ended = alone("doctor", "--json")
    assert (ended.returncode, ended.stderr) == (1, "")
    told = json.loads(ended.stdout)
    states = {check["check"]: check["state"] for check in told["checks"]}
    assert (told["state"], states["imports"], states["packages"]) == ("error", "error", "ok")


def test_any_other_command_ends_with_one_sentence() -> None:
    ended = alone("status")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("The Python package `")
    assert ended.stderr.endswith(f"needs: {project_command()}\n")
    assert ended.stderr.count("\n") == 1


def test_a_mistake_of_ours_is_none_of_a_package() -> None:
    assert app._report_incomplete(ImportError("cannot import name", name="smart_tuner.study"), ["status"]) is None
