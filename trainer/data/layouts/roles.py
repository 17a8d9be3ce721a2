"""Which columns of a list are the recording, the text and the speaker.

What `corpus.columns` names is taken as it is. Else a header's known names decide, then values: recordings exist, a text
reads like text. Where two columns could be the text and are different sentences, the user decides.
"""

from collections.abc import Iterable, Sequence

from trainer.config import ColumnsConfig
from trainer.data.faults import CorpusFaults, Fault, FaultKind, setting
from trainer.data.layouts.columns import (
    Column,
    Reads,
    may_number_speakers,
    names_speakers,
    reads_like,
    same_sentences,
    words,
)
from trainer.data.layouts.layout import Columns

RECORDINGS = (
    "path",
    "file_name",
    "filename",
    "file",
    "audio_filepath",
    "audio_file",
    "audio_path",
    "audio",
    "audio.path",
    "wav_filename",
    "wav_path",
    "wav_file",
    "wav",
    "filepath",
    "file_path",
    "clip",
    "recording",
    "utterance_id",
    "utt_id",
    "clip_id",
    "id",
    "name",
)
NORMALISED = (
    "normalized_text",
    "normalised_text",
    "text_normalized",
    "text_normalised",
    "normalized",
    "normalised",
    "normalized_transcription",
    "normalized_transcript",
    "clean_text",
    "cleaned_text",
)
WRITTEN = (
    "sentence",
    "text",
    "transcript",
    "transcription",
    "transcribed_text",
    "raw_text",
    "original_text",
    "raw_transcription",
    "raw_transcript",
    "utterance",
    "label",
    "caption",
    "prompt",
    "phrase",
)
TEXTS = (*NORMALISED, *WRITTEN)
SPEAKERS = (
    "speaker",
    "speaker_id",
    "speaker_name",
    "speakerid",
    "spk",
    "spk_id",
    "spkid",
    "client_id",
    "voice",
    "reader",
    "reader_id",
    "narrator",
    "person",
    "actor",
    "sprecher",
    "locuteur",
    "hablante",
    "диктор",
    "user_id",
)
NO_SPEAKER = "none"  # of `corpus.columns.speaker`: no column names speakers
FEW = 10  # clips, below which repeated texts say little


def choose(
    columns: Sequence[Column], recording: Column, given: ColumnsConfig, origin: str, *, is_ljspeech: bool
) -> Columns:
    """The roles of `columns`. is_ljspeech: the user says that the last one is the normalised text.

    Raises CorpusFaults where no column, or more than one, could be the text.
    """
    rest = [column for column in columns if column is not recording]
    texts = _given_text(columns, given, origin) or _named_texts(rest) or _texts_by_values(rest, origin, is_ljspeech)
    rest = [column for column in rest if column not in texts]
    speaker = _speaker(columns, rest, given, origin)
    others = tuple(column for column in rest if column is not speaker)
    perhaps = None if speaker or given.speaker != "" else _perhaps_speaker(others, texts[0])
    return Columns(recording, texts, speaker, others, perhaps)


def named(columns: Sequence[Column], name: str | int, key: str, origin: str) -> Column:
    """The column that `corpus.columns` names. Raises CorpusFaults for one that is not there."""
    wanted = str(name).strip()
    for column in columns:
        if wanted == column.name or (not column.name and wanted == str(column.number + 1)):
            return column
    if wanted.isdecimal() and 1 <= int(wanted) <= len(columns):
        return columns[int(wanted) - 1]
    there = ", ".join(column.setting for column in columns)
    hint = "" if any(column.name for column in columns) else " (this list has no header: give a number)"
    raise CorpusFaults(
        [Fault(FaultKind.LAYOUT, origin, f"`corpus.columns.{key}` = {name!r} is no column; there are {there}{hint}.")]
    )


def known(columns: Iterable[Column], names: Sequence[str]) -> list[Column]:
    """The columns with one of `names`, in the order of the names."""
    found = [(names.index(column.name.lower()), column) for column in columns if column.name.lower() in names]
    return [column for _, column in sorted(found, key=lambda each: each[0])]


def _given_text(columns: Sequence[Column], given: ColumnsConfig, origin: str) -> tuple[Column, ...]:
    return () if given.text == "" else (named(columns, given.text, "text", origin),)


def _named_texts(columns: Sequence[Column]) -> tuple[Column, ...]:
    """By the header: the normalised text, and the written one for rows without it."""
    readable = [column for column in columns if reads_like(column) is Reads.TEXT]
    normalised = known(readable, NORMALISED)[:1]
    written = known(readable, WRITTEN)[:1]
    if normalised and written and not same_sentences(normalised[0], written[0]):
        normalised = []
    return (*normalised, *written)


def _texts_by_values(columns: Sequence[Column], origin: str, is_ljspeech: bool) -> tuple[Column, ...]:
    columns = [column for column in columns if column.filled]
    readable = [column for column in columns if reads_like(column) is Reads.TEXT]
    if not readable and len(columns) == 1 and _may_repeat(columns[0]):
        readable = list(columns)
    if not readable:
        raise CorpusFaults([Fault(FaultKind.LAYOUT, origin, _no_text(columns))])
    longest = max(map(words, readable))
    # A word beside sentences is a name or a mood.
    first, *others = [column for column in readable if words(column) > longest / 3]
    different = [column for column in others if not same_sentences(first, column)]
    if different and not is_ljspeech:
        raise CorpusFaults([Fault(FaultKind.LAYOUT, origin, _several_texts([first, *different]))])
    if not others:
        return (first,)
    return (others[0], first)  # as in LJSpeech, the later one is normalised


def _may_repeat(column: Column) -> bool:
    """Few clips may all have one text."""
    return reads_like(column) is Reads.LABELS and len(column.filled) < FEW


def _no_text(columns: Sequence[Column]) -> str:
    if not columns:
        return "holds no texts; each line needs a recording and its text, `path|text`."
    found = "; ".join(column.described for column in columns[:8])
    return (
        f"no column reads like text: {found}. Add the texts, or choose a column with "
        f"{setting('columns.text', columns[-1].setting)}."
    )


def _several_texts(columns: Sequence[Column]) -> str:
    found = "; ".join(column.described for column in columns[:8])
    return (
        f"more than one column reads like text: {found}. Choose one, such as "
        f"{setting('columns.text', columns[-1].setting)}."
    )


def _speaker(columns: Sequence[Column], rest: Sequence[Column], given: ColumnsConfig, origin: str) -> Column | None:
    if given.speaker == NO_SPEAKER and NO_SPEAKER not in (column.name for column in columns):
        return None
    if given.speaker != "":
        return named(columns, given.speaker, "speaker", origin)
    for column in known(rest, SPEAKERS):
        if column.filled:
            return column
    return next((column for column in rest if not column.name and names_speakers(column)), None)


def not_speakers(column: Column) -> str:
    """How to say that `column` does not name speakers."""
    return f"If {column.shown} does not name speakers, say so with {setting('columns.speaker', NO_SPEAKER)}."


def _perhaps_speaker(columns: Sequence[Column], text: Column) -> Column | None:
    """Of the columns that are not used, the first that may name several speakers."""
    several = [column for column in columns if len(set(column.filled)) > 1]
    return next((each for each in several if names_speakers(each) or may_number_speakers(each, text)), None)
