"""A corpus on disk: its recordings and texts, whether they can be used, and how they are split.

Sources: the embedded corpora (`demo:en`), a folder in LJSpeech layout (`metadata.csv` of
`id|text|normalised text`, `wavs/id.wav`), or a file list of `path|text`. Lists are UTF-8, one clip per line,
without a header or quotes; a byte order mark, CRLF and blank lines are accepted.
All problems of the lists are found and reported together, before any audio is read.
Does not open the recordings: `trainer.data.audio_files` does.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from trainer.config import CorpusConfig, TextConfig
from trainer.data.demo import corpus as demo
from trainer.data.progress import OnProgress, no_progress
from trainer.data.recordings import Recordings, short
from trainer.data.texts import read_texts
from trainer.errors import CorpusError

SHOWN_PROBLEMS = 10
_RECORDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")  # no lists, if given as a corpus
CONTENT_BYTES = 16  # of a line's hash

T = TypeVar("T")
U = TypeVar("U")
Columns = Callable[[str, str], tuple[str, str, str]]  # line, origin -> id, name of the recording, text


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of a list.

    root: the corpus's folder; name: the recording's path in it; text: as written, or normalised;
    origin: "metadata.csv:17"; content: a hash of id, name, the written text and the recording's stamp.
    """

    id: str
    root: str
    name: str
    text: str
    origin: str
    content: bytes

    @property
    def wav(self) -> Path:
        return Path(self.root, self.name)


@dataclass(frozen=True)
class Listing:
    """Both splits with their texts as written, each sorted by name: the order of lines does not matter."""

    train: tuple[Utterance, ...]
    validation: tuple[Utterance, ...]
    content: str  # a hash of all lines
    layout: str = ""  # how the corpus was understood, in one line


@dataclass(frozen=True)
class Corpus:
    """Both splits with normalised texts. Neither is empty, and no recording is in both."""

    train: tuple[Utterance, ...]
    validation: tuple[Utterance, ...]
    language: str


def list_corpus(config: CorpusConfig, cache: Path, progress: OnProgress = no_progress) -> Listing:
    """Read, check and split. Writes the embedded corpus under `cache` where `config` names one.

    Keeps all lines in memory, some 700 bytes each. Raises CorpusError, which names each faulty line (the first ten in
    full), what was got and how to fix it.
    """
    lists = [_usable(_read(source, cache, progress)) for source in _sources(config)]
    content = _content([_digests(read)[1] for read in lists])
    if len(lists) == 2:
        _refuse_shared(*lists)
        return Listing(tuple(_by_name(lists[0])), tuple(_by_name(lists[1])), content)
    if len(lists[0]) < 2:
        raise CorpusError(
            f"{config.source}: has only one usable clip; at least 2 are needed, one to train on and one to validate."
        )
    return _split(lists[0], config, content)


def check_corpus(config: CorpusConfig, text: TextConfig) -> Corpus | None:
    """The corpus of `config`, read and checked without writing anything; None where an embedded corpus is part of it.

    Raises CorpusError as `list_corpus` and `utterances`.
    """
    embedded = [source for source in _sources(config) if source.startswith(demo.PREFIX)]
    for source in embedded:
        demo.check_language(source, text)
    return None if embedded else utterances(list_corpus(config, Path()), text)


def content_hash(config: CorpusConfig, cache: Path, progress: OnProgress = no_progress) -> str:
    """`list_corpus(...).content` in one pass that keeps 24 bytes per line. Raises as `list_corpus`."""
    try:
        digests = [_digests(_read(source, cache, progress)) for source in _sources(config)]
    except CorpusError:
        return list_corpus(config, cache, progress).content  # raises one error that names all problems
    wavs = np.concatenate([wavs for wavs, _ in digests])
    if len(np.unique(wavs)) < max(2, len(wavs)):
        return list_corpus(config, cache, progress).content  # raises: clips are repeated, or too few
    return _content([contents for _, contents in digests])


def utterances(listing: Listing, text: TextConfig) -> Corpus:
    """The texts of `listing` as the model reads them. Raises as `read_texts`."""
    written = (*listing.train, *listing.validation)
    read = read_texts([(line.origin, line.text) for line in written], text)
    lines = tuple(replace(line, text=reading.text) for line, reading in zip(written, read.readings, strict=True))
    return Corpus(lines[: len(listing.train)], lines[len(listing.train) :], read.language)


def _digests(lines: Iterable[Utterance | CorpusError]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bytes_]]:
    """-> (lines,) hashes of the recordings' paths, (lines,) `Utterance.content`.

    Raises CorpusError at the first faulty line.
    """
    wavs = bytearray()
    contents = bytearray()
    for line in lines:
        if isinstance(line, CorpusError):
            raise line
        wavs += hashlib.blake2b(f"{line.root}/{line.name}".encode(), digest_size=8).digest()
        contents += line.content
    return np.frombuffer(wavs, dtype=np.uint64), np.frombuffer(contents, dtype=f"S{CONTENT_BYTES}")


def _content(lists: Iterable[npt.NDArray[np.bytes_]]) -> str:
    return hashlib.sha256(b"|".join(np.sort(contents).tobytes() for contents in lists)).hexdigest()


