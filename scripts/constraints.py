#!/usr/bin/env python3
"""The versions of all packages in the image, as constraints for pip: `python scripts/constraints.py > constraints.txt`.

They are those that are installed where it runs: an environment with the Python of the Dockerfile, and the newest
packages. A version for one kind of processor alone (`torch 2.13.0+cpu`) is written without its label, which pip then
takes from the index that it is given. For a torch with CUDA, torch itself names the versions of CUDA's packages.
"""

import re
from importlib.metadata import version
from pathlib import Path

from closure import closure, read_project

ROOT = Path(__file__).parents[1]


def main() -> None:
    project = read_project(ROOT / "pyproject.toml")
    found = re.search(r"'\.(\[.*\])'", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert found, "the Dockerfile installs this project with some extras"
    print("# The image's packages (Dockerfile). Written by: python scripts/constraints.py > constraints.txt")
    for name in sorted(closure([*project["dependencies"], project["name"] + found[1]], project)):
        print(f"{name}=={version(name).partition('+')[0]}")


if __name__ == "__main__":
    main()
