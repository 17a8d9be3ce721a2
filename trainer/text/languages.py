"""The language of texts: English or Russian by their letters; another one by py3langid.

Letters are read as they are in English and Russian alone: French read as English would lose its accents, and a voice
would learn English letters for French sounds.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from trainer.text.scripts import script_of
from trainer.text.symbols import CYRILLIC, LATIN

FEWEST_LETTERS = 60  # fewer do not show a language
LIKELY = 0.9  # the probability of another language, from which a corpus is taken to be in it
UNLIKELY = 0.01  # the probability of English and Russian, up to which it is not in one of them
SAMPLE = 20_000  # characters that are looked at

# Also Scots and Nigerian Pidgin, which English of few words looks like.
_READ_BY_LETTERS = frozenset(("en", "sco", "pcm", "ru"))
_NAMES: Mapping[str, str] = {"zh": "cmn", "no": "nb", "nn": "nb"}  # py3langid's -> espeak-ng's


def detect_language(texts: Iterable[str]) -> str:
    """ "ru" where most letters of `texts` are Cyrillic, else "en"."""
    latin = cyrillic = 0
    for text in texts:
        lowered = text.lower()
        latin += sum(character in LATIN for character in lowered)
        cyrillic += sum(character in CYRILLIC for character in lowered)
    return "ru" if cyrillic > latin else "en"


def foreign_language(texts: Sequence[str]) -> str | None:
    """The language of a corpus, as espeak-ng names it, where it is clearly neither English nor Russian."""
    sample = _sample(texts)
    letters = [character for character in sample if character.isalpha()]
    scripts = Counter(map(script_of, letters))
    other_script = 2 * (scripts["LATIN"] + scripts["CYRILLIC"]) < len(letters)
    if len(letters) < FEWEST_LETTERS and not other_script:
        return None
    ranked: list[tuple[str, float]] = _identifier().rank(sample)
    language, probability = ranked[0]
    read_by_letters = sum(chance for name, chance in ranked if name in _READ_BY_LETTERS)
    if other_script or (probability >= LIKELY and read_by_letters <= UNLIKELY):
        return _NAMES.get(language, language)
    return None


def how_to_read(language: str) -> str:
    """What to set for a corpus in `language`."""
    if language in ("en", "ru"):
        return f"Set `text.language: {language}`, or leave both keys of `text` out."
    return (
        f"Set `text.kind: phonemes` and `text.language: {language}` (of a study: --set fixed.text.kind=phonemes "
        f"--set fixed.text.language={language})."
    )


def _sample(texts: Sequence[str]) -> str:
    """Texts from all over the corpus, as many as `SAMPLE` characters are."""
    step = max(1, math.ceil(sum(map(len, texts)) / SAMPLE))
    return " ".join(texts[::step])[: 2 * SAMPLE]


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # only a corpus that names no language needs it

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
