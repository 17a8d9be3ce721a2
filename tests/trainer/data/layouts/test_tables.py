"""Tables with a header, and lines of JSON."""

import json
from pathlib import Path

import pytest
from corpora import MINIMAL, NAMES, QUOTED, SENTENCES, Case, audio, check, heard, jsonl, rows

from trainer.config import ColumnsConfig

CASES: dict[str, Case] = {
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
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_corpus(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
