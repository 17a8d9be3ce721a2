"""Text to symbol ids."""

from trainer.text.accents import accented_words
from trainer.text.alphabets import look_alike, words_of_another_alphabet
from trainer.text.expansion import Expansion, ExpansionKind
from trainer.text.front_end import FrontEnd, front_end, symbols_of
from trainer.text.languages import detect_language, foreign_language, how_to_read
from trainer.text.normalise import normalise
from trainer.text.reading import Reading, UnknownCharacter, UnknownCharacters, UnreadableText, character_name
from trainer.text.symbols import PAD_ID, SYMBOLS, decode, encode

# How texts are read: increase it when any text may be read in another way, so that caches are made anew.
TEXT_RULES = 3

__all__ = [
    "PAD_ID",
    "SYMBOLS",
    "TEXT_RULES",
    "Expansion",
    "ExpansionKind",
    "FrontEnd",
    "Reading",
    "UnknownCharacter",
    "UnknownCharacters",
    "UnreadableText",
    "accented_words",
    "character_name",
    "decode",
    "detect_language",
    "encode",
    "foreign_language",
    "front_end",
    "how_to_read",
    "look_alike",
    "normalise",
    "symbols_of",
    "words_of_another_alphabet",
]
