"""What was found, printed by the standard library alone. The form is that of `smart_tuner.doctor.output`."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence


def print_plainly(checks: Sequence[Mapping[str, str]], state: str, arguments: Sequence[str]) -> None:
    """checks: each with `check`, `state`, `found`, `mend`. state: the worst. arguments: of `doctor`."""
    if "--json" in arguments:
        print(json.dumps({"state": state, "checks": checks}, indent=2, ensure_ascii=False))
        return
    wide = max(len(each["check"]) for each in checks)
    for each in checks:
        print(f"{each['state']:<7}  {each['check']:<{wide}}  {each['found']}")
        if each["mend"]:
            print(f"{'':<7}  {'':<{wide}}  {each['mend']}")
    print(summary([each["state"] for each in checks]))


def summary(states: Sequence[str]) -> str:
    """Such as "1 error, 2 warnings."."""
    count = Counter(states)
    parts = [f"{count[name]} {name}{'' if count[name] == 1 else 's'}" for name in ("error", "warning") if count[name]]
    return f"{', '.join(parts) or 'Nothing is wrong'}."
