"""Passwords in URLs, kept out of whatever people and logs get to see."""

import re

from pydantic import Secret

# Greedy up to the last @, because an unescaped password may hold @ and /: better too much hidden than too little.
_USERINFO = re.compile(r"(?<=://)([^:/@\s]*):\S*@")
_TOKEN = re.compile(r"(?<=://)[^:/@\s]+@")  # without a colon it may be a token as well as a name
_QUERY = re.compile(r"(?i)([?&][^=&\s]*(?:password|passwd|pwd|token|secret|key)[^=&\s]*=)[^&\s'\"]*")


def masked(text: str) -> str:
    """`postgresql://me:hunter2@host/db` -> `postgresql://me:***@host/db`; also inside a longer text."""
    return _QUERY.sub(r"\1***", _USERINFO.sub(r"\1:***@", _TOKEN.sub("***@", text)))


class SecretUrl(Secret[str]):
    """A URL that may carry a password: `repr` and `str` show it masked, `get_secret_value` gives it whole."""

    def _display(self) -> str:
        return masked(self.get_secret_value())
