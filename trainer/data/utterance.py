"""One line of a corpus, as it is passed between processes: importing it takes no time."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of a list.

    root: the corpus's folder; name: the recording's path in it; text: as written, or normalised;
    origin: "metadata.csv:17"; content: a hash of id, name, the written text and the recording's stamp;
    speaker: "" where the corpus names none.
    """

    id: str
    root: str
    name: str
    text: str
    origin: str
    content: bytes
    speaker: str = ""

    @property
    def wav(self) -> Path:
        return Path(self.root, self.name)
