"""Written text to text that consists of symbols only; no character is dropped silently.

Covers Unicode composition, lower case, typographic signs, stress marks, numbers (`trainer.text.numbers`)
and white space. Does not cover abbreviations ("Mr.", "т. е.") and currencies: texts are expected to
have them written out, as in the third column of LJSpeech.
"""

import re
import unicodedata
from collections.abc import Mapping

from trainer.text.numbers import spell_numbers
from trainer.text.reading import UnknownCharacter
from trainer.text.symbols import READABLE, STRESS, VOWELS

_PLAIN: Mapping[str, str] = {
    **dict.fromkeys("«»“”„‟″", '"'),
    **dict.fromkeys("‘’‚‛′ʼ`´", "'"),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    "…": "...",
    "[": "(",
    "]": ")",
}

# As English spells its loanwords (café, façade, Müller). Other languages written in Latin letters soon
# need a letter that is missing here, and are refused rather than read as English.
_LOANWORDS: Mapping[str, str] = {
    **dict.fromkeys("àâ", "a"),
    **dict.fromkeys("èéêë", "e"),
    **dict.fromkeys("îï", "i"),
    "ç": "c",
    "ñ": "n",
    "ô": "o",
    "ü": "u",
    "æ": "ae",
    "œ": "oe",
}

_ACUTE = re.compile(f"([{VOWELS}]\u0308?)\u0301")
_LONE_STRESS = re.compile(rf"\{STRESS}(?![{VOWELS}])")


def normalise(text: str, language: str) -> str:
    """Return `text` in symbols only; numbers become words of `language` ("en" or "ru").

    A combining acute after a vowel becomes `+` before it. Normalising again changes nothing. Raises UnknownCharacter
    for the first character that has no symbol, and for a `+` or an acute that belongs to no vowel.
    """
    # The stress mark comes first: with a Latin vowel it would compose to another letter.
    marked = _ACUTE.sub(rf"{STRESS}\1", text.lower())
    composed = unicodedata.normalize("NFC", marked)
    letters = {**_PLAIN, **_LOANWORDS} if language == "en" else _PLAIN
    _refuse_unknown(composed, letters)
    spelled = spell_numbers(composed, language)
    plain = "".join(letters.get(character, character) for character in spelled)
    return " ".join(plain.split())


def _refuse_unknown(text: str, letters: Mapping[str, str]) -> None:
    for position, character in enumerate(text):
        known = character in READABLE or character in letters or character in "0123456789" or character.isspace()
        if not known:
            raise UnknownCharacter(character, position)
    if lone := _LONE_STRESS.search(text):
        raise UnknownCharacter(STRESS, lone.start())
