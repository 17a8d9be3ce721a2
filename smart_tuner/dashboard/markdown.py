"""Text as markdown: what comes from logs and people must not become markup, links, pictures or formulas."""

import re

_SPECIAL = re.compile(r"[\\`*_\[\]<>~$&|#!]")


def plain(text: str, longest: int = 400) -> str:
    """On one line, and not longer than that."""
    line = " ".join(text.split())
    return _SPECIAL.sub(r"\\\g<0>", line if len(line) <= longest else line[: longest - 3] + "...")