def _split(lines: Sequence[Utterance], config: CorpusConfig, content: str) -> Listing:
    def draw(line: Utterance) -> bytes:
        # A hash per clip, not a shuffle: another order or another clip does not move clips between the splits.
        return hashlib.sha256(f"{config.split_seed}\0{line.name}".encode()).digest()

    drawn = sorted(lines, key=draw)
    held_out = min(max(1, round(config.validation_share * len(drawn))), len(drawn) - 1)
    return Listing(tuple(_by_name(drawn[held_out:])), tuple(_by_name(drawn[:held_out])), content)


def _by_name(lines: Iterable[Utterance]) -> list[Utterance]:
    return sorted(lines, key=lambda line: line.name)


def _refuse_shared(train: Sequence[Utterance], validation: Sequence[Utterance]) -> None:
    seen = {line.wav: line for line in train}
    for line in validation:
        if line.wav in seen:
            raise CorpusError(
                f"{line.origin}: {line.name!r} is also in the training list ({seen[line.wav].origin}); remove one of "
                "the two lines."
            )


def _sources(config: CorpusConfig) -> list[str]:
    return [config.source, *([config.validation_source] if config.validation_source else [])]


def _list_of(source: str, cache: Path, progress: OnProgress) -> tuple[Path, Columns]:
    """The file that lists the clips of `source`, and the parser of its lines."""
    if source.startswith(demo.PREFIX):
        return demo.demo_corpus(source, cache, progress) / "metadata.csv", _ljspeech_columns
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix.lower() in _RECORDINGS:
            raise CorpusError(f"{source}: is a recording; give the folder that holds it, with its `metadata.csv`.")
        return path, _file_list_columns
    if not path.is_dir():
        raise CorpusError(
            f"{source}: the corpus does not exist; give a folder in LJSpeech layout, a file list of `path|text` "
            "lines, or `demo:en`."
        )
    metadata = path / "metadata.csv"
    if not metadata.is_file():
        raise CorpusError(
            f"{source}: has no metadata.csv; add one with lines `id|text|normalised text`, or name a file list."
        )
    return metadata, _ljspeech_columns


def _read(source: str, cache: Path, progress: OnProgress) -> Iterator[Utterance | CorpusError]:
    """Each line of the list, or its error; raises CorpusError where reading cannot continue."""
    path, columns = _list_of(source, cache, progress)
    read = _reader(path, columns)
    for numbered in _lines(path):
        try:
            yield read(numbered)
        except CorpusError as error:
            yield error


def _usable(read: Iterable[Utterance | CorpusError]) -> list[Utterance]:
    """All lines; raises CorpusError for all faulty lines and repeated recordings."""
    first: dict[str, str] = {}

    def new(line: Utterance | CorpusError) -> Utterance:
        if isinstance(line, CorpusError):
            raise line
        where = f"{line.root}/{line.origin}"
        if line.name in first:
            raise CorpusError(
                f"{where}: {line.id!r} is listed already ({first[line.name]}); remove one of the two lines."
            )
        first[line.name] = where
        return line

    return _all(new, read)


def _reader(path: Path, columns: Columns) -> Callable[[tuple[int, str]], Utterance]:
    recordings = Recordings(path.parent)

    def read(numbered: tuple[int, str]) -> Utterance:
        origin = f"{path}:{numbered[0]}"
        id_, given, text = columns(numbered[1], origin)
        name, stamp = recordings.find(given, origin)
        content = hashlib.blake2b("\0".join((id_, name, text, stamp)).encode(), digest_size=CONTENT_BYTES).digest()
        return Utterance(id_, recordings.root, name, text, f"{path.name}:{numbered[0]}", content)

    return read


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, line) of each line that is not blank; raises CorpusError for an empty file or one not in UTF-8."""
    empty = True
    with path.open("rb") as file:  # as bytes: text mode also splits at separators that may be inside a text
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError as error:
                raise CorpusError(
                    f"{path}:{number}: is not UTF-8 (byte 0x{error.object[error.start]:02x}); save the file as UTF-8."
                ) from error
            if line.strip():
                empty = False
                yield number, line
    if empty:
        raise CorpusError(f"{path}: is empty; it needs one line per recording.")


def _ljspeech_columns(line: str, origin: str) -> tuple[str, str, str]:
    columns = [column.strip() for column in line.split("|")]
    if len(columns) not in (2, 3):
        raise CorpusError(
            f"{origin}: must be `id|text` or `id|text|normalised text`, but got {len(columns)} column(s): "
            f"{short(line)}."
        )
    id_ = columns[0].removesuffix(".wav")
    return (id_, *_named(f"wavs/{id_}.wav" if id_ else "", next(filter(None, reversed(columns[1:])), ""), origin))


def _file_list_columns(line: str, origin: str) -> tuple[str, str, str]:
    columns = [column.strip() for column in line.split("|")]
    if len(columns) != 2:
        raise CorpusError(f"{origin}: must be `path|text`, but got {len(columns)} column(s): {short(line)}.")
    return (columns[0], *_named(columns[0], columns[1], origin))


def _named(name: str, text: str, origin: str) -> tuple[str, str]:
    if not name:
        raise CorpusError(f"{origin}: names no recording; write its name in the first column.")
    if not text:
        raise CorpusError(f"{origin}: the text of {name!r} is empty; write what is said, or remove the line.")
    return name, text


def _all(make: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """Apply `make` to all items, or raise one CorpusError with the problems of all."""
    made, problems = [], []
    for item in items:
        try:
            made.append(make(item))
        except CorpusError as error:
            problems.append(str(error))
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        raise CorpusError("\n".join(problems[:SHOWN_PROBLEMS]) + (f"\n... and {more} more lines." if more > 0 else ""))
    return made
