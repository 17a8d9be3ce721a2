"""Finds a study by path or by name, and reads it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smart_tuner.errors import StudyError
from smart_tuner.spec import overrides as changes
from smart_tuner.spec.study import StudySpec, parse_study
from smart_tuner.strict_yaml import read_mapping
from smart_tuner.workspace import shipped
from trainer.strict import nearest


def load_study(
    name_or_path: str, overrides: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None
) -> StudySpec:
    """Read a study: the path of a YAML file, or the name of a study in ./studies or of a shipped one.

    overrides: dotted keys of the study with their values, as `parse_overrides` returns them for `--set`.
    options: keys that have a command line option of their own, such as `name`.
    Raises StudyError with every problem, one per line: file, key, value, how to fix it.
    """
    path = find_study(name_or_path)
    raw = read_mapping(path, StudyError)
    where = str(path)
    if overrides or options:
        raw = changes.apply(raw, {**(overrides or {}), **(options or {})})
        where = f"{path} with {changes.as_typed(overrides or {}, options or {})}"
    return parse_study(raw, where)


def find_study(name_or_path: str) -> Path:
    """Raises StudyError with the known studies and the nearest name."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        _refuse_other(path)
        if path.is_file():
            return path
        raise StudyError(f"{path}: there is no such file; {_offer(path.stem)}")
    for folder in _folders():
        if name_or_path and (found := folder / f"{name_or_path}.yaml").is_file():
            return found
    _refuse_other(path)
    raise StudyError(f"`{name_or_path}`: there is no study of this name; {_offer(name_or_path)}")


def _refuse_other(path: Path) -> None:
    """Raises StudyError for a folder and for a Markdown file."""
    if str(path) != "." and path.is_dir():
        raise StudyError(f"{path}: is a folder; give the YAML file of a study.")
    if path.suffix == ".md" and path.is_file():
        raise StudyError(f"{path}: is a Markdown file; give the YAML file of a study.")


def known_studies() -> list[str]:
    """The names that `load_study` accepts in this working directory."""
    return sorted({path.stem for folder in _folders() for path in folder.glob("*.yaml")})


def _folders() -> tuple[Path, ...]:
    return Path("studies"), shipped("studies")


def _offer(name: str) -> str:
    known = known_studies()
    listed = "known: " + ", ".join(f"`{study}`" for study in known)
    guess = nearest(name, known)
    return f"{listed}." if guess == listed else f"{guess}; {listed}."
