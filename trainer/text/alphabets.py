"""Latin and Cyrillic letters in one text: a mistake inside a word, and seldom right in a whole word.

Many letters of both look alike, so that nobody sees the mistake; the model reads two symbols. Inside a word, such
letters cannot be read. A whole word is read by its letters, and named: Cyrillic ones where the language has no such
letters, and Latin letters alone that look like a Russian word, such as `c`. Latin words in Russian are usual. Other
alphabets are not compared: the table of characters has none, and phonemes keep to the scripts of the language.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from trainer.text.plain import Plain, plain
from trainer.text.reading import UnknownCharacter, UnknownCharacters, character_name
from trainer.text.scripts import script_of, scripts_of

_LATIN, _CYRILLIC = "LATIN", "CYRILLIC"
_ALIKE = dict(zip("АВЕКМНОРСТУХаекорсух", "ABEKMHOPCTYXaekopcyx", strict=True))  # Cyrillic, Latin
_NOT_RUSSIAN = dict(zip("ІЈЅіјѕ", "IJSijs", strict=True))
_LOOKS_LIKE = {**_ALIKE, **_NOT_RUSSIAN, **{latin: cyrillic for cyrillic, latin in _ALIKE.items()}}
_RUSSIAN_WORDS = frozenset("авикосу")  # of one letter
_WORD = re.compile(r"[^\W\d_]+(?:[+\u0300-\u036f]+[^\W\d_]+)*")  # a mark of a stress does not end it
_HAS_LATIN, _HAS_CYRILLIC = re.compile(r"[A-Za-z\u00c0-\u024f]"), re.compile(r"[\u0400-\u052f]")


def refuse_letters(text: Plain, language: str, unknown: Iterable[UnknownCharacter]) -> None:
    """unknown: characters that cannot be read for another reason. Raises UnknownCharacters with them and all letters of
    another alphabet inside a word.
    """
    found = {each.position: each for each in unknown} | {each.position: each for each in _mixed_letters(text, language)}
    if found:
        raise UnknownCharacters([found[position] for position in sorted(found)])


def _mixed_letters(text: Plain, language: str) -> list[UnknownCharacter]:
    """The letters of the other alphabet in words that have both, in order. They are the rarer ones of a word; of equal
    numbers, those that are not of the language.
    """
    if not (_HAS_LATIN.search(text.text) and _HAS_CYRILLIC.search(text.text)):
        return []
    return [letter for word in _WORD.finditer(text.text) for letter in _mixed(word, text, _own(language))]


def words_of_another_alphabet(written: str, language: str) -> list[str]:
    """Whole words in another alphabet than that of `language` that are probably a mistake, each once, in order."""
    own = _own(language)
    text = plain(written).text
    return list(dict.fromkeys(word[0] for word in _WORD.finditer(text) if _is_doubtful(word[0], own)))


def look_alike(letter: str) -> str | None:
    """The letter of the other alphabet that looks as `letter` does."""
    return _LOOKS_LIKE.get(letter)


def _own(language: str) -> str:
    return _CYRILLIC if _CYRILLIC in scripts_of(language) else _LATIN


def _is_doubtful(word: str, own: str) -> bool:
    if own == _LATIN:
        return _HAS_CYRILLIC.search(word) is not None
    return script_of(word[0]) == _LATIN and _LOOKS_LIKE.get(word, "").lower() in _RUSSIAN_WORDS


def _mixed(word: re.Match[str], text: Plain, own: str) -> Iterator[UnknownCharacter]:
    scripts = Counter(script for letter in word[0] if (script := script_of(letter)) in (_LATIN, _CYRILLIC))
    if len(scripts) < 2:
        return
    rarer = min(scripts, key=lambda script: (scripts[script], script == own))
    for at, letter in enumerate(word[0], word.start()):
        if script_of(letter) == rarer:
            yield UnknownCharacter(letter, text.positions[at], _problem(letter, word[0], rarer), mixed=True)


def _problem(letter: str, word: str, script: str) -> str:
    other = _LATIN if script == _CYRILLIC else _CYRILLIC
    alike = look_alike(letter)
    hint = f", and looks like {alike!r} ({character_name(alike)})" if alike else ""
    return f"is a {script.capitalize()} letter in the {other.capitalize()} word {word!r}{hint}"
