"""From a written text to what the model reads, as `text.kind` and `text.language` say.

The front end of a corpus is that of the voice which is trained on it: the same text gives the same symbols.
"""

from typing import Protocol

from trainer.config import TextConfig
from trainer.text.languages import detect_language
from trainer.text.normalise import normalised
from trainer.text.phoneme_symbols import PHONEMES
from trainer.text.phonemes import Phonemiser
from trainer.text.reading import Reading
from trainer.text.symbols import SYMBOLS


class FrontEnd(Protocol):
    """symbols: the table in which `Reading.text` can be encoded."""

    symbols: tuple[str, ...]

    def read(self, text: str) -> Reading:
        """Raises UnknownCharacters with all characters that cannot be read, UnreadableText for other texts."""


class Characters:
    """English or Russian, by letters. language: en, ru, or auto: by the letters of each text."""

    symbols = SYMBOLS

    def __init__(self, language: str) -> None:
        self._language = language

    def read(self, text: str) -> Reading:
        language = detect_language([text]) if self._language == "auto" else self._language
        words = normalised(text, language)
        return Reading(text, words.text, words.text, words.expansions)


class Phonemes:
    """Any language of espeak-ng, as phonemes. Raises ConfigError where espeak-ng does not know `language`."""

    symbols = PHONEMES

    def __init__(self, language: str) -> None:
        self._phonemiser = Phonemiser(language)

    def read(self, text: str) -> Reading:
        return self._phonemiser.read(text)


def front_end(text: TextConfig) -> FrontEnd:
    """Raises ConfigError for a language that espeak-ng does not know, and where espeak-ng is not installed."""
    return Phonemes(text.language) if text.kind == "phonemes" else Characters(text.language)


def symbols_of(text: TextConfig) -> tuple[str, ...]:
    """The table of the front end. Needs nothing that is not installed with the trainer's core."""
    return PHONEMES if text.kind == "phonemes" else SYMBOLS
