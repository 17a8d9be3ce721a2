"""The texts of a corpus as the model reads them: in one language, with all that cannot be read found at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainer.config import TextConfig
from trainer.data.faults import Fault, FaultKind, refuse
from trainer.text import (
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
    """readings: in the order of the texts; language: of all of them."""

    readings: tuple[Reading, ...]
    language: str


def read_texts(written: Sequence[tuple[str, str]], config: TextConfig) -> Texts:
    """written: (origin, text) of each clip. Raises CorpusFaults, which names each text that cannot be read, and
    ConfigError for a language that the front end does not know.
    """
    texts = [text for _, text in written]
    language = config.language
    if language == "auto":
        _refuse_foreign(written[0][0], texts)
        language = detect_language(texts)
    front = front_end(replace(config, language=language))
    readings: list[Reading] = []
    faults: list[Fault] = []
    for origin, text in written:
        try:
            reading = front.read(text)
        except UnreadableText as error:
            faults.append(Fault(FaultKind.SYMBOL, origin, f"{error}; {_fix(error)}"))
            continue
        if any(map(str.isalpha, reading.text)):
            readings.append(reading)
        else:
            fix = "correct it, or remove the line."
            faults.append(Fault(FaultKind.NO_TEXT, origin, f"the text {text!r} has no letters; {fix}"))
    refuse(faults)
    return Texts(tuple(readings), language)


def _fix(error: UnreadableText) -> str:
    if isinstance(error, UnknownCharacter) and error.character.isalpha():
        return "write it in other letters, or remove the line; for another language set `text.kind: phonemes`."
    return "replace it in the text, or remove the line."


def _refuse_foreign(origin: str, texts: Sequence[str]) -> None:
    """Raises CorpusFaults, once for the whole corpus, where it is in neither English nor Russian."""
    language = foreign_language(texts)
    if language is None:
        return
    file, _, _ = origin.rpartition(":")
    text = (
        f"the texts look like the language `{language}`, and only English and Russian are read by their letters. "
        f"{how_to_read(language)} If they are English or Russian, set `text.language: en` or `ru`."
    )
    refuse([Fault(FaultKind.LANGUAGE, file or origin, text)])
