"""`smart-tuner evaluate`: measures one voice in full, and writes figures, a table and a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smart_tuner.cli.opening import existing_tuner, make_console, settings_from
from smart_tuner.cli.options import Device, Name, Storage, Workspace

if TYPE_CHECKING:
    import optuna
    from rich.console import Console

    from smart_tuner.config import Settings

FOLDER = "evaluation"
FOLDER_OF_TEXTS = "evaluation-of-texts"

_Study = Annotated[
    str | None,
    typer.Option(
        "--study", "-s", help="A study: its name in the store, or the path of its YAML file (default: the newest)."
    ),
]
_Trial = Annotated[int | None, typer.Option("--trial", "-n", help="A trial of it (default: the best).")]
_Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", "-c", help="Evaluate this best.pt instead of a trial.")
]
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
        help=f"Folder to write (default: {FOLDER} or {FOLDER_OF_TEXTS} in the folder of the trial, or with "
        "--checkpoint in the current folder). An earlier evaluation in it is replaced.",
    ),
]
_Vocoder = Annotated[
    str | None,
    typer.Option(
        help="What makes the sounds: hifigan (extra `vocoder`), griffin-lim, or the file of a HiFi-GAN generator "
        "(default: HiFi-GAN where it is installed and fits)."
    ),
]


def evaluate(
    study: _Study = None,
    trial: _Trial = None,
    checkpoint: _Checkpoint = None,
    corpus: _Corpus = None,
    texts: _Texts = None,
    out: _Out = None,
    vocoder: _Vocoder = None,
    device: Device = None,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Measure a voice on all validation sentences of its corpus, or on texts: a verdict, figures, the worst to hear."""
    from rich.console import Console

    from smart_tuner.errors import UserError
    from smart_tuner.pages.evaluation import write_evaluation_page
    from smart_tuner.run.evaluation import evaluate_voice
    from smart_tuner.terminal.evaluation import print_evaluation
    from smart_tuner.workspace import Workspace as Folders

    if texts is not None and corpus is not None:
        raise UserError("--texts and --corpus exclude each other: texts have no recordings.")
    progress = Console(stderr=True)
    if checkpoint is None:
        found, settings = _study(study, name, workspace, storage)
        voice = _voice(found, trial, settings, progress)
        parent = voice.parents[1]
    else:
        if study is not None or trial is not None or name is not None:
            raise UserError("--checkpoint names a voice by itself; leave out --study, --trial and --name.")
        settings = settings_from(workspace=workspace, storage=storage)
        voice = checkpoint
        parent = Path()
    evaluation = evaluate_voice(
        voice,
        out or parent / (FOLDER_OF_TEXTS if texts else FOLDER),
        Folders(settings.workspace),
        progress,
        corpus=corpus,
        texts=texts,
        vocoder=vocoder,
        device=device or settings.device,
    )
    page = write_evaluation_page(evaluation)
    print_evaluation(evaluation, make_console())
    typer.echo(page)


def _voice(study: "optuna.Study", trial: int | None, settings: "Settings", progress: "Console") -> Path:
    """The checkpoint of the trial, or else of the best one."""
    from smart_tuner.run.evaluation import trial_to_evaluate, voice_of

    number = trial_to_evaluate(study, settings.workspace, progress) if trial is None else trial
    return voice_of(study, number, settings.workspace)


def _study(
    study: str | None, name: str | None, workspace: Path | None, storage: str | None
) -> "tuple[optuna.Study, Settings]":
    """The named study, or the newest of the store that has a voice here."""
    if study is not None or name is not None:
        tuner = existing_tuner(study or str(name), name, workspace=workspace, storage=storage)
        return tuner.study(), tuner.settings
    from smart_tuner.run.evaluation import newest_study
    from smart_tuner.store.storage import open_to_read

    settings = settings_from(workspace=workspace, storage=storage)
    url = settings.storage_url
    return newest_study(open_to_read(url), url, settings.workspace), settings
