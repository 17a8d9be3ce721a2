"""A corpus on disk: which recordings and texts there are, whether they can be used, and how they are split.

Sources: the embedded corpora (`demo:en`), a folder in LJSpeech layout (`metadata.csv` of
`id|text|normalised text`, `wavs/id.wav`), or a file list of `path|text`. Lists are UTF-8, one clip per line,
without a header or quotes; a byte order mark, CRLF and blank lines are borne.
All of the lists' problems are found and reported together, before any audio is read.
Does not open the recordings: `trainer.audio.read` does.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from trainer.config import CorpusConfig
from trainer.data import demo
from trainer.data.folders import Progress, no_progress
from trainer.errors import CorpusError
from trainer.text import UnknownCharacter, detect_language, encode, normalise

SHOWN_PROBLEMS = 10

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Entry:
    """One line of a list, checked but not normalised.

    name: the recording's path relative to the corpus's folder; stamp: its size in bytes and modification time in ns.
    """

    id: str
    name: str
    wav: Path
    text: str
    origin: str
    stamp: tuple[int, int]


@dataclass(frozen=True)
class Listing:
    """The entries of both splits, each sorted by name, so that the order of lines means nothing."""

    train: tuple[Entry, ...]
    validation: tuple[Entry, ...]


@dataclass(frozen=True)
class Utterance:
    """One clip. text: normalised; tokens: ids of `trainer.text.SYMBOLS`; origin: "metadata.csv:17"."""

    id: str
    wav: Path
    text: str
    tokens: tuple[int, ...]
    origin: str


@dataclass(frozen=True)
class Corpus:
    """What there is to train on. Neither part is empty, and no recording is in both."""

    train: tuple[Utterance, ...]
    validation: tuple[Utterance, ...]
    language: str


def load_corpus(config: CorpusConfig, cache: Path, progress: Progress = no_progress) -> Corpus:
    """Read, check, split and normalise. Writes the embedded corpus under `cache` where one is asked for.

    Raises CorpusError naming each faulty line (the first ten in full), what was got and how to mend it.
    """
    return utterances(config, list_corpus(config, cache, progress))


def list_corpus(config: CorpusConfig, cache: Path, progress: Progress = no_progress) -> Listing:
    """`load_corpus` without the texts' normalisation: all that has to be known to look for ready features."""
    entries = _entries(config.source, cache, progress)
    if config.validation_source:
        validation = _entries(config.validation_source, cache, progress)
        _refuse_shared(entries, validation)
        return Listing(tuple(_by_name(entries)), tuple(_by_name(validation)))
    if len(entries) < 2:
        raise CorpusError(
            f"{config.source}: holds one usable clip only; at least 2 are needed, one to train on and one to validate."
        )
    return _split(entries, config)


def utterances(config: CorpusConfig, listing: Listing) -> Corpus:
    """Normalise and encode the texts of `listing`; raises CorpusError as `load_corpus`."""
    entries = (*listing.train, *listing.validation)
    language = detect_language(entry.text for entry in entries) if config.language == "auto" else config.language
    made = _each(lambda entry: _utterance(entry, language), entries)
    return Corpus(tuple(made[: len(listing.train)]), tuple(made[len(listing.train) :]), language)


def _utterance(entry: Entry, language: str) -> Utterance:
    try:
        text = normalise(entry.text, language)
    except UnknownCharacter as error:
        raise CorpusError(f"{entry.origin}: {error}; replace it in the text, or remove the line.") from error
    if not any(character.isalpha() for character in text):
        raise CorpusError(
            f"{entry.origin}: the text {entry.text!r} has no letter to speak; write one, or remove the line."
        )
    return Utterance(entry.id, entry.wav, text, tuple(encode(text)), entry.origin)


def _split(entries: Sequence[Entry], config: CorpusConfig) -> Listing:
    def draw(entry: Entry) -> bytes:
        # A hash per clip rather than a shuffle: neither the order nor a clip more moves the others across.
        return hashlib.sha256(f"{config.split_seed}\0{entry.name}".encode()).digest()

    drawn = sorted(entries, key=draw)
    held_out = min(max(1, round(config.validation_share * len(drawn))), len(drawn) - 1)
    return Listing(tuple(_by_name(drawn[held_out:])), tuple(_by_name(drawn[:held_out])))


def _by_name(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.name)


