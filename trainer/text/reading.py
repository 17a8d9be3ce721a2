"""A text as the model reads it, with what was changed on the way, and the errors of texts that cannot be read."""

import unicodedata
from dataclasses import dataclass

from trainer.text.expansion import Expansion
from trainer.text.symbols import STRESS


@dataclass(frozen=True)
class Reading:
    """written: as given; words: as they are spoken, in letters; text: in symbols, what the model reads: `words` where
    it reads characters, else their phonemes; expansions: what is spoken in another way than it is written, in order.
    """

    written: str
    words: str
    text: str
    expansions: tuple[Expansion, ...] = ()


class UnreadableText(ValueError):
    """A text that the model cannot be given."""


class UnknownCharacter(UnreadableText):
    """A character that has no symbol.

    name: its Unicode name; position: its index in the composed (NFC) text.
    """

    def __init__(self, character: str, position: int, problem: str = "has no symbol") -> None:
        self.character = character
        self.position = position
        self.name = unicodedata.name(character, f"U+{ord(character):04X}")
        if character == STRESS:
            problem = "marks a stress, but stands before no vowel"
        super().__init__(f"{character!r} ({self.name}) at character {position + 1} {problem}")
