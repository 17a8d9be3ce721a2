"""`smart-tuner voice`: from a folder of recordings to a voice that speaks."""

from typing import Annotated

import typer

from smart_tuner.cli.opening import make_console, settings_from, store_options
from smart_tuner.cli.options import Device, Storage, TrackingUri, Workspace
from smart_tuner.cli.voices import FromVoice, voice_file


def voice(
    corpus: Annotated[str, typer.Argument(help="A folder of recordings and texts, a list of them, or demo:en.")],
    hours: Annotated[float | None, typer.Option(min=0.05, help="How long it may take in all.")] = None,
    minutes: Annotated[float | None, typer.Option(min=3, help="The same in minutes.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the voice (default: that of the folder).")] = None,
    from_voice: FromVoice = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of all trials, e.g. text.language=de. Repeatable."),
    ] = None,
    device: Device = None,
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Make a voice: check the corpus, search a good setting, train it, measure it, let it speak.

    About a third of the time goes into the search, the rest into the training of the best setting; how fast this
    machine trains is measured, and the plan is shown, before anything is searched. Each step is a command that is
    printed. Ctrl-C stops it, and so may a crash or a power cut: the same command goes on. All is kept in
    WORKSPACE/voices/NAME: the voice, its study, the evaluation with a page, and the first sentences.
    """
    from smart_tuner.errors import UserError
    from smart_tuner.spec import parse_overrides
    from smart_tuner.training.voice import VoiceMaker
    from smart_tuner.training.voices import name_of_corpus
    from smart_tuner.workspace import anchor

    if hours is not None and minutes is not None:
        raise UserError("--hours and --minutes both say how long it may take; give one of them.")
    fixed = {key.removeprefix("fixed."): value for key, value in parse_overrides(overrides or []).items()}
    settings = settings_from(device=device, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    if from_voice is not None:
        fixed["warm_start"] = anchor(str(voice_file(from_voice, settings.workspace, "--from")))
    console = make_console()
    chosen = name or name_of_corpus(corpus)
    folder = VoiceMaker(chosen, settings, console).run(corpus, minutes / 60 if minutes is not None else hours, fixed)
    where = store_options(settings)
    for line in (
        f"The voice, its evaluation and what it said: {folder}",
        f'Now let it say something: smart-tuner say "A sentence of yours." --voice {chosen} -o mine.wav{where}',
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
