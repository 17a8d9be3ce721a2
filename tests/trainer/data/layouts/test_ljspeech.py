"""metadata.csv: LJSpeech's layout, third columns that are no texts, and quotes."""

from pathlib import Path

import pytest
from corpora import MINIMAL, NAMES, QUOTED, Case, audio, check, heard, rows

from trainer.config import ColumnsConfig

CASES: dict[str, Case] = {
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
    # A third column that is no text
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
    # Quotes
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
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_corpus(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
