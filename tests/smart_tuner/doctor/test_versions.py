"""What `doctor` says of Python and packages."""

from importlib.metadata import PackageNotFoundError, version

import pytest

from smart_tuner.doctor import versions
from smart_tuner.doctor.versions import check_packages, check_python
from trainer.findings import State
from trainer.installing import install_command, project_command


def test_an_old_python_is_an_error_with_the_version_that_is_needed() -> None:
    assert check_python().state is State.OK
    finding = check_python("3.9.2")
    assert (finding.state, "needs >=3.11" in finding.found) == (State.ERROR, True)
    assert "Python >=3.11" in finding.mend


def test_the_packages_of_this_environment_fit() -> None:
    finding = check_packages()
    assert finding.state is State.OK, finding


def test_a_package_that_is_too_old_or_missing_is_an_error() -> None:
    def installed(name: str) -> str:
        if name == "psutil":
            raise PackageNotFoundError(name)
        return "4.1.0" if name == "optuna" else version(name)

    finding = check_packages(installed)
    assert finding.state is State.ERROR
    assert finding.found == "optuna<6,>=5: 4.1.0 is installed; psutil>=6: is not installed."
    assert finding.mend == install_command("optuna<6,>=5", "psutil>=6")


def test_a_wrong_package_of_an_extra_is_a_warning_and_a_missing_one_nothing() -> None:
    def installed(name: str) -> str:
        if name in ("pocketsphinx", "ray", "onnx"):
            raise PackageNotFoundError(name)
        return "2.0" if name == "phonemizer" else "0.0" if name == "ruff" else version(name)

    finding = check_packages(installed)
    assert (finding.state, finding.found) == (State.WARNING, "phonemizer>=3.3: 2.0 is installed.")


def test_a_folder_that_is_not_installed_has_no_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PROJECT", "no-such-package")
    finding = check_packages()
    assert (finding.state, finding.mend) == (State.WARNING, project_command())
    assert check_python().state is State.OK
