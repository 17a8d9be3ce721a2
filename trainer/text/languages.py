"""The language of texts."""

from collections.abc import Iterable

from trainer.text.symbols import CYRILLIC, LATIN


def detect_language(texts: Iterable[str]) -> str:
    """ "ru" where most letters of `texts` are Cyrillic, else "en"."""
    latin = cyrillic = 0
    for text in texts:
        lowered = text.lower()
        latin += sum(character in LATIN for character in lowered)
        cyrillic += sum(character in CYRILLIC for character in lowered)
    return "ru" if cyrillic > latin else "en"
