"""What `doctor` says where another package called `trainer` hides ours: nothing else can be imported, or checked.

Uses the standard library alone. The form is that of `smart_tuner.doctor.output`.
"""

import json
from collections.abc import Sequence

CHECK = "import names"
MEND = "other checks need Smart Tuner's own package `trainer`: mend this first"


def print_refused(reason: str, arguments: Sequence[str]) -> int:
    """arguments: of `doctor`. Returns the exit code."""
    if "--json" in arguments:
        finding = {"check": CHECK, "state": "error", "found": reason, "mend": MEND}
        print(json.dumps({"state": "error", "checks": [finding]}, indent=2, ensure_ascii=False))
    else:
        print(f"error    {CHECK}  {reason}\n         {MEND}\n1 error.")
    return 1
