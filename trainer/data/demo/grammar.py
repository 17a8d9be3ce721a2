"""Templates that are filled from word lists: what the sentences of one language are made of."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Grammar:
    """templates: with slots such as `{person}`; words: what fills a slot; numbers: slots that are drawn."""

    templates: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, Callable[[random.Random], str]] = field(default_factory=dict)


def phrases(text: str) -> tuple[str, ...]:
    """Separated by commas, all different."""
    found = tuple(phrase.strip() for phrase in text.split(","))
    assert len(set(found)) == len(found), f"named twice: {found}"
    return found


def number(draw: random.Random) -> str:
    """In digits, from 2 to 999."""
    return str(draw.choice((draw.randint(2, 99), draw.randint(2, 20), draw.randint(100, 999))))
