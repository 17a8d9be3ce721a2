"""The texts of a corpus as the model reads them: in one language, with all that cannot be read found at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainer.config import TextConfig
from trainer.data.faults import Fault, FaultKind
from trainer.text import (
    ExpansionKind,
    FrontEnd,
    Reading,
    UnknownCharacter,
    UnknownCharacters,
    UnreadableText,
    detect_language,
    foreign_language,
    front_end,
    how_to_read,
)

RARE_ACCENTS = 0.005  # of the letters: English with loanwords and names has fewer, texts in other languages more
FEW_ACCENTS = 10  # fewer show nothing


@dataclass(frozen=True)
class Texts:
    """readings: in the order of the texts, None for one that cannot be read; language: of all of them."""

    readings: tuple[Reading | None, ...]
    language: str
    faults: tuple[Fault, ...] = ()


def read_texts(written: Sequence[tuple[str, str]], config: TextConfig) -> Texts:
    """written: (origin, text) of each clip, at least one. Texts that cannot be read are faults of the result; a corpus
    in another language than English and Russian, if none is set, is one fault, and so is English in which accents are
    common. Raises ConfigError for a language that
    the front end does not know.
    """
    texts = [text for _, text in written]
    language = config.language
    if language == "auto":
        language = detect_language(texts)
        if foreign := foreign_language(texts):
            return Texts((None,) * len(texts), foreign, (_foreign(written[0][0], foreign),))
    front = front_end(replace(config, language=language))
    read = [_read(front, origin, text) for origin, text in written]
    readings = tuple(each if isinstance(each, Reading) else None for each in read)
    if fault := _common_accents(written[0][0], [each for each in readings if each]):
        return Texts((None,) * len(texts), language, (fault,))
    return Texts(readings, language, tuple(each for each in read if isinstance(each, Fault)))


def _read(front: FrontEnd, origin: str, text: str) -> Reading | Fault:
    try:
        reading = front.read(text)
    except UnreadableText as error:
        unknown = error.characters if isinstance(error, UnknownCharacters) else ()
        characters = "".join(each.character for each in unknown)
        mixed = bool(unknown) and all(each.mixed for each in unknown)
        kind = FaultKind.ALPHABETS if mixed else FaultKind.SYMBOL
        return Fault(kind, origin, f"{error}; {_fix(unknown)}", characters)
    if not any(map(str.isalpha, reading.text)):
        return Fault(FaultKind.NO_TEXT, origin, f"the text {text!r} has no letters; correct it, or remove the line.")
    return reading


def _fix(unknown: Sequence[UnknownCharacter]) -> str:
    if any(each.mixed for each in unknown):
        return "write each word in the letters of one alphabet."
    if any(each.character.isalpha() for each in unknown):
        return "write it in other letters, or remove the line; for another language set `text.kind: phonemes`."
    return "replace it in the text, or remove the line."


def _common_accents(origin: str, readings: Sequence[Reading]) -> Fault | None:
    """Where letters are read without their accents more often than English has loanwords."""
    accents = [sum(each.kind is ExpansionKind.ACCENT for each in reading.expansions) for reading in readings]
    letters = sum(character.isalpha() for reading in readings for character in reading.written)
    if sum(accents) < FEW_ACCENTS or sum(accents) < RARE_ACCENTS * letters:
        return None
    accented = [reading.written for reading, count in zip(readings, accents, strict=True) if count]
    foreign = foreign_language(accented)
    settings = how_to_read(foreign) if foreign else "Set `text.kind: phonemes` and `text.language` to their language."
    text = (
        f"{sum(accents)} of {letters} letters, in {len(accented)} texts, have accents that English has no symbols for "
        f"(such as {accented[0][:60]!r}). {settings} If they are English, write these words without accents."
    )
    return Fault(FaultKind.LANGUAGE, origin.rpartition(":")[0] or origin, text)


def _foreign(origin: str, language: str) -> Fault:
    file, _, _ = origin.rpartition(":")
    text = (
        f"the texts look like the language `{language}`, and only English and Russian are read by their letters. "
        f"{how_to_read(language)} If they are English or Russian, set `text.language: en` or `ru`."
    )
    return Fault(FaultKind.LANGUAGE, file or origin, text)
