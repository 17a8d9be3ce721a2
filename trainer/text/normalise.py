"""Written English or Russian to the letters and signs that have symbols; no character is dropped silently.

Covers Unicode composition, lower case, typographic signs, stress marks and white space; what is spoken in another way
than it is written is found by the rules of `trainer.text.english` and `trainer.text.russian`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.text.accents import without_accent
from trainer.text.alphabets import refuse_letters
from trainer.text.english import RULES as ENGLISH
from trainer.text.expansion import Expansion, ExpansionKind, Rule, expansions, pieces
from trainer.text.plain import DASHES, Plain, plain
from trainer.text.reading import UnknownCharacter
from trainer.text.russian import RULES as RUSSIAN
from trainer.text.symbols import CYRILLIC, READABLE, STRESS, VOWELS

_RULES: Mapping[str, Sequence[Rule]] = {"en": ENGLISH, "ru": RUSSIAN}

_OPENING = frozenset(("", *"(\"'-", *DASHES))  # an expansion follows them without a space
_CLOSING = frozenset(("", *".,:;!?)\"'-", *DASHES))
_ACUTE = "\u0301"
_VOWELS = frozenset(VOWELS)
_STRESSABLE = _VOWELS & frozenset(CYRILLIC)


@dataclass(frozen=True)
class Normalised:
    text: str
    expansions: tuple[Expansion, ...]


def normalise(text: str, language: str) -> str:
    """Return `text` in symbols only, as it is spoken in `language` ("en" or "ru").

    A combining acute after a Russian vowel becomes `+` before it. Normalising again changes nothing. Raises
    UnknownCharacters with all characters that have no symbol, each `+` or acute that belongs to no vowel, and letters
    of the other alphabet inside a word.
    """
    return normalised(text, language).text


def normalised(text: str, language: str) -> Normalised:
    """As `normalise`, with what is spoken in another way than it is written."""
    given = plain(text)
    found = expansions(given.text, _RULES[language])
    spoken: list[str] = []
    accents: list[Expansion] = []
    unknown: list[UnknownCharacter] = []
    for start, written, expansion in pieces(given.text, found):
        if expansion is None:
            spoken.append(_letters(given, start, written, language, accents, unknown))
        else:
            spoken.append(_apart(given.text, expansion))
    refuse_letters(given, language, unknown)
    every = sorted([*found, *accents], key=lambda each: each.start)
    return Normalised(" ".join("".join(spoken).split()), tuple(every))


def _apart(text: str, expansion: Expansion) -> str:
    """With a space to what is beside it, except quotes, dashes and marks."""
    before, after = text[: expansion.start][-1:], text[expansion.end :][:1]
    return " " * (before not in _OPENING) + expansion.spoken + " " * (after not in _CLOSING)


def _letters(
    given: Plain,
    start: int,
    written: str,
    language: str,
    accents: list[Expansion],
    unknown: list[UnknownCharacter],
) -> str:
    """`written`, which begins at `start` and has no expansion, in symbols. Adds to `accents` and `unknown`."""
    spoken: list[str] = []
    for at, character in enumerate(written, start):
        lowered = character.lower()
        if language == "en" and (letters := without_accent(lowered)):
            accents.append(Expansion(ExpansionKind.ACCENT, at, character, letters))
            spoken.append(letters)
        elif character == _ACUTE and spoken and spoken[-1] in _STRESSABLE:
            spoken.insert(-1, STRESS)
        elif character in DASHES:
            spoken.append("-")
        elif lowered not in READABLE or (lowered == STRESS and given.text[at + 1 : at + 2].lower() not in _VOWELS):
            unknown.append(UnknownCharacter(character, given.positions[at]))
        else:
            spoken.append(lowered)
    return "".join(spoken)
