"""Texts beside the recordings; links, and paths that leave the corpus."""

from pathlib import Path

import pytest
from corpora import HEARD, NAMES, SENTENCES, Case, Link, audio, check, heard, jsonl, rows

from trainer.config import ColumnsConfig

CASES: dict[str, Case] = {
    "texts beside recordings": Case(
        {**audio(""), **{f"{name}.txt": text for name, text in zip(NAMES, SENTENCES, strict=True)}},
        heard(""),
        ("recordings with a text file beside each",),
    ),
    "MP3 and .lab": Case(
        {**audio("", ".mp3"), **{f"{name}.lab": text + "\n" for name, text in zip(NAMES, SENTENCES, strict=True)}},
        heard("", ".mp3"),
    ),
    "texts in a folder of their own": Case(
        {**audio("wav/"), **{f"txt/{name}.txt": text for name, text in zip(NAMES, SENTENCES, strict=True)}},
        heard("wav/"),
        ("recordings in wav/ with a text file in txt/",),
    ),
    "texts in a folder of their own, one missing": Case(
        {**audio("wav/"), **{f"txt/{name}.txt": text for name, text in zip(NAMES[:-1], SENTENCES[:-1], strict=True)}},
        refused=("wav/clip-11.wav: has no text; add txt/clip-11.txt, or remove the recording",),
    ),
    "texts beside recordings, with a note": Case(
        {**audio(""), **{f"{name}.txt": text for name, text in zip(NAMES, SENTENCES, strict=True)}, "README.txt": "?"},
        heard(""),
        ("not used: 1 text without a recording (README.txt)",),
    ),
    "texts beside recordings, one missing, one empty": Case(
        {**audio(""), **{f"{name}.txt": text for name, text in zip(NAMES[:-1], SENTENCES[:-1], strict=True)}}
        | {"clip-00.txt": " \n"},
        refused=(
            "No text: 2",
            "clip-00.txt:1: the text of 'clip-00.wav' is empty",
            "clip-11.wav: has no text; add clip-11.txt, or remove the recording",
        ),
    ),
    "texts beside recordings in two folders": Case(
        {"anna/a.wav": None, "anna/a.txt": "Hello there.", "bert/b.wav": None, "bert/b.txt": "Good bye."},
        {"anna/a.wav": "hello there.", "bert/b.wav": "good bye."},
        (
            "recordings from 2 folders as one voice, anna (1), bert (1)",
            "`corpus.speaker: anna` (of a study: --set fixed.corpus.speaker=anna) takes those of one",
        ),
    ),
    "texts beside recordings, one folder": Case(
        {
            f"{who}/{n}.{suffix}": None if suffix == "wav" else "Hello."
            for who in ("anna", "bert")
            for n in "ab"
            for suffix in ("wav", "txt")
        },
        {"anna/a.wav": "hello.", "anna/b.wav": "hello."},
        ("speaker anna, 2 of 4 clips",),
        settings={"speaker": "anna"},
    ),
    "texts beside recordings in two formats": Case(
        {"a.wav": None, "a.mp3": None, "a.txt": "Hello there.", "b.wav": None, "b.txt": "Good bye."},
        refused=("a.wav: a.txt is the text of a.mp3 and a.wav; remove one of the recordings",),
    ),
    "columns of texts beside recordings": Case(
        {"a.wav": None, "a.txt": "Hello there.", "b.wav": None, "b.txt": "Good bye."},
        refused=("`corpus.columns` has no effect",),
        settings={"columns": ColumnsConfig(text=2)},
    ),
    "LibriTTS": Case(
        {
            f"84/12/{name}{suffix}": text
            for name, heard_text in zip(NAMES[:2], HEARD, strict=False)
            for suffix, text in ((".wav", None), (".original.txt", "No."), (".normalized.txt", heard_text))
        },
        {f"84/12/{name}.wav": text for name, text in zip(NAMES[:2], HEARD, strict=False)},
    ),
    # Links and paths
    "a linked folder of recordings": Case(
        {"metadata.csv": rows("{n}|{t}"), "wavs": Link("beside/w")},
        refused=(
            "A link to a file outside of the corpus: 12",
            "is a link to",
            "`corpus.follow_links: true` (of a study: --set fixed.corpus.follow_links=true) allows it",
        ),
        beside=audio("w/"),
    ),
    "a linked folder of recordings, allowed": Case(
        {"metadata.csv": rows("{n}|{t}"), "wavs": Link("beside/w")},
        heard(),
        beside=audio("w/"),
        settings={"follow_links": True},
    ),
    "a snapshot of the Hugging Face hub": Case(
        {"metadata.jsonl": Link("beside/list"), **{f"{name}.wav": Link(f"beside/{name}.wav") for name in NAMES}},
        refused=("A link to a file outside of the corpus: 12",),
        beside={"list": jsonl(file_name="{n}.wav", text="{t}"), **audio("")},
    ),
    "a snapshot of the Hugging Face hub, allowed": Case(
        {"metadata.jsonl": Link("beside/list"), **{f"{name}.wav": Link(f"beside/{name}.wav") for name in NAMES}},
        heard(""),
        beside={"list": jsonl(file_name="{n}.wav", text="{t}"), **audio("")},
        settings={"follow_links": True},
    ),
    "links inside of the corpus": Case(
        {"metadata.csv": rows("{n}|{t}"), "wavs": Link("corpus/takes"), **audio("takes/")}, heard("takes/")
    ),
    "a link to nothing": Case(
        {"metadata.csv": rows("{n}|{t}"), **audio(), "wavs/clip-00.wav": Link("beside/gone")},
        refused=("metadata.csv:1: 'wavs/clip-00.wav' is a link to",),
    ),
    "paths that leave the corpus": Case(
        {"list.txt": "../beside/a.wav|Hello there.\n../beside/b.wav|Good bye.\n"},
        refused=("The recording is outside of the corpus: 2", "move the recording, or allow this"),
        beside={"a.wav": None, "b.wav": None},
        source="list.txt",
    ),
    "paths that leave the corpus, allowed": Case(
        {"list.txt": "../beside/a.wav|Hello there.\n../beside/b.wav|Good bye.\n"},
        {"../beside/a.wav": "hello there.", "../beside/b.wav": "good bye."},
        beside={"a.wav": None, "b.wav": None},
        source="list.txt",
        settings={"follow_links": True},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_corpus(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
