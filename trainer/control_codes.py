"""Text from files without the codes that change a terminal or the order of what it shows. Standard library only."""

import re

_CODES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # such as colours and movements of the cursor
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # all others but tab and line feed
    r"|[\u202a-\u202e\u2066-\u2069]"  # what turns the direction of writing
)


def without_control_codes(text: str) -> str:
    """With tabs and line feeds."""
    return _CODES.sub("", text)
