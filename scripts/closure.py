"""Which installed packages the requirements of a project lead to. Reads their metadata, and asks nobody."""

import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOR_DEVELOPERS = frozenset({"dev", "docs"})  # extras that who uses the project does not install


def read_project(pyproject: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return project


def extras_of_users(project: Mapping[str, Any]) -> dict[str, list[str]]:
    """The requirements of each extra that is not for developers."""
    extras = project.get("optional-dependencies", {})
    return {name: requirements for name, requirements in extras.items() if name not in FOR_DEVELOPERS}


def closure(requirements: Sequence[str], project: Mapping[str, Any]) -> set[str]:
    """The names of the installed packages. A requirement that is not installed is left out.

    A requirement of the project itself leads to those of the extras that it names.
    """
    extras = project.get("optional-dependencies", {})
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        if name == project["name"]:
            waiting += [Requirement(each) for extra in requirement.extras for each in extras[extra]]
            continue
        try:
            waiting += _needed_by(requirement)
            found.add(name)
        except PackageNotFoundError:
            continue
    return found


def _needed_by(requirement: Requirement) -> list[Requirement]:
    environments = [{"extra": extra} for extra in ("", *requirement.extras)]
    return [
        each
        for each in map(Requirement, distribution(requirement.name).requires or ())
        if each.marker is None or any(each.marker.evaluate(environment) for environment in environments)
    ]
