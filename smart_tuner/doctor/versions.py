"""Which versions of Python and of packages are installed, and which Smart Tuner needs. Imports `packaging` alone."""

import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from trainer.findings import Finding, State
from trainer.installing import install_command, project_command

PROJECT = "smart-tuner"
_DEVELOPMENT = "dev"  # the extra whose packages nobody needs who runs studies


def check_python(running: str = platform.python_version()) -> Finding:
    text = f"Python {running} ({sys.executable})."
    try:
        needed = str(metadata(PROJECT).json.get("requires_python", ""))
    except PackageNotFoundError:
        needed = ""
    if SpecifierSet(needed).contains(running, prereleases=True):
        return Finding("Python", State.OK, text)
    mend = f"make an environment with a Python {needed}, and install Smart Tuner there"
    return Finding("Python", State.ERROR, f"{text} Smart Tuner needs {needed}.", mend)


def check_packages(installed: Callable[[str], str] = version) -> Finding:
    """Whether each package has a version that ours needs. installed: raises PackageNotFoundError."""
    try:
        needed = [Requirement(text) for text in requires(PROJECT) or ()]
        own = version(PROJECT)
    except PackageNotFoundError:
        text = "Smart Tuner runs from a folder and is not installed: which versions it needs is not known."
        return Finding("packages", State.WARNING, text, project_command())
    always = [each for each in needed if _is_needed(each, "")]
    optional = [each for each in needed if each not in always and _extra(each) not in ("", _DEVELOPMENT)]
    wrong = [text for each in always if (text := _wrong(each, installed, optional=False))]
    wrong_optional = [text for each in optional if (text := _wrong(each, installed, optional=True))]
    if wrong or wrong_optional:
        state = State.ERROR if wrong else State.WARNING
        told = dict.fromkeys((*wrong, *wrong_optional))  # several extras may ask for the same
        unfit = [each.partition(": ")[0] for each in told]
        return Finding("packages", state, f"{'; '.join(told)}.", install_command(*unfit))
    text = f"smart-tuner {own}; {len(always)} packages that it needs, each in a version that fits."
    return Finding("packages", State.OK, text)


def _extra(requirement: Requirement) -> str:
    """Of our extras, that which asks for it; empty where none does, or it is our own package with other extras."""
    if requirement.name == PROJECT:
        return ""
    extras = metadata(PROJECT).get_all("Provides-Extra") or []
    return next((extra for extra in extras if _is_needed(requirement, extra)), "")


def _is_needed(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _wrong(requirement: Requirement, installed: Callable[[str], str], *, optional: bool) -> str:
    """`optuna>=5,<6: 4.1 is installed`; empty where nothing is wrong."""
    wanted = f"{requirement.name}{requirement.specifier}"
    try:
        found = installed(requirement.name)
    except PackageNotFoundError:
        return "" if optional else f"{wanted}: is not installed"
    return "" if requirement.specifier.contains(found, prereleases=True) else f"{wanted}: {found} is installed"
