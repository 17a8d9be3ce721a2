"""Lists of paths and texts, with speakers and other columns, and where their recordings are."""

from pathlib import Path

import pytest
from corpora import MINIMAL, NAMES, SENTENCES, Case, audio, check, heard, quoted, rows

from trainer.config import ColumnsConfig

PIPED = tuple(quoted(text.replace(" ", " | ", 1)) for text in SENTENCES[:7]) + MINIMAL[7:]
NO_SYMBOL = ("A character without a symbol: 7", "'|' (U+007C VERTICAL LINE)")

CASES: dict[str, Case] = {
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
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_corpus(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
