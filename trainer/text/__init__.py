"""Text to symbol ids."""

from trainer.text.normalise import UnknownCharacter, detect_language, normalise
from trainer.text.symbols import PAD_ID, SYMBOLS, decode, encode

__all__ = ["PAD_ID", "SYMBOLS", "UnknownCharacter", "decode", "detect_language", "encode", "normalise"]
