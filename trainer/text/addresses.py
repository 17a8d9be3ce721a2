"""Web and e-mail addresses, as they are dictated: www.example.com is "w w w dot example dot com".

Covers names that end with a usual domain, and everything after `http://` and `www.`. A name alone whose ending is a
word of the language is none: "Visit me.It is fun." lacks a space. The scheme is not spoken, as nobody says it; every
other sign has a word.
"""

import re
from collections.abc import Collection, Mapping

from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.spelling import cardinal

_NAMED = (
    r"(?:com|org|net|edu|gov|int|info|dev|app|io|co|eu|uk|us|de|fr|es|it|nl|pl|ua|by|kz|ru|su|ca|au|nz|jp|cn|br|ch)"
)
_HOST = rf"(?:[a-z0-9](?:[a-z0-9-]{{0,62}}[a-z0-9])?\.){{1,4}}{_NAMED}(?![a-z_])"
_PATH = r"(?:[/?#][\w./?=&%#~+:@-]{0,200}(?<![.?:]))?"
_EMAIL = rf"[a-z0-9][\w.+-]{{0,62}}@{_HOST}"
_ADDRESS = re.compile(
    rf"(?<![a-z_])(?:{_EMAIL}|(?:https?://|(?=www\.))[a-z0-9][\w.-]{{1,200}}(?<![.-])(?::\d+)?{_PATH}|{_HOST}{_PATH})",
    re.ASCII | re.IGNORECASE,
)
_ALONE = re.compile(r"(?!www\.)[\w.-]+\.(?P<ending>[a-z]+)", re.ASCII | re.IGNORECASE)
_SCHEME = re.compile("https?://", re.IGNORECASE)
_PARTS = re.compile(r"\d+|[a-z]+|[^a-z\d]", re.ASCII)


def addresses(language: str, signs: Mapping[str, str], words: Collection[str] = ()) -> Rule:
    """signs: the word of each sign of an address in `language`; words: the endings that are words of it."""

    def speak(match: re.Match[str]) -> str | None:
        alone = _ALONE.fullmatch(match[0])
        if alone and alone["ending"].lower() in words:
            return None
        address = _SCHEME.sub("", match[0]).lower()
        return " ".join(_part(part, language, signs) for part in _PARTS.findall(address))

    return rule(ExpansionKind.ADDRESS, _ADDRESS, speak)


def _part(part: str, language: str, signs: Mapping[str, str]) -> str:
    if part.isdigit():
        return cardinal(part, language)
    return "w w w" if part == "www" else signs.get(part, part)
