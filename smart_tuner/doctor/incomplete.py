"""Where a package that Smart Tuner needs is missing or broken: which one, what mends it, what `doctor` says then.

Uses the standard library alone, and `packaging` where it can be imported.
"""

import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import packages_distributions
from traceback import walk_tb

from smart_tuner.doctor.plain_output import print_plainly
from smart_tuner.doctor.software import NAMES, check_import_names, check_system
from trainer.findings import Finding, State, worst
from trainer.installing import install_command, project_command, reinstall_command


def package_at_fault(error: BaseException) -> str | None:
    """The import name of another's package whose import raised the error; None where none did."""
    if isinstance(error, ImportError) and error.name:
        return _of_others(error.name)
    # Not each package that is broken raises ImportError: pydantic has a SystemError for a pydantic-core that differs.
    importing = [
        frame.f_globals.get("__name__", "")
        for frame, _ in walk_tb(error.__traceback__)
        if frame.f_code.co_name == "<module>"
    ]
    return _of_others(importing[-1]) if importing else None


def cure_of(package: str | None) -> str:
    """The command that installs it, by its import name, or what Smart Tuner needs where that is not known."""
    owners = packages_distributions().get(package, ()) if package else ()
    return reinstall_command(*sorted(set(owners))) if owners else project_command()


def sentence(error: BaseException, package: str) -> str:
    """For any command."""
    return (
        f"The Python package `{package}` cannot be imported ({_in_one_line(error)}). `smart-tuner doctor` says what is "
        f"missing here; this installs all that Smart Tuner needs: {project_command()}"
    )


def print_incomplete(error: BaseException, package: str, arguments: Sequence[str]) -> int:
    """For `doctor`, with its arguments. Returns the exit code."""
    text = f"{package} cannot be imported ({_in_one_line(error)}); the other checks need it."
    found = [
        check_system(),
        *_versions(),
        check_import_names(),
        Finding("imports", State.ERROR, text, cure_of(package)),
    ]
    print_plainly([asdict(finding) for finding in found], worst(found), arguments)
    return 1


def _versions() -> list[Finding]:
    try:
        from smart_tuner.doctor.versions import check_packages, check_python
    except ImportError as error:
        text = f"packaging cannot be imported ({_in_one_line(error)}): versions were not compared."
        running = f"Python {platform.python_version()} ({sys.executable}); not compared with what is needed."
        return [
            Finding("Python", State.NOTE, running),
            Finding("packages", State.ERROR, text, install_command("packaging")),
        ]
    return [check_python(), check_packages()]


def _of_others(module: str) -> str | None:
    package = module.partition(".")[0]
    return None if package in ("__main__", *NAMES) else package


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
