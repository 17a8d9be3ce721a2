"""Checks a corpus in full. A process of the trainer does the work: it reads, measures, and writes a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from smart_tuner.corpus_check import CorpusCheck, read_check
from smart_tuner.errors import CorpusRefused, StudyError
from smart_tuner.run.trainer_command import run_trainer
from smart_tuner.workspace import Workspace
from trainer.config import TrainerConfig
from trainer.dotted import unflatten

SETTINGS = ("corpus.", "audio.", "text.")  # keys on which a check depends


def config_of(source: str, overrides: Mapping[str, Any], workspace: Workspace) -> TrainerConfig:
    """overrides: keys with or without `fixed.`, as a study has them. Raises StudyError for a key that says nothing of a
    corpus, ConfigError for a value that cannot be.
    """
    overrides = {key.removeprefix("fixed."): value for key, value in overrides.items()}
    if others := [key for key in overrides if not key.startswith(SETTINGS)]:
        raise StudyError(f"--set {', '.join(others)}: a check depends on keys of corpus, audio and text only.")
    raw = unflatten({"corpus.source": source, "paths.cache": str(workspace.cache), **overrides})
    return TrainerConfig.from_mapping(raw, "--set")


def check_corpus(
    config: TrainerConfig, folder: Path, console: Console, *, page: bool, texts: bool, fix: Path | None
) -> CorpusCheck:
    """folder: an empty one, for what is found. page: also what a page shows; texts: also each change of reading; fix:
    where to write a cleaned copy.

    Raises CorpusRefused with the trainer's own message where there is no corpus, or the copy cannot be written there.
    """
    path = folder / "config.json"
    path.write_text(config.to_json(), encoding="utf-8")
    wanted = [*(["--page"] if page else []), *(["--texts"] if texts else [])]
    copy = [f"--fix={fix.absolute()}"] if fix else []
    out = folder / "check"
    run_trainer(
        ["corpus-check", f"--out={out}", *wanted, *copy, "--", str(path)],
        console,
        task="checking the corpus",
        interrupted="stopping; nothing is written",
        refused=CorpusRefused,
    )
    return read_check(out)