def _refuse_shared(train: Sequence[Entry], validation: Sequence[Entry]) -> None:
    seen = {entry.wav: entry for entry in train}
    for entry in validation:
        if entry.wav in seen:
            raise CorpusError(
                f"{entry.origin}: {entry.name!r} is trained on as well ({seen[entry.wav].origin}), so that it "
                "validates nothing; remove one of the two lines."
            )


def _entries(source: str, cache: Path, progress: Progress) -> list[Entry]:
    if source.startswith(demo.PREFIX):
        return _read_list(demo.demo_corpus(source, cache, progress) / "metadata.csv", _ljspeech_columns)
    path = Path(source).expanduser()
    if path.is_file():
        return _read_list(path, _file_list_columns)
    if not path.is_dir():
        raise CorpusError(
            f"{source}: the corpus does not exist; give a folder in LJSpeech layout, a file list of `path|text` "
            "lines, or `demo:en`."
        )
    metadata = path / "metadata.csv"
    if not metadata.is_file():
        raise CorpusError(
            f"{source}: holds no metadata.csv; add one with lines `id|text|normalised text`, or name a file list."
        )
    return _read_list(metadata, _ljspeech_columns)


def _read_list(path: Path, columns: Callable[[str, str], tuple[str, str, str]]) -> list[Entry]:
    lines = [(i, line) for i, line in enumerate(_lines(path), start=1) if line.strip()]
    if not lines:
        raise CorpusError(f"{path}: is empty; it needs one line per recording.")
    root = path.parent.resolve()
    first: dict[Path, str] = {}

    def entry(numbered: tuple[int, str]) -> Entry:
        origin = f"{path}:{numbered[0]}"
        id_, name, text = columns(numbered[1], origin)
        wav, stamp = _recording(root, name, origin)
        if wav in first:
            raise CorpusError(f"{origin}: {id_!r} is there already ({first[wav]}); remove one of the two lines.")
        first[wav] = origin
        return Entry(id_, wav.relative_to(root).as_posix(), wav, text, f"{path.name}:{numbered[0]}", stamp)

    return _each(entry, lines)


def _lines(path: Path) -> list[str]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{path}:{line}: is not UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8."
        ) from error
    # Not splitlines(): it also cuts at separators that may stand within a text.
    return [line.removesuffix("\r") for line in text.split("\n")]


def _ljspeech_columns(line: str, origin: str) -> tuple[str, str, str]:
    columns = [column.strip() for column in line.split("|")]
    if len(columns) not in (2, 3):
        raise CorpusError(
            f"{origin}: must be `id|text` or `id|text|normalised text`, but got {len(columns)} column(s): "
            f"{_short(line)}."
        )
    id_ = columns[0].removesuffix(".wav")
    return (id_, *_named(f"wavs/{id_}.wav" if id_ else "", next(filter(None, reversed(columns[1:])), ""), origin))


def _file_list_columns(line: str, origin: str) -> tuple[str, str, str]:
    columns = [column.strip() for column in line.split("|")]
    if len(columns) != 2:
        raise CorpusError(f"{origin}: must be `path|text`, but got {len(columns)} column(s): {_short(line)}.")
    return (columns[0], *_named(columns[0], columns[1], origin))


def _named(name: str, text: str, origin: str) -> tuple[str, str]:
    if not name:
        raise CorpusError(f"{origin}: names no recording; write its name into the first column.")
    if not text:
        raise CorpusError(f"{origin}: the text of {name!r} is empty; write what is said, or remove the line.")
    return name, text


def _recording(root: Path, name: str, origin: str) -> tuple[Path, tuple[int, int]]:
    """The recording's real path and its stamp. Raises CorpusError where it is missing or outside `root`."""
    try:
        wav = (root / name).resolve()
        inside = wav.is_relative_to(root)
        status = wav.stat() if inside and wav.is_file() else None
    except (OSError, ValueError) as error:  # a name that is too long, or that holds a zero byte
        raise CorpusError(f"{origin}: {_short(name)} cannot be the name of a file ({_reason(error)}).") from error
    if not inside:
        raise CorpusError(f"{origin}: {name!r} leads out of the corpus's folder {root}; put the recording under it.")
    if status is None:
        raise CorpusError(f"{origin}: the recording {root / name} does not exist; put it there, or remove the line.")
    return wav, (status.st_size, status.st_mtime_ns)


def _each(make: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """Make all, or raise one CorpusError with the problems of all."""
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


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
