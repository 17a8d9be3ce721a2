"""Corpora as people have them: for each, what happened, and the texts and files that a model is trained on.

A case is a folder of files, what is given as the corpus, and the outcome: texts by file and words of the line that
names the layout, or words of the refusal. Recordings are empty here; `test_audio_files` is about their contents.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from trainer.config import ColumnsConfig, CorpusConfig, TextConfig
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
PIPED = tuple(quoted(text.replace(" ", " | ", 1)) for text in SENTENCES[:7]) + MINIMAL[7:]
NO_SYMBOL = ("A character without a symbol: 7", "'|' (U+007C VERTICAL LINE)")
IPA = ("ðə tɔːl ʌŋkəl fɒləʊd", "ælɪs tʌtʃt ə ɹəʊp", "mɪstə smɪθ sæt daʊn") * 4


def jsonl(**values: str) -> str:
    """Lines of JSON; {n}, {t} and {i} as in `rows`."""
    lines = []
    for i, (name, text) in enumerate(zip(NAMES, SENTENCES, strict=True)):
        filled = {key: value.replace("{n}", name).replace("{t}", text) for key, value in values.items()}
        lines.append(json.dumps({**filled, "duration": 1.5 + i}, ensure_ascii=False))
    return "\n".join(lines) + "\n"


CASES: dict[str, Case] = {
    # LJSpeech
    "LJSpeech": Case(
        {"metadata.csv": rows("{n}|{t}|{t}"), **audio()}, heard(), ("LJSpeech layout (metadata.csv)", "in wavs/")
    ),
    "LJSpeech, two columns": Case({"metadata.csv": rows("{n}|{t}"), **audio()}, heard(), ("texts from column 2",)),
    "LJSpeech, normalised text": Case(
        {
            "metadata.csv": "a|Mr. Fox has 5 cats|mister fox has five cats\nb|It is 6 now|it is six now\nc|Dr. Who|\n",
            "wavs/a.wav": None,
            "wavs/b.wav": None,
        }
        | {"wavs/c.wav": None},
        {"wavs/a.wav": "mister fox has five cats", "wavs/b.wav": "it is six now", "wavs/c.wav": "doctor who"},
        ("texts from column 3 or column 2 where that is empty",),
    ),
    "LJSpeech in wav/": Case({"metadata.csv": rows("{n}|{t}"), **audio("wav/")}, heard("wav/"), ("in wav/",)),
    "LJSpeech beside the list": Case({"metadata.csv": rows("{n}|{t}"), **audio("")}, heard(""), ("beside the list",)),
    "LJSpeech, a folder of another name": Case(
        {"metadata.csv": rows("{n}|{t}"), **audio("My Takes/")}, heard("My Takes/"), ("in My Takes/",)
    ),
    "LJSpeech, ids with extension": Case({"metadata.csv": rows("{n}.wav|{t}"), **audio()}, heard()),
    "LJSpeech, FLAC behind ids": Case(
        {"metadata.csv": rows("{n}|{t}"), **audio(suffix=".flac")}, heard(suffix=".flac")
    ),
    "LJSpeech, OGG behind ids": Case({"metadata.csv": rows("{n}|{t}"), **audio(suffix=".ogg")}, heard(suffix=".ogg")),
    "LJSpeech, MP3 behind ids": Case({"metadata.csv": rows("{n}|{t}"), **audio(suffix=".mp3")}, heard(suffix=".mp3")),
    "LJSpeech, Opus behind ids": Case(
        {"metadata.csv": rows("{n}|{t}"), **audio(suffix=".opus")}, heard(suffix=".opus")
    ),
    "LJSpeech, .WAV behind ids": Case({"metadata.csv": rows("{n}|{t}"), **audio(suffix=".WAV")}, heard(suffix=".WAV")),
    "LJSpeech, listed as WAV, converted to FLAC": Case(
        {"metadata.csv": rows("{n}.wav|{t}"), **audio(suffix=".flac")}, heard(suffix=".flac")
    ),
    "LJSpeech, several formats": Case(
        {"metadata.csv": "x|Hello there.\ny|Good bye.\nz|Once more.\n", "wavs/x.wav": None, "wavs/y.flac": None}
        | {"wavs/z.mp3": None},
        {"wavs/x.wav": "hello there.", "wavs/y.flac": "good bye.", "wavs/z.mp3": "once more."},
    ),
    "LJSpeech, unpacked into a folder of its name": Case(
        {"LJ/metadata.csv": rows("{n}|{t}|{t}"), **audio("LJ/wavs/")}, heard("LJ/wavs/"), ("LJ/metadata.csv",)
    ),
    "LJSpeech, given by its list": Case({"metadata.csv": rows("{n}|{t}"), **audio()}, heard(), source="metadata.csv"),
    "LJSpeech, names in code points of a Mac": Case(
        {"metadata.csv": "caf\u00e9|Hello there.\nb|Good bye.\n", "wavs/cafe\u0301.wav": None, "wavs/b.wav": None},
        {"wavs/cafe\u0301.wav": "hello there.", "wavs/b.wav": "good bye."},
    ),
    "LJSpeech, ids with dots": Case(
        {"metadata.csv": "v1.0|Hello there.\nv1.1|Good bye.\n", "wavs/v1.0.wav": None, "wavs/v1.1.wav": None},
        {"wavs/v1.0.wav": "hello there.", "wavs/v1.1.wav": "good bye."},
    ),
    "LJSpeech, a byte order mark and CRLF": Case(
        {"metadata.csv": ("\ufeff" + rows("{n}|{t}")).replace("\n", "\r\n"), **audio()}, heard()
    ),
    "LJSpeech, names with emoji, quotes and spaces": Case(
        {"metadata.csv": "it's 🎤|Hello there.\n b c |Good bye.\n", "wavs/it's 🎤.wav": None, "wavs/b c.wav": None},
        {"wavs/it's 🎤.wav": "hello there.", "wavs/b c.wav": "good bye."},
    ),
    "texts that begin and end with quotes of speech": Case(
        {"metadata.csv": 'a|"Come in," he said.\nb|"Stay."\nc|He said "no"\n', "wavs/a.wav": None, "wavs/b.wav": None}
        | {"wavs/c.wav": None},
        {"wavs/a.wav": '"come in," he said.', "wavs/b.wav": '"stay."', "wavs/c.wav": 'he said "no"'},
    ),
    # A third column that is no text (cases/02)
    "number of characters in the third column": Case(
        {"metadata.csv": rows("{n}|{t}|{length}"), **audio()},
        heard(),
        ("texts from column 2", "not used: column 3 holds numbers ('35', '21')"),
    ),
    "duration in the third column": Case(
        {"metadata.csv": rows("{n}|{t}|{i}.25"), **audio()}, heard(), ("column 3 holds numbers",)
    ),
    "one speaker in the third column": Case(
        {"metadata.csv": rows("{n}|{t}|anna"), **audio()}, heard(), ("speakers from column 3", "speaker anna, 12 of 12")
    ),
    "a path in the third column": Case(
        {"metadata.csv": rows("{n}|{t}|/data/{n}.wav"), **audio()}, heard(), ("column 3 holds file names",)
    ),
    "a mood in the third column": Case(
        {"metadata.csv": "a|The tall uncle left.|happy\nb|A rope fell down.|sad\n", "wavs/a.wav": None}
        | {"wavs/b.wav": None},
        {"wavs/a.wav": "the tall uncle left.", "wavs/b.wav": "a rope fell down."},
        ("column 3 holds text ('happy', 'sad')",),
    ),
    "another sentence in the third column": Case(
        {"metadata.csv": rows("{n}|{t}|So etwas hat noch niemand {i} gesehen"), **audio()},
        refused=(
            "more than one column reads like text",
            "`corpus.columns.text: 3` (of a study: --set fixed.corpus.columns.text=3)",
        ),
    ),
    "another sentence in the third column, chosen": Case(
        {"metadata.csv": rows("{n}|{t}|So etwas hat noch niemand {i} gesehen"), **audio()},
        heard(),
        settings={"columns": ColumnsConfig(text=2)},
    ),
    "numbers only": Case(
        {"metadata.csv": rows("{n}|{length}"), **audio()},
        refused=("no column reads like text", "column 2 holds numbers", "`corpus.columns.text: 2`"),
    ),
    "numbers only, chosen": Case(
        {"metadata.csv": "a|40\nb|7\n", "wavs/a.wav": None, "wavs/b.wav": None},
        {"wavs/a.wav": "forty", "wavs/b.wav": "seven"},
        settings={"columns": ColumnsConfig(text=2)},
    ),
    "the speaker in place of the text": Case(
        {"metadata.csv": rows("{n}|anna"), **audio()},
        refused=("no column reads like text: column 2 holds the same values for many clips ('anna')",),
    ),
    # Quotes (cases/08)
    "quotes of a csv writer": Case(
        {"metadata.csv": rows("{n}|{t}", texts=MINIMAL), **audio()}, heard(), ("cut at |",), source="metadata.csv"
    ),
    "quotes of a csv writer around everything": Case(
        {"metadata.csv": "".join(f'"{name}"|{text}\n' for name, text in zip(NAMES, QUOTED, strict=True)), **audio()},
        heard(),
    ),
    "quotes of a csv writer, one forgotten": Case(
        {"metadata.csv": 'a|"He said ""no"""\nb|"Nobody left.\nc|"She said ""yes"""\n', "wavs/a.wav": None}
        | {"wavs/b.wav": None, "wavs/c.wav": None},
        refused=("quotes that do not match",),
    ),
    "quotes of a csv writer among quotes of speech": Case(
        {
            "metadata.csv": 'a|"He said ""no"""\nb|"Come in," he said.\nc|"Go out," she said.\nd|"Stay," he said.\n',
            **{f"wavs/{name}.wav": None for name in "abcd"},
        },
        refused=("metadata.csv:1: is quoted as by a csv writer", "other lines begin with quotes"),
    ),
    "a text over two lines, quoted": Case(
        {"list.csv": 'path,text\na.wav,"Hello\nthere."\nb.wav,"Good ""bye""."\n', "a.wav": None, "b.wav": None},
        {"a.wav": "hello there.", "b.wav": 'good "bye".'},
        source="list.csv",
    ),
    "a text over two lines with commas": Case(
        {
            "list.csv": 'path,text\na.wav,"Hello,\nthere, friend."\nb.wav,"Good ""bye""."\n',
            "a.wav": None,
            "b.wav": None,
        },
        {"a.wav": "hello, there, friend.", "b.wav": 'good "bye".'},
        source="list.csv",
    ),
    "a quote that is closed on the next line": Case(
        {"list.csv": 'path,text\na.wav,"Hello\nb.wav,there"\nc.wav,"Good ""bye""."\n', "a.wav": None, "c.wav": None},
        refused=("list.csv:2: a quote is not closed: the text goes on over the next line",),
        source="list.csv",
    ),
    # Lists
    "a list": Case(
        {"train.txt": rows("{n}.wav|{t}"), **audio("")}, heard(""), ("list (train.txt",), source="train.txt"
    ),
    "the only list of a folder": Case({"all.lst": rows("{n}.wav|{t}"), **audio("")}, heard(""), ("list (all.lst",)),
    "a list with one speaker": Case(
        {"list.txt": rows("wavs/{n}.wav|{t}|anna"), **audio()}, heard(), ("speakers from column 3",), source="list.txt"
    ),
    "a list with two speakers": Case(
        {
            "list.txt": rows("wavs/{n}.wav|{t}|anna", NAMES[:8], SENTENCES[:8])
            + rows("wavs/{n}.wav|{t}|bert", NAMES[8:], SENTENCES[8:])
        }
        | audio(),
        refused=(
            "has 2 speakers, anna (8), bert (4)",
            "`corpus.speaker: anna`",
            "--set fixed.corpus.speaker=anna",
            "If column 3 does not name speakers, say so with `corpus.columns.speaker: none`",
        ),
        source="list.txt",
    ),
    "a list with two speakers, one chosen": Case(
        {
            "list.txt": rows("wavs/{n}.wav|{t}|anna", NAMES[:8], SENTENCES[:8])
            + rows("wavs/{n}.wav|{t}|bert", NAMES[8:], SENTENCES[8:])
        }
        | audio(),
        {file: text for file, text in heard().items() if file >= "wavs/clip-08"},
        ("speaker bert, 4 of 12 clips, 8 of other speakers left out",),
        source="list.txt",
        settings={"speaker": "bert"},
    ),
    "a list with two speakers, all taken": Case(
        {
            "list.txt": rows("wavs/{n}.wav|{t}|anna", NAMES[:8], SENTENCES[:8])
            + rows("wavs/{n}.wav|{t}|bert", NAMES[8:], SENTENCES[8:])
        }
        | audio(),
        heard(),
        ("2 speakers as one voice",),
        source="list.txt",
        settings={"speaker": "all"},
    ),
    "a speaker who is not there": Case(
        {"list.txt": rows("wavs/{n}.wav|{t}|anna"), **audio()},
        refused=("no clip is of `corpus.speaker` = 'carl'; there are anna (12)",),
        source="list.txt",
        settings={"speaker": "carl"},
    ),
    "a speaker where none is named": Case(
        {"list.txt": rows("wavs/{n}.wav|{t}"), **audio()},
        refused=("no column was found to name speakers", "`corpus.columns.speaker: COLUMN`"),
        source="list.txt",
        settings={"speaker": "anna"},
    ),
    "labels that are no speakers, said so": Case(
        {
            "list.txt": rows("wavs/{n}.wav|{t}|good", NAMES[:8], SENTENCES[:8])
            + rows("wavs/{n}.wav|{t}|fair", NAMES[8:], SENTENCES[8:])
        }
        | audio(),
        heard(),
        ("not used: column 3 holds the same values for many clips ('good', 'fair')",),
        source="list.txt",
        settings={"columns": ColumnsConfig(speaker="none")},
    ),
    "ratings from 1 to 3": Case(
        {"metadata.csv": rows("{n}|{t}|2", NAMES[:5], SENTENCES[:5]) + rows("{n}|{t}|3", NAMES[5:], SENTENCES[5:])}
        | audio(),
        heard(),
        (
            "not used: column 3 holds numbers ('2', '3')",
            "if column 3 names speakers, say so with `corpus.columns.speaker: 3`",
        ),
    ),
    "ratings in a column that is said to hold speakers": Case(
        {
            "metadata.csv": "id|text|speaker\n"
            + rows("{n}|{t}|0", NAMES[:6], SENTENCES[:6])
            + rows("{n}|{t}|1", NAMES[6:], SENTENCES[6:])
        }
        | audio(),
        refused=("has 2 speakers, 0 (6), 1 (6)", "If `speaker` does not name speakers"),
    ),
    "numbers of speakers, as in VITS": Case(
        {
            "list.txt": rows("wavs/{n}.wav|0|{t}", NAMES[:6], SENTENCES[:6])
            + rows("wavs/{n}.wav|1|{t}", NAMES[6:], SENTENCES[6:])
        }
        | audio(),
        refused=("has 2 speakers, 0 (6), 1 (6)",),
        source="list.txt",
        settings={"columns": ColumnsConfig(speaker=2)},
    ),
    "a speaker's column with an unknown name": Case(
        {
            "data.csv": "path,text,who\n"
            + rows("wavs/{n}.wav,{t},anna", NAMES[:6], MINIMAL[:6])
            + rows("wavs/{n}.wav,{t},bert", NAMES[6:], MINIMAL[6:])
        }
        | audio(),
        heard(),
        ("if `who` names speakers, say so with `corpus.columns.speaker: who`",),
    ),
    "number of a speaker, chosen": Case(
        {
            "list.txt": rows("wavs/{n}.wav|0|{t}", NAMES[:6], SENTENCES[:6])
            + rows("wavs/{n}.wav|1|{t}", NAMES[6:], SENTENCES[6:])
        }
        | audio(),
        {file: text for file, text in heard().items() if file < "wavs/clip-06"},
        source="list.txt",
        settings={"speaker": 0, "columns": ColumnsConfig(speaker=2)},
    ),
    "the text before the path": Case(
        {"list.txt": rows("{t}|wavs/{n}.wav"), **audio()}, heard(), ("recordings from column 2",), source="list.txt"
    ),
    "tabs without a header": Case(
        {"list.tsv": rows("wavs/{n}.wav\t{t}"), **audio()}, heard(), ("cut at tabs",), source="list.tsv"
    ),
    "commas without a header": Case(
        {"list.csv": rows("wavs/{n}.wav,{t}", texts=MINIMAL), **audio()},
        heard(),
        ("cut at commas, quoted",),
        source="list.csv",
    ),
    "commas, with | in the texts": Case(
        {"list.csv": rows("wavs/{n}.wav,{t}", texts=PIPED), **audio()},
        refused=NO_SYMBOL,
        source="list.csv",
    ),
    "a table cut at commas, with | in half of the texts": Case(
        {"metadata.csv": "file_name,text\n" + rows("{n}.wav,{t}", texts=PIPED), **audio()},
        refused=NO_SYMBOL,
    ),
    "ids and commas, with | in half of the texts": Case(
        {"metadata.csv": rows("{n},{t}", texts=PIPED), **audio()},
        refused=NO_SYMBOL,
    ),
    "ids and |, with a comma in each text": Case(
        {"metadata.csv": rows("{n}|{t}", texts=tuple(f"Well, {text}" for text in SENTENCES)), **audio()},
        {file: f"well, {text}" for file, text in heard().items()},
        ("texts from column 2",),
    ),
    "semicolons": Case(
        {"list.csv": rows("wavs/{n}.wav;{t}"), **audio()}, heard(), ("cut at semicolons",), source="list.csv"
    ),
    "one line of many with four columns": Case(
        {"metadata.csv": rows("{n}|{t}") + "x|one|two|three\n", **audio()},
        refused=("metadata.csv:13: must have 2 columns as the other lines, but got 4 column(s): 'x|one|two|three'",),
    ),
    "a list of another machine": Case(
        {"list.txt": rows("/home/bob/data/{n}.wav|{t}"), **audio()},
        heard(),
        ("in wavs/, by the last part of the path",),
        source="list.txt",
    ),
    "a list of Windows": Case(
        {"list.txt": rows("wavs\\{n}.wav|{t}"), **audio()}, heard(), ("with / for \\",), source="list.txt"
    ),
    "NVIDIA's lists, given by the folder": Case(
        {
            "filelists/train.txt": rows("DUMMY/{n}.wav|{t}"),
            "filelists/val.txt": "DUMMY/clip-00.wav|Not this.\n",
            **audio(),
        },
        refused=("several files that could be its list: filelists/train.txt, filelists/val.txt",),
    ),
    "NVIDIA's lists": Case(
        {"filelists/train.txt": rows("DUMMY/{n}.wav|{t}"), **audio()},
        refused=("The recording is outside of the corpus: 12", "`corpus.follow_links: true`"),
        source="filelists/train.txt",
    ),
    "NVIDIA's lists, allowed": Case(
        {"filelists/train.txt": rows("DUMMY/{n}.wav|{t}"), **audio()},
        heard(),
        ("in ../wavs/, by the last part of the path",),
        source="filelists/train.txt",
        settings={"follow_links": True},
    ),
    "NVIDIA's only list, given by the folder": Case(
        {"filelists/all.txt": rows("DUMMY/{n}.wav|{t}"), **audio()}, heard(), ("list (filelists/all.txt",)
    ),
    "a list and recordings in folders of their own": Case(
        {"Texte/liste.csv": "Datei;Text\n" + rows("{n}.wav;{t}"), **audio("Meine Aufnahmen/")},
        heard("Meine Aufnahmen/"),
        ("(Texte/liste.csv", "in Meine Aufnahmen/"),
    ),
    "a list alone, with the recordings in another folder beside its own": Case(
        {"Texte/liste.csv": "Datei;Text\n" + rows("{n}.wav;{t}"), **audio("Meine Aufnahmen/")},
        refused=("The recording is outside of the corpus: 12", "give a folder that holds the list and the recordings"),
        source="Texte/liste.csv",
    ),
    "recordings that another corpus beside this one has more of": Case(
        {"metadata.csv": rows("{n}|{t}"), "wavs/clip-00.wav": None},
        refused=("The recording does not exist: 11",),
        beside=audio(""),
    ),
    "LJSpeech by leave, with another sentence in the third column": Case(
        {"metadata.csv": rows("{n}|So etwas hat noch niemand {i} gesehen|{t}"), **audio()},
        heard(),
        settings={"layout": "ljspeech"},
    ),
    "Coqui's list": Case(
        {"metadata.csv": "audio_file|text|speaker_name\n" + rows("wavs/{n}.wav|{t}|anna"), **audio()},
        heard(),
        ("recordings from `audio_file`", "speakers from `speaker_name`", "speaker anna, 12 of 12 clips"),
    ),
    "CSS10's list": Case(
        {"transcript.txt": rows("wavs/{n}.wav|{t}|{t}|{i}.5"), **audio()},
        heard(),
        ("texts from column 3 or column 2", "column 4 holds numbers"),
    ),
    "two lists": Case(
        {"train.csv": rows("wavs/{n}.wav|{t}"), "val.csv": "x.wav|Hello.\n", **audio()},
        refused=(
            "several files that could be its list: train.csv, val.csv",
            "train.csv`",
            "`corpus.validation_source: ",
        ),
    ),
    # Tables
    "Common Voice": Case(
        {
            "validated.tsv": "client_id\tpath\tsentence\tup_votes\tage\n" + rows("a1\t{n}.mp3\t{t}\t2\t"),
            "invalidated.tsv": "client_id\tpath\tsentence\tup_votes\tage\n",
            **audio("clips/", ".mp3"),
        },
        heard("clips/", ".mp3"),
        ("table with a header (validated.tsv, cut at tabs)", "`path`, in clips/", "texts from `sentence`"),
    ),
    "Common Voice as it is unpacked": Case(
        {
            "cv-corpus/en/validated.tsv": "client_id\tpath\tsentence\n" + rows("a1\t{n}.mp3\t{t}"),
            **audio("cv-corpus/en/clips/", ".mp3"),
        },
        heard("cv-corpus/en/clips/", ".mp3"),
    ),
    "Common Voice of three speakers": Case(
        {
            "validated.tsv": "client_id\tpath\tsentence\n"
            + rows("a" * 128 + "\t{n}.mp3\t{t}", NAMES[:6], SENTENCES[:6])
            + rows("b" * 128 + "\t{n}.mp3\t{t}", NAMES[6:9], SENTENCES[6:9])
            + rows("c" * 128 + "\t{n}.mp3\t{t}", NAMES[9:], SENTENCES[9:]),
            **audio("clips/", ".mp3"),
        },
        refused=("has 3 speakers, aaaaaaaaaaaa (6), bbbbbbbbbbbb (3)", "`corpus.speaker: aaaaaaaaaaaa`"),
    ),
    "Common Voice, a speaker by the beginning of the hash": Case(
        {
            "validated.tsv": "client_id\tpath\tsentence\n"
            + rows("a" * 128 + "\t{n}.mp3\t{t}", NAMES[:6], SENTENCES[:6])
            + rows("b" * 128 + "\t{n}.mp3\t{t}", NAMES[6:], SENTENCES[6:]),
            **audio("clips/", ".mp3"),
        },
        {file: text for file, text in heard("clips/", ".mp3").items() if file < "clips/clip-06"},
        settings={"speaker": "a" * 12},
    ),
    "Common Voice, a tab inside of a text": Case(
        {
            "validated.tsv": "client_id\tpath\tsentence\tup_votes\n"
            + rows("a" * 128 + "\t{n}.mp3\t{t}\t2", NAMES[:11], SENTENCES[:11])
            + rows("a" * 128 + "\t{n}.mp3\tShe closed\tthe window.\t2", NAMES[11:], SENTENCES[11:]),
            **audio("clips/", ".mp3"),
        },
        refused=(
            "validated.tsv:13: must have 4 columns as the other lines, but got 5 column(s): "
            r"'clip-11.mp3\tShe closed\tthe window.\t2'. Is a tab inside the text?",
        ),
    ),
    "Common Voice, faulty lines of another speaker": Case(
        {
            "validated.tsv": "client_id\tpath\tsentence\tup_votes\n"
            + rows("a" * 128 + "\t{n}.mp3\t{t}\t2", NAMES[:10], SENTENCES[:10])
            + rows("b" * 128 + "\t{n}.mp3\tShe closed\tthe window.\t2", NAMES[10:11], SENTENCES[10:11])
            + rows("b" * 128 + "\t{n}.mp3\t\t2", NAMES[11:], SENTENCES[11:]),
            **audio("clips/", ".mp3"),
        },
        {file: text for file, text in heard("clips/", ".mp3").items() if file < "clips/clip-10"},
        ("10 of 12 clips, 2 of other speakers left out",),
        settings={"speaker": "a" * 12},
    ),
    "Common Voice, too little of the hash": Case(
        {
            "validated.tsv": "client_id\tpath\tsentence\n"
            + rows("a" * 128 + "\t{n}.mp3\t{t}", NAMES[:6], SENTENCES[:6])
            + rows("b" * 128 + "\t{n}.mp3\t{t}", NAMES[6:], SENTENCES[6:]),
            **audio("clips/", ".mp3"),
        },
        refused=(
            "no clip is of `corpus.speaker` = 'aaa'; there are",
            "too short: give the first 12 characters or more, as `corpus.speaker: aaaaaaaaaaaa`",
        ),
        settings={"speaker": "aaa"},
    ),
    "Mozilla's table": Case(
        {
            "train.csv": "wav_filename,wav_filesize,transcript\n" + rows("wavs/{n}.wav,8{i},{t}", texts=MINIMAL),
            **audio(),
        },
        heard(),
        ("recordings from `wav_filename`", "texts from `transcript`", "`wav_filesize` holds numbers"),
    ),
    "a table of pandas with its index": Case(
        {"data.csv": ",file,text\n" + rows("{i},wavs/{n}.wav,{t}", texts=MINIMAL), **audio()},
        heard(),
        ("recordings from `file`",),
    ),
    "a table quoted as a whole": Case(
        {"data.csv": '"path","text"\n' + rows('"wavs/{n}.wav",{t}', texts=QUOTED), **audio()}, heard()
    ),
    "a header in LJSpeech layout": Case(
        {"metadata.csv": "id|text|normalized_text\n" + rows("{n}|{t}|{t}"), **audio()},
        heard(),
        ("texts from `normalized_text` or `text` where that is empty",),
    ),
    "a header with unknown names": Case(
        {"metadata.csv": "take|said\n" + rows("{n}|{t}"), **audio()},
        refused=("metadata.csv:1: there is no recording 'take'", "`corpus.layout: table`"),
    ),
    "a header with unknown names, said so": Case(
        {"metadata.csv": "take|said\n" + rows("{n}|{t}"), **audio()},
        heard(),
        ("recordings from `take`", "texts from `said`"),
        settings={"layout": "table"},
    ),
    "a header with one known name": Case(
        {"metadata.csv": "path|said\n" + rows("{n}|{t}"), **audio()}, heard(), ("texts from `said`",)
    ),
    "a table whose text column holds numbers": Case(
        {"data.csv": "path,text,said\n" + rows("wavs/{n}.wav,{length},{t}", texts=MINIMAL), **audio()},
        heard(),
        ("texts from `said`", "`text` holds numbers"),
    ),
    "a table with two unknown texts": Case(
        {"data.csv": "path,first,second\n" + rows("wavs/{n}.wav,{t},Noch niemand hat {i} davon gesehen", texts=MINIMAL)}
        | audio(),
        refused=("more than one column reads like text", "Choose one, such as `corpus.columns.text: second`"),
    ),
    "a table with two unknown texts, one chosen": Case(
        {"data.csv": "path,first,second\n" + rows("wavs/{n}.wav,{t},Noch niemand hat {i} davon gesehen", texts=MINIMAL)}
        | audio(),
        heard(),
        settings={"columns": ColumnsConfig(text="first")},
    ),
    "a column that is not there": Case(
        {"data.csv": "path,text\n" + rows("wavs/{n}.wav,{t}", texts=MINIMAL), **audio()},
        refused=("`corpus.columns.text` = 'words' is no column; there are path, text",),
        settings={"columns": ColumnsConfig(text="words")},
    ),
    "a header alone": Case({"data.csv": "path,text\n"}, refused=("has a header, and no rows",)),
    "a table without quotes where they are needed": Case(
        {"data.csv": "path,text\n" + rows("wavs/{n}.wav,{t}"), **audio()},
        refused=("data.csv:6: must have 2 columns", "but got 3 column(s)"),
    ),
    # Hugging Face, NeMo
    "Hugging Face, metadata.jsonl": Case(
        {"metadata.jsonl": jsonl(file_name="audio/{n}.wav", transcription="{t}"), **audio("audio/")},
        heard("audio/"),
        ("JSON lines (metadata.jsonl)", "`file_name`", "texts from `transcription`", "`duration` holds numbers"),
    ),
    "Hugging Face, metadata.csv": Case(
        {"metadata.csv": "file_name,transcription\n" + rows("{n}.wav,{t}", texts=MINIMAL), **audio("")}, heard("")
    ),
    "Hugging Face, a folder for each split": Case(
        {"train/metadata.jsonl": jsonl(file_name="{n}.wav", text="{t}"), **audio("train/")}, heard("train/")
    ),
    "Hugging Face, two splits": Case(
        {"train/metadata.csv": "file_name,text\n", "test/metadata.csv": "file_name,text\n"},
        refused=("test/metadata.csv, train/metadata.csv", "train/metadata.csv`"),
    ),
    "NeMo's manifest": Case(
        {"manifest.json": jsonl(audio_filepath="wavs/{n}.wav", text="{t}"), **audio()}, heard(), ("`audio_filepath`",)
    ),
    "one JSON array": Case(
        {"metadata.json": json.dumps([{"file_name": "a.wav", "text": "Hello."}])},
        refused=("is one JSON array; write one object per line",),
    ),
    "lines of JSON, some broken": Case(
        {"metadata.jsonl": jsonl(file_name="{n}.wav", text="{t}") + '{"file_name": "x.wav", "te\n[1]\n', **audio("")},
        refused=("The line cannot be understood: 2", "metadata.jsonl:13: is no JSON object", "metadata.jsonl:14"),
    ),
    # Pairs
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
    ),
    "texts beside recordings, with a note": Case(
        {**audio(""), **{f"{name}.txt": text for name, text in zip(NAMES, SENTENCES, strict=True)}, "README.txt": "?"},
        heard(""),
        ("not used: 1 texts without a recording (README.txt)",),
    ),
    "texts beside recordings, one missing, one empty": Case(
        {**audio(""), **{f"{name}.txt": text for name, text in zip(NAMES[:-1], SENTENCES[:-1], strict=True)}}
        | {"clip-00.txt": " \n"},
        refused=(
            "No text: 2",
            "clip-00.txt:1: the text of 'clip-00.wav' is empty",
            "clip-11.wav: has no text beside it",
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
    # Links and paths (cases/11)
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
    # Not usable
    "nothing": Case({}, refused=("has no metadata.csv, no other list and no recordings",)),
    "recordings without texts": Case(audio(""), refused=("holds 12 recordings, but no texts; add a metadata.csv",)),
    "a folder in place of the list": Case(
        {**audio(""), "metadata.csv/clips.ods": None}, refused=("has a folder metadata.csv/, but no list",)
    ),
    "an archive": Case({"corpus.zip": b"PK"}, refused=("is an archive; unpack it",), source="corpus.zip"),
    "a spreadsheet": Case({"list.xlsx": b"PK"}, refused=("is a spreadsheet; save it as CSV",), source="list.xlsx"),
    "Parquet": Case({"data-0001.parquet": b"PAR1"}, refused=("a data set in Parquet", "unpack or export it")),
    "a Kaldi folder": Case({"wav.scp": "a a.wav\n", "text": "a hello\n"}, refused=("is a Kaldi folder",)),
    "a recording": Case(audio(""), refused=("is a recording; give the folder",), source="clip-00.wav"),
    "no such folder": Case({}, refused=("the corpus does not exist",), source="gone"),
    "UTF-16": Case(
        {"metadata.csv": rows("{n}|{t}").encode("utf-16"), **audio()},
        refused=("metadata.csv:1: is not UTF-8 but UTF-16; save the file as UTF-8",),
    ),
    "one line in another encoding": Case(
        {"metadata.csv": rows("{n}|{t}").encode() + "x|два слова\n".encode("cp1251"), **audio(), "wavs/x.wav": None},
        refused=("metadata.csv:13: is not UTF-8 (byte 0xe4)",),
    ),
    "words without columns": Case(
        {"list.txt": rows("{n} hello"), **audio()}, refused=("its lines have no columns",), source="list.txt"
    ),
    "a text of 100,000 characters": Case(
        {"metadata.csv": rows("{n}|{t}") + f"x|{'long ' * 20_000}\n", **audio(), "wavs/x.wav": None},
        refused=("metadata.csv:13: the text of 'x' has 99,999 characters, which no clip can hold",),
    ),
    "a line of two million bytes": Case(
        {"metadata.csv": rows("{n}|{t}") + "x|" + "long " * 400_000 + "\n", **audio()},
        refused=("metadata.csv:13: the line is longer than 1,048,576 bytes",),
    ),
    "lines of ten thousand columns": Case(
        {"metadata.csv": ("a|" * 10_000 + "\n") * 100}, refused=("has lines of more than 200 columns",)
    ),
    "all lines in another encoding": Case(
        {"metadata.csv": ("два|слова\n" * 1500).encode("cp1251")}, refused=("not UTF-8: 1500",)
    ),
    "faults of many kinds at once": Case(
        {
            "metadata.csv": rows("{n}|{t}")
            + "gone|Lost.\n|Nameless.\nmute|\na|b|c|d\nclip-00|Again.\n../../x|Outside.\n",
            **audio(),
        },
        refused=(
            "A wrong number of columns: 1\n  metadata.csv:16",
            "No recording is named: 1\n  metadata.csv:14",
            "The recording does not exist: 1\n  metadata.csv:13",
            "The recording is outside of the corpus: 1\n  metadata.csv:18",
            "The recording is listed twice: 1\n  metadata.csv:17",
            "No text: 1\n  metadata.csv:15",
        ),
    ),
    "pairs where a list was said": Case(
        {"a.wav": None, "a.txt": "Hello.", "b.wav": None, "b.txt": "Bye."},
        refused=("has no list, but texts beside the recordings; `corpus.layout` is table, not pairs",),
        settings={"layout": "table"},
    ),
}


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


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.taken is not None])
def test_a_corpus_is_taken(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    assert case.taken is not None
    corpus, layout = _load(case, tmp_path)
    clips = (*corpus.train, *corpus.validation)
    assert {_relative(clip.wav, tmp_path / "corpus"): clip.text for clip in clips} == case.taken
    assert "\n" not in layout
    for words in case.layout:
        assert words in layout


def _relative(path: Path, folder: Path) -> str:
    assert path.is_file()
    return os.path.relpath(path, folder.resolve())


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.taken is None])
def test_a_corpus_is_refused(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    with pytest.raises(CorpusError) as refused:
        _load(case, tmp_path)
    text = str(refused.value)
    for words in case.refused:
        assert re.search(re.escape(words), text, re.IGNORECASE), text
    assert len(text) < 4000


def test_the_table_has_sixty_corpora() -> None:
    assert len(CASES) >= 60
