"""Secrets, kept out of whatever people, logs and other processes get to see."""

import re
from collections.abc import Mapping
from urllib.parse import unquote, unquote_plus

from pydantic import Secret

_SECRET_KEY = r"[?&][^=&\s]*(?:password|passwd|pwd|token|secret|key)[^=&\s]*="
_QUERY_VALUE = re.compile(rf"(?i){_SECRET_KEY}([^&]*)")
_SECRETS = (
    # Greedy up to the last @, because an unescaped password may hold @ and /: better too much hidden than too little.
    re.compile(r"(?<=://)[^:/\s]*:(\S*)@"),
    re.compile(r"(?<=://)([^:/@\s]+)@"),  # without a colon it may be a token as well as a name
    re.compile(r"(?<![\w.+:/-])[\w.+%-]+:(?!/)(\S*)@"),  # whose scheme was forgotten; not models:/name@alias
    re.compile(r"(?i)\b(?:password|passwd|pwd)=('[^']*'|[^\s&'\"]+)"),  # as libpq writes it: host=h password=p
    # A quote or a bracket ends the value only where the word ends behind it: a password may hold them.
    re.compile(rf"(?i){_SECRET_KEY}([^&\s]*?)(?=['\"]?[,.;:)}}\]]*(?:[&\s]|$))"),
)
_LINE_CHARACTERS = 400
# A shorter secret is masked by its place alone: wherever else its letters stand, *** in their place would tell them.
_TELLING_CHARACTERS = 6
_PASSWORD = re.compile(r"[^:/]+://[^:/]*:(.*)@", re.DOTALL)


def masked(text: str) -> str:
    """`postgresql://me:hunter2@host/db` -> `postgresql://me:***@host/db`; also inside a longer text."""
    pieces: list[str] = []
    shown = 0
    for start, end in sorted(found.span(1) for kind in _SECRETS for found in kind.finditer(text)):
        if start >= shown or not pieces:
            pieces += [text[shown:start], "***"]
        shown = max(shown, end)
    return "".join([*pieces, text[shown:]])


def masked_answer(text: str, *urls: str) -> str:
    """What a driver said that was given `urls`, masked: it may repeat a password without the URL around it.

    Where a URL can be read in two ways, because its password may hold an @ that is not escaped, a driver takes
    the end of the password for the host, and names it: then nothing of its words is shown.
    """
    secrets = {secret for url in urls for secret in _secrets_of(url)}
    if any("@" in secret for secret in secrets):
        return "what it says is withheld, for it may name a part of the password; write @ : / ? # in one as %40 %3A ..."
    for url in filter(None, urls):  # first: a password with a blank in it is known by its place here alone
        text = text.replace(url, _masked_url(url))
    for secret in sorted(_spellings(secrets), key=len, reverse=True):
        if len(secret) >= _TELLING_CHARACTERS:
            text = text.replace(secret, "***")
    return masked(text)


def _secrets_of(url: str) -> list[str]:
    return [secret for kind in (_PASSWORD, _QUERY_VALUE) for secret in kind.findall(url)]


def _masked_url(url: str) -> str:
    """One that is known to be one, as a whole."""
    if (found := _PASSWORD.match(url)) is not None:
        url = f"{url[: found.start(1)]}***{url[found.end(1) :]}"
    return masked(url)


def masked_line(error: BaseException | str, *urls: str) -> str:
    """The same of an error, in one line that is not too long for a log."""
    return masked_answer(" ".join(str(error).split()), *urls)[:_LINE_CHARACTERS]


def _spellings(secrets: set[str]) -> set[str]:
    """As they stand in the URL, decoded, and as Python writes them between quotes."""
    plain = {spelling for secret in secrets for spelling in (secret, unquote(secret), unquote_plus(secret))}
    return {spelling for secret in plain - {""} for spelling in (secret, repr(secret)[1:-1])}


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """For a process of ours: the tuner's own settings, read in whatever case, may hold secrets that are none of its."""
    own = ("SMART_TUNER_", "TELEGRAM_")
    return {name: value for name, value in environment.items() if not name.upper().startswith(own)}


class SecretUrl(Secret[str]):
    """A URL that may carry a password: `repr` and `str` show it masked, `get_secret_value` gives it whole."""

    def _display(self) -> str:
        return masked(self.get_secret_value())
