"""Letters with accents in English texts, read without them: loanwords and names (café, Köln, Zoë).

English has no symbols for them. Each one is an expansion, so that a check, a warning and `say` can name it; a corpus in
which they are common is refused (`trainer.data.texts`).
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping

from trainer.text.expansion import Expansion, ExpansionKind
from trainer.text.plain import plain
from trainer.text.symbols import LATIN

# Letters that Unicode does not decompose.
_OTHERS: Mapping[str, str] = {"æ": "ae", "œ": "oe", "ø": "o", "ß": "ss", "ł": "l", "đ": "d", "ð": "th", "þ": "th"}
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def without_accent(letter: str) -> str | None:
    """letter: in lower case. None for what is no Latin letter with an accent."""
    decomposed = unicodedata.normalize("NFD", letter)
    base, marks = decomposed[:1], decomposed[1:]
    if base in LATIN and marks and all(map(unicodedata.combining, marks)):
        return base
    return _OTHERS.get(letter)


def accented_words(written: str, expansions: Iterable[Expansion]) -> list[tuple[str, Expansion]]:
    """Each accent of a text that was read, in order, with the word that it is in. written, expansions: of a Reading."""
    accents = [each for each in expansions if each.kind is ExpansionKind.ACCENT]
    if not accents:
        return []
    words = [(word.start(), word.end(), word[0]) for word in _WORD.finditer(plain(written).text)]
    return [(next(word for start, end, word in words if start <= each.start < end), each) for each in accents]
