"""Made-up sentences, all different: the texts of the embedded corpora.

A sentence has 4 to 10 words, one and a half to four seconds of speech. Some numbers are in digits. Final marks vary and
are often absent: a mark at the end of every text teaches the model to wait at it. The words are in one module for each
language.
"""

import random
import re
from collections.abc import Mapping
from itertools import cycle

from trainer.data.demo import english, french, german, russian, spanish
from trainer.data.demo.grammar import Grammar

LARGEST = 10_000  # the most sentences in one call; the lists allow many times more

LONGEST = 10  # words

GRAMMARS: Mapping[str, Grammar] = {
    "en": english.GRAMMAR,
    "ru": russian.GRAMMAR,
    "de": german.GRAMMAR,
    "fr": french.GRAMMAR,
    "es": spanish.GRAMMAR,
}


def compose(language: str, sentences: int, seed: int) -> list[str]:
    """`sentences` different sentences in a language of `GRAMMARS`, always the same; fewer are a prefix of more."""
    assert sentences <= LARGEST, sentences
    draw = random.Random(f"{language} {seed}")
    grammar = GRAMMARS[language]
    found: dict[str, None] = {}
    for template in cycle(grammar.templates):
        if len(found) == sentences:
            break
        text = _filled(template, grammar, draw)
        if len(text.split()) <= LONGEST:
            found.setdefault(_punctuated(text, draw))
    return list(found)


def _filled(template: str, grammar: Grammar, draw: random.Random) -> str:
    def word(match: re.Match[str]) -> str:
        slot = match[1]
        return grammar.numbers[slot](draw) if slot in grammar.numbers else draw.choice(grammar.words[slot])

    return re.sub(r"\{([\w-]+)\}", word, template)


def _punctuated(text: str, draw: random.Random) -> str:
    first = 1 if text.startswith("¿") else 0
    text = text[:first] + text[first].upper() + text[first + 1 :]
    if text.endswith("?"):
        return text if first or draw.random() < 0.7 else text[:-1]
    return text + draw.choices((".", "", "!"), weights=(4, 4, 2))[0]
