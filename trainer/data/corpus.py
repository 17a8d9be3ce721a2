"""A corpus on disk: its recordings and texts, whether they can be used, and how they are split.

Sources: the embedded corpora (`demo:en`), a folder, or a list; `trainer.data.layouts` finds out how they are laid out.
All faults of the lists are found and reported together, before any audio is read. Does not open the recordings.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.config import CorpusConfig, TextConfig
from trainer.data.demo import corpus as demo
from trainer.data.faults import CorpusFaults, Fault, FaultKind, refuse
from trainer.data.layouts.detection import detect
from trainer.data.layouts.layout import Layout
from trainer.data.layouts.reading import Entry, entries
from trainer.data.layouts.speakers import Speakers
from trainer.data.progress import OnProgress, no_progress
from trainer.data.recordings import Recordings, UnusableRecording
from trainer.data.texts import read_texts
from trainer.data.utterance import Utterance
from trainer.errors import CorpusError

SHOWN_PROBLEMS = 10
BETWEEN_LISTS = "; for validation: "
CONTENT_BYTES = 16  # of a line's hash
_UTF8 = ("utf-8", "surrogateescape")  # names of files may be no UTF-8


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


@dataclass(frozen=True)
class ReadList:
    """One list as it was read: its usable clips in the order of its lines, and the faults of the other lines."""

    clips: tuple[Utterance, ...]
    faults: tuple[Fault, ...]
    layout: str  # in one line


def list_corpus(
    config: CorpusConfig, cache: Path, progress: OnProgress = no_progress, text: TextConfig | None = None
) -> Listing:
    """Read, check and split. Writes the embedded corpus under `cache` where `config` names one.

    Keeps all lines in memory, some 700 bytes each. Raises CorpusFaults, which has all faults: which line, what was got,
    and how to mend it. text: so that where lines are faulty, texts that cannot be read are named beside them.
    """
    lists = read_lists(config, cache, progress)
    faults = [fault for each in lists for fault in each.faults]
    written = [(clip.origin, clip.text) for each in lists for clip in each.clips]
    if faults and text and written:
        faults += read_texts(written, text).faults
    refuse(faults)
    return split_lists(lists, config)


def read_lists(config: CorpusConfig, cache: Path, progress: OnProgress = no_progress) -> list[ReadList]:
    """The list of `config`, or those of both splits. Raises CorpusFaults for a list that cannot be understood."""
    lists = [_read_list(_Source(source, config, cache, progress)) for source in _sources(config)]
    if len(lists) == 2:
        lists[1] = _without_shared(*lists)
    return lists


def split_lists(lists: Sequence[ReadList], config: CorpusConfig) -> Listing:
    """The usable clips of `read_lists` in two splits. Raises CorpusFaults where they are too few."""
    content = _content([_digests(each.clips)[1] for each in lists])
    layout = BETWEEN_LISTS.join(each.layout for each in lists)
    if len(lists) == 2:
        return Listing(tuple(_by_name(lists[0].clips)), tuple(_by_name(lists[1].clips)), content, layout)
    if len(lists[0].clips) < 2:
        text = "has fewer than two usable clips; at least 2 are needed, one to train on and one to validate."
        raise CorpusFaults([Fault(FaultKind.LAYOUT, config.source, text)])
    return _split(lists[0].clips, config, content, layout)


def check_corpus(config: CorpusConfig, text: TextConfig) -> Corpus | None:
    """The corpus of `config`, read and checked without writing anything; None where an embedded corpus is part of it.

    Raises CorpusError as `list_corpus` and `utterances`.
    """
    embedded = [source for source in _sources(config) if source.startswith(demo.PREFIX)]
    for source in embedded:
        demo.check_language(source, text)
    return None if embedded else utterances(list_corpus(config, Path(), text=text), text)


def describe_layout(config: CorpusConfig) -> str:
    """How the corpus is understood, in one line, from a look at its lists; "" for an embedded one.

    Raises as `list_corpus`.
    """
    sources = [source for source in _sources(config) if not source.startswith(demo.PREFIX)]
    return BETWEEN_LISTS.join(str(detect(source, config)) for source in sources)


def content_hash(
    config: CorpusConfig, cache: Path, progress: OnProgress = no_progress, text: TextConfig | None = None
) -> str:
    """`list_corpus(...).content` in one pass that keeps 24 bytes per line. Raises as `list_corpus`."""
    try:
        digests = [_digests(_Source(source, config, cache, progress)) for source in _sources(config)]
    except CorpusError:
        return list_corpus(config, cache, progress, text).content  # raises one error that names all problems
    wavs = np.concatenate([wavs for wavs, _ in digests])
    if len(wavs) < 2 or not np.diff(np.sort(wavs)).all():
        return list_corpus(config, cache, progress, text).content  # raises: clips are repeated, or too few
    return _content([contents for _, contents in digests])


def utterances(listing: Listing, text: TextConfig) -> Corpus:
    """The texts of `listing` as the model reads them. Raises CorpusFaults for all that cannot be read, and ConfigError
    as `read_texts`.
    """
    written = (*listing.train, *listing.validation)
    read = read_texts([(line.origin, line.text) for line in written], text)
    refuse(read.faults)
    lines = tuple(
        replace(line, text=reading.text) for line, reading in zip(written, read.readings, strict=True) if reading
    )
    return Corpus(lines[: len(listing.train)], lines[len(listing.train) :], read.language)


def _digests(lines: Iterable[Utterance | Fault]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bytes_]]:
    """-> (lines,) hashes of the recordings' paths, (lines,) `Utterance.content`.

    Raises CorpusFaults at the first faulty line.
    """
    wavs = bytearray()
    contents = bytearray()
    for line in lines:
        if isinstance(line, Fault):
            raise CorpusFaults([line])
        wavs += hashlib.blake2b(f"{line.root}/{line.name}".encode(*_UTF8), digest_size=8).digest()
        contents += line.content
    return np.frombuffer(wavs, dtype=np.uint64), np.frombuffer(contents, dtype=f"S{CONTENT_BYTES}")


def _content(lists: Iterable[npt.NDArray[np.bytes_]]) -> str:
    return hashlib.sha256(b"|".join(np.sort(contents).tobytes() for contents in lists)).hexdigest()


def _split(lines: Sequence[Utterance], config: CorpusConfig, content: str, layout: str) -> Listing:
    def draw(line: Utterance) -> bytes:
        # A hash per clip, not a shuffle: another order or another clip does not move clips between the splits.
        return hashlib.sha256(f"{config.split_seed}\0{line.name}".encode(*_UTF8)).digest()

    drawn = sorted(lines, key=draw)
    held_out = min(max(1, round(config.validation_share * len(drawn))), len(drawn) - 1)
    return Listing(tuple(_by_name(drawn[held_out:])), tuple(_by_name(drawn[:held_out])), content, layout)


def _by_name(lines: Iterable[Utterance]) -> list[Utterance]:
    return sorted(lines, key=lambda line: line.name)


def _without_shared(train: ReadList, validation: ReadList) -> ReadList:
    """The list for validation, with a fault for each recording that is also in the list for training."""
    seen = {line.wav: line for line in train.clips}
    shared = [
        Fault(
            FaultKind.REPEATED,
            line.origin,
            f"{line.name!r} is also in the training list ({seen[line.wav].origin}); remove one of the two lines.",
            recording=str(line.wav),
            written=line.text,
        )
        for line in validation.clips
        if line.wav in seen
    ]
    clips = tuple(line for line in validation.clips if line.wav not in seen)
    return replace(validation, clips=clips, faults=(*validation.faults, *shared))


def _sources(config: CorpusConfig) -> list[str]:
    return [config.source, *([config.validation_source] if config.validation_source else [])]


def _layout(source: str, config: CorpusConfig, cache: Path, progress: OnProgress) -> Layout:
    if not source.startswith(demo.PREFIX):
        return detect(source, config)
    defaults = CorpusConfig()
    for key in ("layout", "columns", "speaker"):
        if getattr(config, key) != getattr(defaults, key):
            raise CorpusError(f"`corpus.{key}` has no effect on the embedded corpus {source}; remove it.")
    return detect(str(demo.demo_corpus(source, cache, progress)), defaults)


class _Source:
    """Each clip of a list, or its fault. Raises CorpusFaults where the list cannot be understood."""

    def __init__(self, source: str, config: CorpusConfig, cache: Path, progress: OnProgress) -> None:
        self._layout = _layout(source, config, cache, progress)
        self._recordings = Recordings(self._layout.root, config.follow_links)
        self._speakers = Speakers(self._layout, str(config.speaker))

    @property
    def layout(self) -> str:
        """After all clips were read, with their speakers."""
        return "; ".join(filter(None, (str(self._layout), str(self._speakers))))

    def __iter__(self) -> Iterator[Utterance | Fault]:
        takes = self._speakers.takes
        for entry in entries(self._layout):
            if isinstance(entry, Fault):
                if not entry.speaker or takes(entry.speaker):
                    yield entry
            elif takes(entry.speaker):
                yield self._clip(entry)
        yield from self._speakers.faults()

    def _clip(self, entry: Entry) -> Utterance | Fault:
        try:
            name, stamp = self._recordings.find(entry.recording)
        except UnusableRecording as error:
            return Fault(error.kind, entry.origin, str(error), recording=entry.recording, written=entry.text)
        parts = "\0".join((entry.id, name, entry.text, stamp)).encode(*_UTF8)
        content = hashlib.blake2b(parts, digest_size=CONTENT_BYTES).digest()
        return Utterance(entry.id, self._recordings.root, name, entry.text, entry.origin, content, entry.speaker)


def _read_list(source: _Source) -> ReadList:
    first: dict[str, str] = {}
    clips: list[Utterance] = []
    faults: list[Fault] = []
    for line in source:
        if isinstance(line, Fault):
            faults.append(line)
        elif line.name in first:
            text = f"{line.id!r} is listed already ({first[line.name]}); remove one of the two lines."
            faults.append(Fault(FaultKind.REPEATED, line.origin, text, recording=str(line.wav), written=line.text))
        else:
            first[line.name] = line.origin
            clips.append(line)
    return ReadList(tuple(clips), tuple(faults), source.layout)
