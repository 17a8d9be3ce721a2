"""Written text to phonemes in the International Phonetic Alphabet, by phonemizer and espeak-ng.

Covers which characters a text of a language may have, and the signs that are kept between the words. Numbers,
abbreviations and foreign words are read by espeak-ng; for English and Russian by our own rules first. Both packages are
optional and under the GPL-3: loaded when needed.
"""

import logging
import re
import threading
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from trainer.errors import ConfigError
from trainer.installing import extra_command
from trainer.strict import nearest
from trainer.text.alphabets import refuse_letters
from trainer.text.normalise import Normalised, normalised
from trainer.text.phoneme_symbols import PHONEMES
from trainer.text.plain import DASHES, Plain, plain
from trainer.text.reading import Reading, UnknownCharacter, UnreadableText
from trainer.text.scripts import script_of, scripts_of
from trainer.text.symbols import STRESS

# What people write -> the one of several that espeak-ng has.
_ALIASES: Mapping[str, str] = {"en": "en-us", "fr": "fr-fr", "zh": "cmn", "no": "nb", "pt-pt": "pt"}
_OWN_RULES: Mapping[str, str] = {"en": "en", "ru": "ru"}  # by the language without its region

_MARKS = ';:,.!?¡¿—"()'  # kept between the words
_SIGNS: Mapping[str, str] = {
    **dict.fromkeys("。।॥።።｡", "."),
    **dict.fromkeys("、，،፣", ","),
    **dict.fromkeys("！", "!"),
    **dict.fromkeys("？؟", "?"),
    **dict.fromkeys("；؛", ";"),
    **dict.fromkeys("：", ":"),
    **dict.fromkeys("「」『』《》", '"'),
    **dict.fromkeys("（", "("),
    **dict.fromkeys("）", ")"),
    **dict.fromkeys(DASHES, "-"),
}
_READ_BY_ESPEAK = frozenset("%‰&+=§°/@#'-·\u200c\u200d") | frozenset(_MARKS)
_BETWEEN_DIGITS = re.compile(r"(?<=\d):(?=\d)")  # 10:30 is two numbers and no mark
_DASH = re.compile(r"(?<=\s)-+(?=\s)|^-+(?=\s)|(?<=\s)-+$")
_log = logging.getLogger(__name__)


class Phonemiser:
    """Reads one language. Any number of threads may call it."""

    def __init__(self, language: str) -> None:
        """Raises ConfigError where espeak-ng does not know `language`, or is not installed."""
        self._backend = _backend(language)
        self._rules = _OWN_RULES.get(language.partition("-")[0])
        self._scripts = scripts_of(_ALIASES.get(language, language))
        self._language = language
        self._lock = threading.Lock()  # a voice of espeak-ng has a state

    def read(self, text: str) -> Reading:
        """Raises UnknownCharacters with those that are read in no way, UnreadableText for other texts."""
        if self._rules:
            self._refuse(plain(text), self._is_of_its_letters)  # our rules keep English and Russian letters
            read = normalised(text, self._rules)
        else:
            read = Normalised(self._words(text), ())
        words = read.text
        if self._rules and STRESS in words:
            raise UnreadableText(
                "marks a stress, which espeak-ng does not follow; remove the mark, or set `text.kind: characters`"
            )
        with self._lock:
            spoken = "".join(self._backend.phonemize([_as_espeak_reads(words)], strip=True))
        phonemes = " ".join(spoken.replace("—", "-").split())
        if any(map(str.isalnum, words)) and not any(map(str.isalpha, phonemes)):
            raise UnreadableText(f"espeak-ng says nothing for {words[:60]!r}")
        for symbol in phonemes:
            if symbol not in _KNOWN:
                raise UnreadableText(f"espeak-ng reads it as {phonemes!r}, in which {symbol!r} has no symbol")
        return Reading(text, words, phonemes, read.expansions)

    def _words(self, text: str) -> str:
        given = plain(text)
        self._refuse(given, lambda character: self._is_read(_SIGNS.get(character, character)))
        return " ".join("".join(_SIGNS.get(character, character) for character in given.text).split())

    def _refuse(self, given: Plain, is_read: Callable[[str], bool]) -> None:
        problem = f"is not read in {self._language!r}"
        letters = zip(given.text, given.positions, strict=True)
        unknown = [UnknownCharacter(*each, problem) for each in letters if not is_read(each[0])]
        refuse_letters(given, self._language, unknown)

    def _is_of_its_letters(self, character: str) -> bool:
        return "CYRILLIC" in self._scripts or script_of(character) != "CYRILLIC"

    def _is_read(self, character: str) -> bool:
        if character in _READ_BY_ESPEAK or character.isspace():
            return True
        category = unicodedata.category(character)
        if category[0] == "L":
            return script_of(character) in self._scripts
        return category in ("Mn", "Mc", "Nd", "Sc")


_KNOWN = frozenset(PHONEMES[1:])


def languages() -> tuple[str, ...]:
    """The names of all languages that can be read. Raises ConfigError where espeak-ng is not installed."""
    return tuple(sorted({*_espeak().supported_languages(), *_ALIASES}))


def _as_espeak_reads(words: str) -> str:
    """With dashes that are kept, and no mark inside a number."""
    return _DASH.sub("—", _BETWEEN_DIGITS.sub(" ", words))


def _backend(language: str) -> Any:
    espeak = _espeak()
    known = espeak.supported_languages()
    name = _ALIASES.get(language, language)
    if name not in known:
        raise ConfigError(
            f"`text.language`: espeak-ng knows no language {language!r} ({_suggestion(language, known)}); "
            "docs/text.md lists all."
        )
    try:
        backend = espeak(
            name,
            punctuation_marks=_MARKS,
            preserve_punctuation=True,
            with_stress=True,
            language_switch="remove-flags",
            logger=_quiet(),
        )
        if not any(backend.phonemize(["12"], strip=True)):
            raise RuntimeError("it has no dictionary")
        return backend
    except RuntimeError as error:
        raise ConfigError(f"`text.language`: espeak-ng cannot load the language {language!r} ({error}).") from error


def _suggestion(language: str, names: Mapping[str, str]) -> str:
    """names: of each language, by its code. Looks for an ISO 639 code (ger, deu), an English name and the code of a
    country (gr, ua), then for a similar code.
    """
    from langcodes import Language, standardize_tag
    from langcodes.tag_parser import LanguageTagError

    try:
        code = standardize_tag(language, macro=True)
    except LanguageTagError:
        code = ""
    if code not in names and code not in _ALIASES:
        named = [code for code, name in names.items() if name.lower().partition(" (")[0] == language.lower()]
        code = min(named, key=len, default="")
    if not code and len(language) == 2 and language.isalpha():
        spoken = Language.make(territory=language.upper()).maximize().language or ""
        code = spoken if (spoken in names or spoken in _ALIASES) and spoken != "en" else ""  # en: of no country, too
    if not code:
        return nearest(language, languages())
    return f"set `text.language: {code}`, {names[_ALIASES.get(code, code)]}"


def _quiet() -> logging.Logger:
    """phonemizer warns of each word in another language, which is no fault."""
    logger = _log.getChild("phonemizer")
    logger.setLevel(logging.ERROR)
    return logger


def _espeak() -> Any:
    try:
        import espeakng_loader
        from phonemizer.backend import EspeakBackend
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
    except ImportError as error:
        raise ConfigError(
            "`text.kind: phonemes` needs phonemizer and espeak-ng, which are not installed: "
            f"{extra_command('phonemes')}"
        ) from error
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    return EspeakBackend
