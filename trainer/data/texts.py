"""The texts of a corpus as the model reads them: in one language, with all that cannot be read found at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainer.config import TextConfig
from trainer.data.faults import Fault, FaultKind, refuse
from trainer.text import Reading, UnreadableText, detect_language, front_end


@dataclass(frozen=True)
class Texts:
    """readings: in the order of the texts; language: of all of them."""

    readings: tuple[Reading, ...]
    language: str


def read_texts(written: Sequence[tuple[str, str]], config: TextConfig) -> Texts:
    """written: (origin, text) of each clip. Raises CorpusFaults, which names each text that cannot be read, and
    ConfigError for a language that the front end does not know.
    """
    language = language_of([text for _, text in written], config)
    front = front_end(replace(config, language=language))
    readings: list[Reading] = []
    faults: list[Fault] = []
    for origin, text in written:
        try:
            reading = front.read(text)
        except UnreadableText as error:
            faults.append(Fault(FaultKind.SYMBOL, origin, f"{error}; replace it in the text, or remove the line."))
            continue
        if any(map(str.isalpha, reading.text)):
            readings.append(reading)
        else:
            fix = "correct it, or remove the line."
            faults.append(Fault(FaultKind.NO_TEXT, origin, f"the text {text!r} has no letters; {fix}"))
    refuse(faults)
    return Texts(tuple(readings), language)


def language_of(texts: Sequence[str], config: TextConfig) -> str:
    """The language of a whole corpus."""
    return detect_language(texts) if config.language == "auto" else config.language
