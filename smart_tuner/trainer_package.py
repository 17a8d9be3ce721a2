"""Checks that the import name `trainer` is our own package: Coqui's TTS, for example, has one of the same name.

The name cannot change: models registered in MLflow name `trainer.pyfunc` as their loader. Uses the standard library
alone, and imports no `trainer`, neither ours nor another.
"""

from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

_NAME = "trainer"
_MARK = 'PROJECT = "smart-tuner"'  # a line of our own trainer/__init__.py


class OtherTrainer(ImportError):
    """Another package hides ours. Exit code 2. No UserError: `smart_tuner.errors` cannot be imported then."""


def refuse_other_trainer() -> None:
    """Raises OtherTrainer, in one sentence that names the other package and says what to do."""
    spec = find_spec(_NAME)
    if spec is None or spec.loader is None or spec.origin is None:
        where = f" in {next(iter(spec.submodule_search_locations or ()), '?')}" if spec else ""
        raise OtherTrainer(
            f"Smart Tuner's package `{_NAME}` is missing{where}, perhaps removed with another one of that name: "
            "install Smart Tuner again by the command that installed it, with `--force-reinstall` (pipx: `--force`)."
        )
    if _is_ours(spec):
        return
    folder = Path(spec.origin).parent
    owner = _owner(Path(spec.origin))
    whose = f"{owner.metadata['Name']} {owner.version} ({folder})" if owner else str(folder)
    fix = "install Smart Tuner into an environment of its own (python3 -m venv .venv)" if owner else _fix(folder.parent)
    raise OtherTrainer(f"The import name `{_NAME}` belongs to {whose} here, and hides Smart Tuner's own: {fix}.")


def _fix(place: Path) -> str:
    """How to take away a place of Python's path that is no installed package."""
    if place.resolve() == Path.cwd():
        return "start the command in another folder"
    return f"take {place} off PYTHONPATH"


def _is_ours(spec: ModuleSpec) -> bool:
    read = getattr(spec.loader, "get_source", None)
    source = read(_NAME) if read else None
    return source is None or _MARK in source.splitlines()  # without source, it is taken for ours


def _owner(file: Path) -> Distribution | None:
    """The installed package, other than ours, to which the file belongs."""
    for name in packages_distributions().get(_NAME, []):
        found = distribution(name)
        if name != "smart-tuner" and Path(str(found.locate_file(f"{_NAME}/{file.name}"))).resolve() == file.resolve():
            return found
    return None
