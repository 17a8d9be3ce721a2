"""Keeps secrets out of messages and logs."""

import re
from urllib.parse import unquote, unquote_plus

from pydantic import Secret

_SECRET_KEY = r"[?&][^=&\s]*(?:password|passwd|pwd|token|secret|key)[^=&\s]*="
_QUERY_VALUE = re.compile(rf"(?i){_SECRET_KEY}([^&]*)")
_SECRETS = (
    # Greedy up to the last @, since an unescaped password may contain @ and /: better mask too much.
    re.compile(r"(?<=://)[^:/\s]*:(\S*)@"),
    re.compile(r"(?<=://)([^:/@\s]+)@"),  # a name without a colon may be a token
    re.compile(r"(?<![\w.+:/-])[\w.+%-]+:(?!/)(\S*)@"),  # a URL without its scheme; not models:/name@alias
    re.compile(r"(?i)\b(?:password|passwd|pwd)=('[^']*'|[^\s&'\"]+)"),  # libpq's form: host=h password=p
    # A quote or a bracket ends the value only at the end of the word: a password may contain them.
    re.compile(rf"(?i){_SECRET_KEY}([^&\s]*?)(?=['\"]?[,.;:)}}\]]*(?:[&\s]|$))"),
)
_LINE_CHARACTERS = 400
# A shorter secret is masked only where it stands in a URL. Masking the same letters elsewhere would reveal them.
SECRET_CHARACTERS = 6
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
    """The message of a driver that got `urls`, masked: it may repeat a password without the URL around it.

    If a password may contain an unescaped @, a driver takes the end of the password for the host, and names it in its
    message. Then nothing of the message is shown.
    """
    secrets = {secret for url in urls for secret in _secrets_of(url)}
    if any("@" in secret for secret in secrets):
        return "its message is withheld: it may contain a part of the password; write @ : / ? # in one as %40 %3A ..."
    for url in filter(None, urls):  # first: only its place in the URL shows where a password with a blank ends
        text = text.replace(url, _masked_url(url))
    for secret in sorted(_spellings(secrets), key=len, reverse=True):
        if len(secret) >= SECRET_CHARACTERS:
            text = text.replace(secret, "***")
    return masked(text)


def _secrets_of(url: str) -> list[str]:
    return [secret for kind in (_PASSWORD, _QUERY_VALUE) for secret in kind.findall(url)]


def _masked_url(url: str) -> str:
    """`masked` for a text that is one whole URL."""
    if (found := _PASSWORD.match(url)) is not None:
        url = f"{url[: found.start(1)]}***{url[found.end(1) :]}"
    return masked(url)


def masked_line(error: BaseException | str, *urls: str) -> str:
    """`masked_answer` of an error, as one line that is short enough for a log."""
    return masked_answer(" ".join(str(error).split()), *urls)[:_LINE_CHARACTERS]


def _spellings(secrets: set[str]) -> set[str]:
    """The secrets as in the URL, decoded, and as in Python's `repr`."""
    plain = {spelling for secret in secrets for spelling in (secret, unquote(secret), unquote_plus(secret))}
    return {spelling for secret in plain - {""} for spelling in (secret, repr(secret)[1:-1])}


class SecretUrl(Secret[str]):
    """A URL that may contain a password: `repr` and `str` mask it, `get_secret_value` returns it whole."""

    def _display(self) -> str:
        return masked(self.get_secret_value())
