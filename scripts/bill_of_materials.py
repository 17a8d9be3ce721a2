#!/usr/bin/env python3
"""Leaves in a bill of materials what a user installs: this project's requirements, with all extras but developers' own.

`cyclonedx-py environment ... | scripts/bill_of_materials.py [PYPROJECT] > build/sbom.json`. The bill, in CycloneDX's
format, is that of an environment which has everything for developers, too.
"""

import json
import sys
from pathlib import Path
from typing import Any

from closure import closure, extras_of_users, read_project
from packaging.utils import canonicalize_name


def main(pyproject: Path) -> None:
    project = read_project(pyproject)
    with_extras = f"{project['name']}[{','.join(extras_of_users(project))}]"
    names = closure([*project["dependencies"], with_extras], project)
    json.dump(of_packages(json.load(sys.stdin), names), sys.stdout, indent=2)


def of_packages(bill: dict[str, Any], names: set[str]) -> dict[str, Any]:
    components = [each for each in bill["components"] if canonicalize_name(each["name"]) in names]
    kept = {each["bom-ref"] for each in (*components, bill["metadata"]["component"])}
    dependencies = [
        {**each, "dependsOn": [other for other in each.get("dependsOn", ()) if other in kept]}
        for each in bill["dependencies"]
        if each["ref"] in kept
    ]
    return {**bill, "components": components, "dependencies": dependencies}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parents[1] / "pyproject.toml")
