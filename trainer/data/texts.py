"""The texts of a corpus as the model reads them: in one language, with all that cannot be read found at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainer.config import TextConfig
from trainer.data.faults import Fault, FaultKind
from trainer.text import (
    FrontEnd,
    Reading,
    UnknownCharacter,
    UnreadableText,
    detect_language,
    foreign_language,
    front_end,
    how_to_read,
)


@dataclass(frozen=True)
class Texts:
    """readings: in the order of the texts, None for one that cannot be read; language: of all of them."""

    readings: tuple[Reading | None, ...]
    language: str
    faults: tuple[Fault, ...] = ()


def read_texts(written: Sequence[tuple[str, str]], config: TextConfig) -> Texts:
    """written: (origin, text) of each clip, at least one. Texts that cannot be read are faults of the result; a corpus
    in another language than English and Russian, if none is set, is one fault. Raises ConfigError for a language that
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
    return Texts(readings, language, tuple(each for each in read if isinstance(each, Fault)))


def _read(front: FrontEnd, origin: str, text: str) -> Reading | Fault:
    try:
        reading = front.read(text)
    except UnreadableText as error:
        return Fault(FaultKind.SYMBOL, origin, f"{error}; {_fix(error)}")
    if not any(map(str.isalpha, reading.text)):
        return Fault(FaultKind.NO_TEXT, origin, f"the text {text!r} has no letters; correct it, or remove the line.")
    return reading


def _fix(error: UnreadableText) -> str:
    if isinstance(error, UnknownCharacter) and error.character.isalpha():
        return "write it in other letters, or remove the line; for another language set `text.kind: phonemes`."
    return "replace it in the text, or remove the line."


def _foreign(origin: str, language: str) -> Fault:
    file, _, _ = origin.rpartition(":")
    text = (
        f"the texts look like the language `{language}`, and only English and Russian are read by their letters. "
        f"{how_to_read(language)} If they are English or Russian, set `text.language: en` or `ru`."
    )
    return Fault(FaultKind.LANGUAGE, file or origin, text)
