"""The system, and which folders have modules of our names. Standard library only."""

import platform
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path

import trainer
from trainer.findings import Finding, State

NAMES = ("smart_tuner", "trainer")


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
    mend = "use one of these; on Windows install WSL (`wsl --install`), and Smart Tuner within it"
    return Finding("system", State.ERROR, f"{text} Smart Tuner runs on Linux and macOS.", mend)


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
