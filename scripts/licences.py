#!/usr/bin/env python3
"""The licences of what a user installs, and by which extra; exit code 1 for the GPL without one, or none known.

`scripts/licences.py [PYPROJECT]`. Reads the metadata of the packages that are installed where it runs, and asks nobody.
A package that an extra needs and that is not installed is left out. The LGPL counts as free to use: ours only import
such packages.
"""

import re
import sys
from collections import defaultdict
from email.message import Message
from importlib.metadata import distribution
from pathlib import Path

from closure import closure, extras_of_users, read_project

NEEDED = "needed"  # beside the names of extras
# Of packages whose metadata names none: from the file LICENSE in each.
UNNAMED = {
    "espeakng-loader": "GPL-3.0-or-later (of espeak-ng, which it carries)",
    "huey": "MIT",
    "skops": "MIT",
}
_COPYLEFT = re.compile(r"\bA?GPL|(?<!Lesser )General Public License")


def main(pyproject: Path) -> int:
    project = read_project(pyproject)
    users: dict[str, list[str]] = defaultdict(list)
    for user, requirements in {NEEDED: project["dependencies"], **extras_of_users(project)}.items():
        for package in sorted(closure(requirements, project)):
            users[package].append(user)
    problems = []
    for package, of in sorted(users.items()):
        licence = licence_of(package)
        shown = NEEDED if NEEDED in of else ", ".join(of)
        print(f"{package:32} {distribution(package).version:16} {licence or 'unknown':60} {shown}")
        if not licence:
            problems.append(f"{package}: names no licence; look into its file LICENSE, and add it to UNNAMED.")
        elif NEEDED in of and _COPYLEFT.search(licence):
            problems.append(f"{package}: has the licence {licence!r}, but is needed without an extra; make it one.")
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


def licence_of(package: str) -> str:
    """Empty where neither its metadata nor we know one."""
    metadata = distribution(package).metadata
    named = metadata.get("License-Expression") or "; ".join(classified(metadata)) or metadata.get("License") or ""
    return UNNAMED.get(package) or named.split("\n")[0][:60]


def classified(metadata: Message) -> list[str]:
    classifiers = metadata.get_all("Classifier") or []
    named = [each.split(" :: ")[-1] for each in classifiers if each.startswith("License :: ")]
    return [each for each in named if each != "OSI Approved"]  # which says no more than that it has one


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parents[1] / "pyproject.toml"))
