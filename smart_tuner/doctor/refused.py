"""What `doctor` says where another package called `trainer` hides ours: nothing else can be imported, or checked.

Uses the standard library alone.
"""

from collections.abc import Sequence

from smart_tuner.doctor.plain_output import print_plainly

CHECK = "import names"
MEND = "other checks need Smart Tuner's own package `trainer`: mend this first"


def print_refused(reason: str, arguments: Sequence[str]) -> int:
    """arguments: of `doctor`. Returns the exit code."""
    print_plainly([{"check": CHECK, "state": "error", "found": reason, "mend": MEND}], "error", arguments)
    return 1
