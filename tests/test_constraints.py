"""The image has the packages that constraints.txt names: all that it needs, in versions that fit pyproject.toml."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = dict(line.split("==") for line in LINES if not line.startswith("#"))


def test_the_image_is_made_with_them() -> None:
    assert re.findall(r"pip install (.*)", DOCKERFILE) == ["--no-cache-dir -c constraints.txt '.[demo,postgresql]'"]
    assert not [version for version in PINS.values() if "+" in version], "of one kind of processor alone"


def test_each_package_that_the_image_needs_has_a_version() -> None:
    python = re.findall(r"(?m)^FROM python:(\d+\.\d+)", DOCKERFILE)
    if python != [f"{sys.version_info.major}.{sys.version_info.minor}"]:
        pytest.skip("another Python needs other packages than that of the image")
    done = subprocess.run([sys.executable, ROOT / "scripts" / "constraints.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    needed = {line.partition("==")[0] for line in done.stdout.splitlines() if not line.startswith("#")}
    assert PINS.keys() == needed, "run: python scripts/constraints.py > constraints.txt"


def test_the_versions_fit_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *extras["phonemes"], *extras["vocoder"], *extras["postgresql"]]
    for requirement in map(Requirement, requirements):
        assert PINS[canonicalize_name(requirement.name)] in requirement.specifier, requirement
