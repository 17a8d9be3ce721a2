"""The embedded corpus: made-up sentences spoken by espeak-ng, in LJSpeech layout, written once per cache.

`demo:en` has 300 sentences, ten minutes of speech, as the other languages have; `demo:en:1000` has 1000;
`demo:en:1000:f3` has the same ones from another speaker, a variant of the voice.
Covers names, writing and reuse. The sentences are in `sentences`, the speech is from `espeak`.
"""

import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.config import TextConfig
from trainer.data.atomic_folders import write_folder_atomically
from trainer.data.demo.espeak import SAMPLE_RATE, speak, variants
from trainer.data.demo.sentences import GRAMMARS, LARGEST, compose
from trainer.data.progress import OnProgress, no_progress
from trainer.data.space import check_space, saying_what_is_needed
from trainer.errors import CorpusError
from trainer.text import how_to_read, normalise

PREFIX = "demo:"
DEFAULT_SENTENCES = 300
SEED = 20250705
BYTES_OF_A_SENTENCE = round(2.2 * SAMPLE_RATE * 2)  # seconds on average, 16 bits
SPACE = "The embedded corpus needs"
VOICES: Mapping[str, str] = {"en": "en-us", "ru": "ru", "de": "de", "fr": "fr", "es": "es"}
_IN_CHARACTERS = ("en", "ru")
assert VOICES.keys() == GRAMMARS.keys()


@dataclass(frozen=True)
class Demo:
    """variant: of the voice; empty: the voice itself."""

    language: str
    sentences: int = DEFAULT_SENTENCES
    variant: str = ""

    @property
    def folder(self) -> str:
        return "-".join(("demo", self.language, str(self.sentences), *filter(None, [self.variant])))

    @property
    def voice(self) -> str:
        """As espeak-ng calls it."""
        return "+".join((VOICES[self.language], *filter(None, [self.variant])))


def demo_corpus(source: str, cache: Path, progress: OnProgress = no_progress) -> Path:
    """Return the folder of the corpus that `source` names, and write it first where the cache lacks it.

    Raises CorpusError as `parse_name`, and where espeak-ng is missing; DiskFull.
    """
    demo = parse_name(source)
    folder = cache / "corpora" / demo.folder
    if not folder.is_dir():
        needed = demo.sentences * BYTES_OF_A_SENTENCE
        check_space(folder, needed, SPACE)
        with (
            saying_what_is_needed(folder, lambda: needed, SPACE),
            write_folder_atomically(folder) as beside,
        ):
            _write(beside, demo, progress)
    return folder


def parse_name(source: str) -> Demo:
    """Raises CorpusError for a language, a number or a variant that is not known."""
    language, *more = source.removeprefix(PREFIX).split(":", 2)
    if language not in VOICES:
        known = ", ".join(f"`{PREFIX}{name}`" for name in VOICES)
        raise CorpusError(
            f"`corpus.source`: {source!r} is no embedded corpus; known: {known}, also with a number: `demo:en:1000`."
        )
    if not more:
        return Demo(language)
    number = more[0]
    if not (number.isascii() and number.isdigit() and 2 <= int(number) <= LARGEST):
        raise CorpusError(
            f"`corpus.source`: {source!r} must name a number of sentences between 2 and {LARGEST}, but got {number!r}."
        )
    return Demo(language, int(number), _variant(source, more[1]) if len(more) > 1 else "")


def _variant(source: str, name: str) -> str:
    known = variants()
    if name not in known:
        raise CorpusError(
            f"`corpus.source`: {source!r} names a variant of the voice that espeak-ng does not have: {name!r}; "
            f"known: {', '.join(known)}."
        )
    return name


def check_language(source: str, text: TextConfig) -> None:
    """Raises CorpusError where `source` names an embedded corpus in another language than that in which it is read."""
    if not source.startswith(PREFIX):
        return
    language = parse_name(source).language
    if language in _IN_CHARACTERS and text == TextConfig():  # auto: the letters tell
        return
    if text.language.partition("-")[0] != language or (text.kind == "characters" and language not in _IN_CHARACTERS):
        raise CorpusError(f"`corpus.source`: {source!r} is not read as it is set. {how_to_read(language)}")


def _write(folder: Path, demo: Demo, progress: OnProgress) -> None:
    (folder / "wavs").mkdir()
    language = demo.language
    texts = compose(language, demo.sentences, SEED)
    lines = []
    for i, text in enumerate(texts, start=1):
        name = f"{language}-{i:05d}"
        _write_wav(folder / "wavs" / f"{name}.wav", speak(text, demo.voice).tobytes())
        read = f"|{normalise(text, language)}" if language in _IN_CHARACTERS else ""
        lines.append(f"{name}|{text}{read}\n")
        progress(i, len(texts), "speaking the embedded corpus")
    (folder / "metadata.csv").write_text("".join(lines), encoding="utf-8", newline="\n")


def _write_wav(path: Path, pcm: bytes) -> None:
    # The samples are 16-bit already: the standard library can write them.
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm)
