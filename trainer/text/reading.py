"""A text as the model reads it, with what was changed on the way, and the errors of texts that cannot be read."""

import unicodedata
from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class UnknownCharacter:
    """A character that cannot be read. position: its index in the composed (NFC) text; problem: why; mixed: it is a
    letter of another alphabet than the rest of its word.
    """

    character: str
    position: int
    problem: str = "has no symbol"
    mixed: bool = False

    @property
    def name(self) -> str:
        return character_name(self.character)


class UnknownCharacters(UnreadableText):
    """All characters of a text that cannot be read, in order."""

    def __init__(self, characters: Sequence[UnknownCharacter]) -> None:
        self.characters = tuple(characters)
        first: dict[str, UnknownCharacter] = {}
        for each in self.characters:
            first.setdefault(each.character, each)
        super().__init__("; ".join(map(self._described, first.values())))

    def _described(self, first: UnknownCharacter) -> str:
        more = sum(each.character == first.character for each in self.characters) - 1
        problem = "marks a stress, but stands before no vowel" if first.character == STRESS else first.problem
        places = f"character {first.position + 1}" + (f" and {more} more" if more else "")
        return f"{first.character!r} ({first.name}) at {places} {problem}"


def character_name(character: str) -> str:
    """Its code point, and its Unicode name where it has one."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()
