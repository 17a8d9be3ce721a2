"""From a corpus to its folder of features: all cores, and from where the last start came to.

What is unfinished lies in `features/.unfinished`: parts that are done, the folder that they are put together in, and a
lock, so that of several processes that want the same folder one makes it, while the others wait. What nobody has
touched for a week is cleared away.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path

from trainer.config import TrainerConfig
from trainer.data.assembly import Assembly
from trainer.data.corpus import SHOWN_PROBLEMS, Corpus, list_corpus, utterances
from trainer.data.folders import Progress, flush, remove_abandoned
from trainer.data.parts import FORMAT, Part, compute, cut
from trainer.data.processes import cores, spread
from trainer.data.settings import write_settings
from trainer.errors import CorpusError
from trainer.files import lock
from trainer.text import SYMBOLS

FEW_CLIPS = 64  # are computed sooner than processes are started
KEPT = 7 * 24 * 3600.0  # seconds


def features_folder(config: TrainerConfig, content: str) -> Path:
    """Named by a hash of all that features depend on. content: `Listing.content`."""
    corpus = config.corpus
    told = {
        "format": FORMAT,
        "symbols": SYMBOLS,
        "content": content,
        "split": (corpus.validation_share, corpus.split_seed),
        "language": corpus.language,
        "max_seconds": corpus.max_seconds,
        "audio": asdict(config.audio),
    }
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]
    return Path(config.paths.cache) / "features" / key


def prepare(config: TrainerConfig, progress: Progress) -> Path:
    """Make the folder of features where it is not there, and return it. Raises CorpusError as `open_features`."""
    # Listed anew, with all lines: they may have changed since somebody looked for the folder.
    listing = list_corpus(config.corpus, Path(config.paths.cache), progress)
    corpus = utterances(config.corpus, listing)
    folder = features_folder(config, listing.content)
    unfinished = folder.parent / ".unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    remove_abandoned(unfinished, "*", KEPT)
    locked = unfinished / f"{folder.name}.lock"
    with lock(locked, lambda: progress(0, 1, "waiting for another process that prepares this corpus")):
        if not folder.is_dir():
            _make(folder, unfinished / folder.name, corpus, config, progress)
        # Whoever waited for it finds the folder, and so does whoever makes a new one.
        locked.unlink(missing_ok=True)
    return folder


def _make(folder: Path, beside: Path, corpus: Corpus, config: TrainerConfig, progress: Progress) -> None:
    parts: list[Part] = []
    for clips in (corpus.train, corpus.validation):
        parts += cut(clips, beside.parent, config.audio, config.corpus.max_seconds)
    assembly = Assembly(beside, config.audio.n_mels)
    while rest := parts[assembly.resume(parts) :]:
        _compute_missing(rest, len(corpus.train) + len(corpus.validation), progress)
        with suppress(FileNotFoundError):  # another corpus took a part that it has in common with this one
            for part in rest:
                assembly.append(part)
    try:
        assembly.finish(corpus, config.corpus.max_seconds)
    except CorpusError:
        shutil.rmtree(beside)
        raise
    write_settings(beside, config)
    flush(beside)
    beside.rename(folder)
    (folder / "counts.bin").unlink()
    for part in parts:  # a kill may have left some that are in
        part.path.unlink(missing_ok=True)


def _compute_missing(parts: Sequence[Part], total: int, progress: Progress) -> None:
    """Compute those of `parts` that are not there; raises CorpusError with up to ten recordings that are at fault."""
    missing = [part for part in parts if not part.path.exists()]
    clips = sum(len(part.clips) for part in missing)
    done = total - clips

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total, "log-mel features")

    faults = []
    processes = cores() if clips >= FEW_CLIPS else 1
    with closing(spread(compute, missing, processes, step)) as results:
        for found in results:
            faults += found
            if len(faults) >= SHOWN_PROBLEMS:
                break
    if faults:
        faults.sort(key=lambda fault: fault.place)
        more = "\n... and maybe more." if len(faults) >= SHOWN_PROBLEMS else ""
        raise CorpusError("\n".join(fault.text for fault in faults[:SHOWN_PROBLEMS]) + more)
