#!/usr/bin/env python3
"""Shows what pip-audit found; exit code 1 for a known vulnerability, and for a package that the index does not know.

`pip-audit --format json ... | scripts/vulnerabilities.py`. pip-audit itself passes where nothing could be looked up,
for instance behind a mirror of pypi.org that has no advisories.
"""

import json
import sys
from typing import Any

LOCAL = "+"  # of a version that no index has, such as 2.13.0+cpu: its public version is looked up by nobody


def main() -> int:
    found = sys.stdin.read()
    if not found:  # it has said why
        return 1
    packages = [each for each in json.loads(found)["dependencies"] if not is_editable(each)]
    known = [each for each in packages if "vulns" in each]
    unknown = [each["name"] for each in packages if "vulns" not in each and LOCAL not in each["skip_reason"]]
    problems = [
        f"{package['name']} {package['version']}: {one['id']}, mended in {', '.join(one['fix_versions']) or 'none yet'}"
        for package in known
        for one in package["vulns"]
    ]
    if unknown:
        problems.append(
            f"not looked up: {len(unknown)} of {len(packages)} packages, unknown to the index (is it pypi.org?): "
            + ", ".join(sorted(unknown))
        )
    print(f"known vulnerabilities: looked up {len(known)} of {len(packages)} packages")
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


def is_editable(package: dict[str, Any]) -> bool:
    """Whether it is this project itself."""
    return "editable" in package.get("skip_reason", "")


if __name__ == "__main__":
    sys.exit(main())
