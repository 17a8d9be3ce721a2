"""The short form of a check: the findings that are worth a line before a voice is trained on the corpus.

Kept beside the features, so that the recordings are read once more only when the corpus is new. An embedded corpus is
not read: its clips are as they were made.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from trainer.config import TrainerConfig
from trainer.corpus_report import Severity
from trainer.data.check.groups import Amount, Group, groups
from trainer.data.check.reading import read_corpus
from trainer.data.check.report import FORMAT, make_report
from trainer.data.demo.corpus import PREFIX
from trainer.data.features import Features, locate_features
from trainer.data.progress import OnProgress
from trainer.files import write_atomically

NAMED = 3  # rows of a group
_FILE = "check.json"
_FOUND = 2  # increase it when more is found, so that what was kept is not shown again


def brief_check(config: TrainerConfig, features: Features, progress: OnProgress) -> list[dict[str, Any]]:
    """The groups that are no notes, with their first rows, as they are in a report. Empty where `paths.features`
    names the features: the corpus may not be on this machine.

    features: of `config`. Raises CorpusError where the corpus changed since they were computed.
    """
    if config.paths.features:
        return []
    if config.corpus.source.startswith(PREFIX):
        return _shortened(groups([], _amount(config, features), []))
    folder = locate_features(config, progress)
    file = folder / _FILE if folder else None
    if file and (kept := _kept(file)) is not None:
        return kept
    found = _shortened(make_report(read_corpus(config, progress), config).groups)
    if file:
        with suppress(OSError):  # it is found again the next time
            _keep(file, found)
    return found


def _amount(config: TrainerConfig, features: Features) -> Amount:
    frames = sum(int(features.frames[i]) for i in (*features.train, *features.validation))
    minutes = frames * config.audio.hop_length / config.audio.sample_rate / 60
    rows = len(features) + features.skipped
    return Amount(rows, 0, len(features.train), len(features.validation), minutes)


def _shortened(found: Sequence[Group]) -> list[dict[str, Any]]:
    return [
        asdict(replace(group, findings=group.findings[:NAMED]))
        for group in found
        if group.severity is not Severity.NOTE
    ]


def _kept(file: Path) -> list[dict[str, Any]] | None:
    """None where it was not kept, or by another version."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found: list[dict[str, Any]] = content["groups"]
        return found if (content["format"], content["found"]) == (FORMAT, _FOUND) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(file: Path, found: Sequence[dict[str, Any]]) -> None:
    with write_atomically(file) as beside:
        content = {"format": FORMAT, "found": _FOUND, "groups": found}
        beside.write_text(json.dumps(content, ensure_ascii=False), "utf-8", "replace")
