"""Evaluates a voice in full. A process of the trainer does the work: it speaks, measures, and writes a folder."""

from pathlib import Path

import optuna
from rich.console import Console

from smart_tuner.errors import StudyError
from smart_tuner.evaluation import Evaluation, read_evaluation
from smart_tuner.results import study_result
from smart_tuner.run.trainer_command import run_trainer
from smart_tuner.store.attributes import Attr
from smart_tuner.workspace import Workspace
from trainer.protocol import RunDir


def evaluate_voice(
    voice: Path,
    folder: Path,
    workspace: Workspace,
    console: Console,
    *,
    corpus: str | None = None,
    texts: Path | None = None,
    vocoder: str | None = None,
    device: str = "auto",
) -> Evaluation:
    """Raises UserError with the trainer's own message where the voice, the corpus, the texts or the folder cannot be
    used; then the folder is as it was."""
    options = {
        "out": folder,
        "cache": workspace.cache,
        "device": device,
        "corpus": corpus,
        "texts": texts,
        "vocoder": vocoder,
    }
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    run_trainer(
        ["evaluate", *given, "--", str(voice)],  # so that names may begin with a dash
        console,
        task="the evaluation",
        interrupted=f"stopping; {folder} stays as it was",
    )
    return read_evaluation(folder)


def trial_to_evaluate(study: optuna.Study, workspace: Path, console: Console) -> int:
    """The best trial, or the one nearest to feasible. Raises StudyError where no trial has figures yet."""
    result = study_result(study, workspace, lambda number: None)
    shown = result.best or result.nearest
    if shown is None:
        raise StudyError(f"study {study.study_name!r}: no trial has a voice yet; `smart-tuner status` shows why.")
    kind = "best" if result.best else "nearest to feasible"
    console.print(f"trial {shown.trial} of study {study.study_name!r}, {kind}", highlight=False, markup=False)
    return shown.trial


def voice_of(study: optuna.Study, number: int, workspace: Path) -> Path:
    """Raises StudyError where the study has no such trial, or its voice is not on this machine."""
    trials = study.get_trials(deepcopy=False)
    if not 0 <= number < len(trials):
        raise StudyError(f"study {study.study_name!r} has no trial {number}; it has {len(trials)}, counted from 0.")
    run_dir = trials[number].user_attrs.get(Attr.RUN_DIR)
    checkpoint = RunDir(workspace / run_dir).best_checkpoint if run_dir else None
    if checkpoint is None or not checkpoint.is_file():
        where = f" ({checkpoint} is missing)" if checkpoint else ""
        raise StudyError(
            f"trial {number} of study {study.study_name!r} has no voice on this machine{where}; name another with "
            "--trial, or a file with --voice."
        )
    return checkpoint
