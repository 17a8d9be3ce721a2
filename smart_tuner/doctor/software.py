"""The system, Python, the installed packages, and which folders have modules of our names."""

import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import trainer
from smart_tuner.formatting import counted
from trainer.findings import Finding, State

PROJECT = "smart-tuner"
NAMES = ("smart_tuner", "trainer")
_DEVELOPMENT = "dev"  # the extra whose packages nobody needs who runs studies


def check_system() -> Finding:
    name, release = platform.system(), platform.release()
    text = f"{platform.platform(terse=True)}, {platform.machine()}."
    if name == "Linux" and "microsoft" in release.lower():
        mend = "keep workspace and recordings on Linux's own disk (not below /mnt/c): it is many times as fast"
        return Finding("system", State.NOTE, f"WSL: {text} Not tested on it.", mend)
    if name == "Linux":
        return Finding("system", State.OK, text)
    if name == "Darwin":
        mend = "trials run on the CPU; GPUs of Apple are not used"
        return Finding("system", State.NOTE, f"macOS: {text} Not tested on it.", mend)
    return Finding("system", State.ERROR, f"{text} Runs on Linux alone.", "on Windows use WSL 2")


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
        return Finding("packages", State.WARNING, text, "pip install -e . in its folder")
    always = [each for each in needed if _is_needed(each, "")]
    optional = [each for each in needed if each not in always and _extra(each) not in ("", _DEVELOPMENT)]
    wrong = [text for each in always if (text := _wrong(each, installed, optional=False))]
    wrong_optional = [text for each in optional if (text := _wrong(each, installed, optional=True))]
    if wrong or wrong_optional:
        state = State.ERROR if wrong else State.WARNING
        told = dict.fromkeys((*wrong, *wrong_optional))  # several extras may ask for the same
        unfit = " ".join(f"'{each.partition(': ')[0]}'" for each in told)
        return Finding("packages", state, f"{'; '.join(told)}.", f"pip install {unfit}")
    text = f"smart-tuner {own}; {counted(len(always), 'package')} that it needs, each in a version that fits."
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


def check_import_names(path: Iterable[str] | None = None) -> Finding:
    """Whether another folder of Python's path, or the current one, has a module of one of our names.

    That which hides ours is `smart_tuner.trainer_package`'s, since then no check runs. path: of Python, by default.
    """
    check = "import names"
    ours, theirs = (Path(file).resolve().parents[up] for file, up in ((__file__, 2), (str(trainer.__file__), 1)))
    if ours != theirs:
        text = f"smart_tuner is that in {ours}, and trainer that in {theirs}: two installations are mixed."
        return Finding(check, State.ERROR, text, "take one of them off PYTHONPATH, or uninstall it")
    here = Path.cwd().resolve()
    others = list(_others(ours, sys.path if path is None else path))
    if not others:
        return Finding(check, State.OK, f"smart_tuner and trainer are those in {ours}; nothing else has these names.")
    found = "; ".join(f"{place / name}" for name, place in others)
    text = f"smart_tuner and trainer are those in {ours}, but these have the same names: {found}."
    if all(place == here for _, place in others):
        mend = "start in another folder: `python -m trainer`, and Python in this folder, take those"
    elif any(name == "smart_tuner" for name, _ in others):
        mend = "Smart Tuner is there twice: uninstall one, or take it off PYTHONPATH"
    else:
        mend = "install Smart Tuner into an environment of its own: what needs the other package fails here"
    return Finding(check, State.WARNING, text, mend)


def _others(ours: Path, path: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Names and folders. A folder without `__init__.py` hides nothing."""
    places = dict.fromkeys(Path(place or ".").resolve() for place in (*path, "."))
    for place in places:
        for name in NAMES:
            spec = PathFinder.find_spec(name, [str(place)])
            if spec is not None and spec.origin is not None and place != ours:
                yield name, place
