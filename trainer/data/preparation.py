"""From a corpus to its folder of features: on all cores, and continued after a kill.

Unfinished work is in `features/.unfinished`: computed shards, the folder that they are written into, and a lock, with
which one of several processes makes the folder while the others wait. What was not touched for a week is removed.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from trainer.config import TrainerConfig
from trainer.data.atomic_folders import flush, remove_abandoned
from trainer.data.corpus import Corpus, Listing, list_corpus, read_lists, split_lists, utterances
from trainer.data.faults import OF_THE_CORPUS, CorpusFaults, Fault, refuse
from trainer.data.features_settings import write_settings
from trainer.data.features_writer import FeaturesWriter
from trainer.data.processes import Workers, cores
from trainer.data.progress import OnProgress
from trainer.data.shards import FORMAT, Shard, batches, compute, cut
from trainer.data.space import bytes_needed, check_space, saying_what_is_needed
from trainer.data.texts import read_texts
from trainer.data.utterance import Utterance
from trainer.errors import CorpusError
from trainer.files import lock
from trainer.text import TEXT_RULES, symbols_of

FEATURES, UNFINISHED = "features", ".unfinished"  # folders in the cache, and in the first one
SPACE = "The features of the corpus need"
FEW_CLIPS = 64  # fewer are computed faster than processes start
LIBRARIES = ("trainer.data.shards", "trainer.data.audio_files")  # of `compute`
KEPT = 7 * 24 * 3600.0  # seconds that unfinished work stays untouched before it is removed


def features_folder(config: TrainerConfig, content: str) -> Path:
    """Named by a hash of all that the features depend on. content: `Listing.content`."""
    corpus = config.corpus
    dependencies = {
        "format": FORMAT,
        "symbols": symbols_of(config.text),
        "text": (*asdict(config.text).values(), TEXT_RULES),
        "content": content,
        "split": (corpus.validation_share, corpus.split_seed),
        "max_seconds": corpus.max_seconds,
        "audio": asdict(config.audio),
    }
    key = hashlib.sha256(json.dumps(dependencies, sort_keys=True).encode()).hexdigest()[:24]
    return Path(config.paths.cache) / FEATURES / key


def prepare(config: TrainerConfig, progress: OnProgress) -> Path:
    """Make the folder of features where it does not exist, and return it. Raises CorpusError as `open_features`."""
    # Listed again, with all lines: they may have changed since the folder was looked for.
    listing = list_corpus(config.corpus, Path(config.paths.cache), progress, config.text)
    folder = features_folder(config, listing.content)
    unfinished = folder.parent / UNFINISHED
    unfinished.mkdir(parents=True, exist_ok=True)
    remove_abandoned(unfinished, "*", KEPT)
    locked = unfinished / f"{folder.name}.lock"
    with lock(locked, lambda: progress(0, 1, "waiting for another process that prepares this corpus")):
        if not folder.is_dir():
            with Workers(_processes(listing), LIBRARIES) as workers:  # they load these while the texts are read
                try:
                    corpus = utterances(listing, config.text)
                except CorpusFaults as faults:
                    raise with_those_of_recordings(faults, config, progress) from faults
                _make(folder, unfinished / folder.name, corpus, config, workers, progress)
        # Without the lock file, too, other processes find the finished folder.
        locked.unlink(missing_ok=True)
    return folder


def with_those_of_recordings(found: CorpusFaults, config: TrainerConfig, progress: OnProgress) -> CorpusFaults:
    """The faults of lists and texts together with those of the recordings whose lines and texts can be used.

    Computes the shards of these, which are found again once the faults are mended.
    """
    lists = read_lists(config.corpus, Path(config.paths.cache), progress)
    if any(fault.kind in OF_THE_CORPUS for fault in found.faults) or sum(len(each.clips) for each in lists) < 2:
        return found
    listing = split_lists(lists, config.corpus)
    lines = (*listing.train, *listing.validation)
    readings = read_texts([(line.origin, line.text) for line in lines], config.text).readings
    readable = {line.name: reading.text for line, reading in zip(lines, readings, strict=True) if reading}

    def usable(lines: Sequence[Utterance]) -> list[Utterance]:
        return [replace(line, text=readable[line.name]) for line in lines if line.name in readable]

    unfinished = Path(config.paths.cache) / FEATURES / UNFINISHED
    unfinished.mkdir(parents=True, exist_ok=True)
    splits = (usable(listing.train), usable(listing.validation))
    shards = [shard for clips in splits for shard in cut(clips, unfinished, config.audio, config.corpus.max_seconds)]
    try:
        check_space(unfinished, bytes_needed(shards), SPACE)
    except CorpusError:  # the faults found so far must be told all the same
        return found
    with Workers(_processes(listing), LIBRARIES) as workers:
        try:
            _compute_missing(shards, len(readable), workers, progress)
        except CorpusFaults as of_recordings:
            return CorpusFaults([*found.faults, *of_recordings.faults])
    return found


def _processes(listing: Listing) -> int:
    return cores() if len(listing.train) + len(listing.validation) >= FEW_CLIPS else 1


def _make(
    folder: Path, beside: Path, corpus: Corpus, config: TrainerConfig, workers: Workers, progress: OnProgress
) -> None:
    shards: list[Shard] = []
    for clips in (corpus.train, corpus.validation):
        shards += cut(clips, beside.parent, config.audio, config.corpus.max_seconds)
    writer = FeaturesWriter(beside, config.audio.n_mels)

    def left() -> list[Shard]:
        return shards[writer.resume(shards) :]

    while rest := left():
        check_space(beside, bytes_needed(rest), SPACE)
        with saying_what_is_needed(beside, lambda: bytes_needed(left()), SPACE):
            _compute_missing(rest, len(corpus.train) + len(corpus.validation), workers, progress)
            with suppress(FileNotFoundError):  # the preparation of another corpus used up a shard of both
                for batch in batches(rest):
                    writer.append(batch)
    try:
        writer.finish(corpus, symbols_of(config.text), config.corpus)
    except CorpusError:
        shutil.rmtree(beside)
        raise
    write_settings(beside, config)
    flush(beside)
    beside.rename(folder)
    (folder / "counts.bin").unlink()
    for shard in shards:  # a kill may leave some that are appended
        shard.path.unlink(missing_ok=True)


def _compute_missing(shards: Sequence[Shard], total: int, workers: Workers, progress: OnProgress) -> None:
    """Compute the missing ones of `shards`; raises CorpusFaults with all faulty recordings."""
    missing = [shard for shard in shards if not shard.path.exists()]
    missing.sort(key=lambda shard: len(shard.clips), reverse=True)  # so that all processes end together
    done = total - sum(len(shard.clips) for shard in missing)

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total, "log-mel features")

    faulty: list[Fault] = []
    for found in workers.each(compute, missing, step):
        faulty += found
    refuse(sorted(faulty, key=_place))


def _place(fault: Fault) -> tuple[str, int]:
    """The list, and the number of the line."""
    name, _, line = fault.origin.rpartition(":")
    return (name, int(line)) if line.isdigit() else (fault.origin, 0)
