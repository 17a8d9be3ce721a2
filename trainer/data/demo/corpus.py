"""The embedded corpus: made-up sentences spoken by espeak-ng, in LJSpeech layout, written once per cache.

`demo:en` has 300 sentences, ten minutes of speech, as the other languages have; `demo:en:1000` has 1000.
Covers names, writing and reuse. The sentences are in `sentences`, the speech is from `espeak`.
"""

import wave
from collections.abc import Mapping
from pathlib import Path

from trainer.config import TextConfig
from trainer.data.atomic_folders import write_folder_atomically
from trainer.data.demo.espeak import SAMPLE_RATE, speak
from trainer.data.demo.sentences import GRAMMARS, LARGEST, compose
from trainer.data.progress import OnProgress, no_progress
from trainer.errors import CorpusError
from trainer.text import how_to_read, normalise

PREFIX = "demo:"
DEFAULT_SENTENCES = 300
SEED = 20250705
VOICES: Mapping[str, str] = {"en": "en-us", "ru": "ru", "de": "de", "fr": "fr", "es": "es"}
_IN_CHARACTERS = ("en", "ru")
assert VOICES.keys() == GRAMMARS.keys()


def demo_corpus(source: str, cache: Path, progress: OnProgress = no_progress) -> Path:
    """Return the folder of the corpus that `source` names, and write it first where the cache lacks it.

    Raises CorpusError for an unknown name, a number out of range, and where espeak-ng is missing.
    """
    language, sentences = parse_name(source)
    folder = cache / "corpora" / f"demo-{language}-{sentences}"
    if not folder.is_dir():
        with write_folder_atomically(folder) as beside:
            _write(beside, language, compose(language, sentences, SEED), progress)
    return folder


def parse_name(source: str) -> tuple[str, int]:
    """-> language, number of sentences. Raises CorpusError for a name or a number that is not known."""
    language, _, number = source.removeprefix(PREFIX).partition(":")
    if language not in VOICES:
        known = ", ".join(f"`{PREFIX}{name}`" for name in VOICES)
        raise CorpusError(
            f"`corpus.source`: {source!r} is no embedded corpus; known: {known}, also with a number: `demo:en:1000`."
        )
    if not number and not source.endswith(":"):
        return language, DEFAULT_SENTENCES
    if not (number.isascii() and number.isdigit() and 2 <= int(number) <= LARGEST):
        raise CorpusError(
            f"`corpus.source`: {source!r} must name a number of sentences between 2 and {LARGEST}, but got {number!r}."
        )
    return language, int(number)


def check_language(source: str, text: TextConfig) -> None:
    """Raises CorpusError where `source` names an embedded corpus in another language than that in which it is read."""
    if not source.startswith(PREFIX):
        return
    language, _ = parse_name(source)
    if language in _IN_CHARACTERS and text == TextConfig():  # auto: the letters tell
        return
    if text.language.partition("-")[0] != language or (text.kind == "characters" and language not in _IN_CHARACTERS):
        raise CorpusError(f"`corpus.source`: {source!r} is not read as it is set. {how_to_read(language)}")


def _write(folder: Path, language: str, texts: list[str], progress: OnProgress) -> None:
    (folder / "wavs").mkdir()
    lines = []
    for i, text in enumerate(texts, start=1):
        name = f"{language}-{i:05d}"
        _write_wav(folder / "wavs" / f"{name}.wav", speak(text, VOICES[language]).tobytes())
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
