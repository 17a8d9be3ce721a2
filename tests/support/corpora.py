"""Corpora as people have them: a folder of files, what is given as the corpus, and what should happen.

Recordings are empty here; `test_audio_files` is about their contents.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from trainer.config import CorpusConfig, TextConfig
from trainer.data.corpus import Corpus, content_hash, list_corpus, utterances
from trainer.errors import CorpusError

SENTENCES = (
    "The tall uncle followed the carpet.",
    "Alice touched a rope!",
    "Mr. Smith sat down quietly.",
    '"Who is there?" he said.',
    "Above the shop, nobody ran.",
    "Martha noticed an old stranger.",
    "The driver went home at once.",
    "A blue door opened slowly.",
    "The children were not tired.",
    "She closed the window again.",
    "They found three letters.",
    "Nobody wrote about the storm.",
)
HEARD = tuple(text.lower().replace("mr.", "mister") for text in SENTENCES)
OTHERS = tuple(text.replace("The", "That").replace(".", ", too.") for text in SENTENCES)
NAMES = tuple(f"clip-{i:02d}" for i in range(len(SENTENCES)))


@dataclass(frozen=True)
class Link:
    """A symbolic link, to a path relative to the folder above the corpus."""

    target: str


@dataclass(frozen=True)
class Case:
    """source: relative to the corpus's folder; files, taken: by paths relative to it; None: a recording.

    taken: what the model reads, by file; layout, refused: words that are said.
    """

    files: Mapping[str, str | bytes | Link | None]
    taken: Mapping[str, str] | None = None
    layout: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    source: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, str | bytes | Link | None] = field(default_factory=dict)  # the folder `beside`


def audio(folder: str = "wavs/", suffix: str = ".wav") -> dict[str, str | bytes | Link | None]:
    return {f"{folder}{name}{suffix}": None for name in NAMES}


def heard(folder: str = "wavs/", suffix: str = ".wav") -> dict[str, str]:
    return {f"{folder}{name}{suffix}": text for name, text in zip(NAMES, HEARD, strict=True)}


def rows(form: str, names: tuple[str, ...] = NAMES, texts: tuple[str, ...] = SENTENCES) -> str:
    """Lines of `form`, in which {n} is the name, {t} the text, {i} a number."""
    pairs = enumerate(zip(names, texts, strict=True))
    return "".join(form.format(n=name, t=text, i=i, length=len(text)) + "\n" for i, (name, text) in pairs)


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


QUOTED = tuple(map(quoted, SENTENCES))
MINIMAL = tuple(quoted(text) if '"' in text or "," in text else text for text in SENTENCES)


def jsonl(**values: str) -> str:
    """Lines of JSON; {n}, {t} and {i} as in `rows`."""
    lines = []
    for i, (name, text) in enumerate(zip(NAMES, SENTENCES, strict=True)):
        filled = {key: value.replace("{n}", name).replace("{t}", text) for key, value in values.items()}
        lines.append(json.dumps({**filled, "duration": 1.5 + i}, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def check(case: Case, folder: Path) -> None:
    """Assert that the corpus, written below `folder`, is taken or refused as the case says."""
    if case.taken is None:
        _check_refusal(case, folder)
        return
    corpus, layout = _load(case, folder)
    clips = (*corpus.train, *corpus.validation)
    assert {_relative(clip.wav, folder / "corpus"): clip.text for clip in clips} == case.taken
    assert "\n" not in layout
    for words in case.layout:
        assert words in layout


def _check_refusal(case: Case, folder: Path) -> None:
    with pytest.raises(CorpusError) as refused:
        _load(case, folder)
    text = str(refused.value)
    for words in case.refused:
        assert re.search(re.escape(words), text, re.IGNORECASE), text
    assert len(text) < 4000


def _write(folder: Path, files: Mapping[str, str | bytes | Link | None], above: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(above / content.target)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content or b"")


def _load(case: Case, folder: Path) -> tuple[Corpus, str]:
    _write(folder / "beside", case.beside, folder)
    _write(folder / "corpus", case.files, folder)
    config = replace(CorpusConfig(source=str(folder / "corpus" / case.source)), **case.settings)
    listing = list_corpus(config, folder / "cache")
    assert content_hash(config, folder / "cache") == listing.content
    return utterances(listing, TextConfig(language="en")), listing.layout


def _relative(path: Path, folder: Path) -> str:
    assert path.is_file()
    return os.path.relpath(path, folder.resolve())
