"""`smart-tuner evaluate`: measures one voice in full, and writes figures, a table and a page."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smart_tuner.cli.opening import make_console, store_options
from smart_tuner.cli.options import Device, Name, Storage, Study, Workspace
from smart_tuner.cli.voices import Vocoder, VoiceFile, VoiceTrial, choose_voice

if TYPE_CHECKING:
    from smart_tuner.evaluation import Evaluation
    from smart_tuner.spec import StudySpec

FOLDER_OF_TEXTS = "evaluation-of-texts"

_Corpus = Annotated[
    str | None,
    typer.Option(help="Where the recordings are, if not where the voice was trained on them; as for `optimize`."),
]
_Texts = Annotated[
    Path | None,
    typer.Option("--texts", "-t", help="Speak this file, one text per line, instead of the validation sentences."),
]
_Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "--output",
        "-o",
        help=f"Folder to write (default: evaluation or {FOLDER_OF_TEXTS} in the folder of the trial, or with "
        "--voice in that of the voice, for a file in the current folder). An earlier evaluation in it is replaced.",
    ),
]


def evaluate(
    study: Study = None,
    trial: VoiceTrial = None,
    voice: VoiceFile = None,
    corpus: _Corpus = None,
    texts: _Texts = None,
    out: _Out = None,
    vocoder: Vocoder = None,
    device: Device = None,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Measure a voice on all validation sentences of its corpus, or on texts: a verdict, figures, the worst to hear."""
    from smart_tuner.errors import UserError
    from smart_tuner.pages.evaluation import write_evaluation_page
    from smart_tuner.run.evaluation import evaluate_voice
    from smart_tuner.terminal.evaluation import print_evaluation
    from smart_tuner.workspace import EVALUATION_FOLDER
    from smart_tuner.workspace import Workspace as Folders

    if texts is not None and corpus is not None:
        raise UserError("--texts and --corpus exclude each other: texts have no recordings.")
    progress = make_console(stderr=True)
    chosen = choose_voice(
        study=study,
        trial=trial,
        voice=voice,
        name=name,
        workspace=workspace,
        storage=storage,
        console=progress,
    )
    evaluation = evaluate_voice(
        chosen.checkpoint,
        out or chosen.folder / (FOLDER_OF_TEXTS if texts else EVALUATION_FOLDER),
        Folders(chosen.settings.workspace),
        progress,
        corpus=corpus,
        texts=texts,
        vocoder=vocoder,
        device=device or chosen.settings.device,
    )
    if chosen.spec is not None:
        evaluation = _of_a_trial(evaluation, chosen.spec, store_options(chosen.settings))
    page = write_evaluation_page(evaluation)
    print_evaluation(evaluation, make_console())
    typer.echo(page)


def _of_a_trial(evaluation: "Evaluation", spec: "StudySpec", options: str) -> "Evaluation":
    """With what its study adds: why `best` has other figures, and how to train longer."""
    from smart_tuner.command_hints import is_worth_training, train_longer
    from smart_tuner.formatting import counted

    spoken = counted(spec.spoken_sentences, "sentence")
    others = (
        [f"`smart-tuner best` and the report show figures of at most {spoken}, so these differ."]
        if evaluation.corpus
        else []
    )
    longer = train_longer(spec, options) if evaluation.verdict and is_worth_training(evaluation.verdict) else ""
    return replace(evaluation, notes=[*evaluation.notes, *others], longer=longer)
