"""`smart-tuner voice`: from a folder of recordings to a voice that speaks."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from smart_tuner.cli.opening import make_console, settings_from, store_options
from smart_tuner.cli.options import Device, Storage, TrackingUri, Workspace
from smart_tuner.cli.voices import Fixed, FromVoice, Hours, Minutes, fixed_of, hours_of

if TYPE_CHECKING:
    from rich.console import Console

    from smart_tuner.training.voice import Made


def voice(
    corpus: Annotated[str, typer.Argument(help="A folder of recordings and texts, a list of them, or demo:en.")],
    hours: Hours = None,
    minutes: Minutes = None,
    name: Annotated[str | None, typer.Option(help="Name of the voice (default: that of the folder).")] = None,
    from_voice: FromVoice = None,
    overrides: Fixed = None,
    device: Device = None,
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Make a voice: check the corpus, search a good setting, train it, measure it, let it speak.

    Up to a third of the time goes into the search, of 40 trials at most, the rest into the training of the best
    setting; how fast this machine trains is measured, and the plan is shown, before anything is searched. Each step is
    a command that is printed. Ctrl-C stops it, and so may a crash or a power cut: the same command goes on. All is kept
    in WORKSPACE/voices/NAME: the voice, its study, the evaluation with a page, and the first sentences. Exit code 3:
    the voice cannot be understood; the last lines say what to do next.
    """
    from smart_tuner.training.voice import VoiceMaker
    from smart_tuner.training.voices import name_of_voice

    whole = hours_of(hours, minutes)
    settings = settings_from(device=device, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    fixed = fixed_of(overrides, from_voice, settings.workspace)
    console = make_console()
    made = VoiceMaker(name or name_of_voice(corpus, settings.workspace), settings, console).run(corpus, whole, fixed)
    _print_made(made, console, store_options(settings))


def _print_made(made: "Made", console: "Console", options: str) -> None:
    """options: with which a shown command finds the workspace.

    Raises NoFeasibleTrial where nothing that it says can be understood, with what to do next.
    """
    from smart_tuner.errors import NoFeasibleTrial
    from smart_tuner.figures import NOT_MEASURED
    from trainer.evaluation.verdict import Heard

    verdict = str(made.heard or NOT_MEASURED)
    lines = [f"The voice, its evaluation and what it said: {made.folder}"]
    if made.is_ready:
        lines.insert(0, f"voice {made.name!r}: {verdict}")
        say = 'Now let it say something: smart-tuner say "A sentence of yours."'
        lines.append(f"{say} --voice {shlex.quote(made.name)} -o mine.wav{options}")
    if made.is_ready and made.heard is Heard.PARTS:
        lines += [made.heard.advice, f"To give it more time: {made.longer()}{options}"]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if not made.is_ready:
        unmet = "" if made.is_feasible else " It does not satisfy the constraints of its study."
        raise NoFeasibleTrial(
            f"voice {made.name!r} is not ready: {verdict}.{unmet}{f' {made.heard.advice}' if made.heard else ''}\n"
            f"What the check says of the corpus: {made.page_of_corpus}\n"
            f"To give it more time: {made.longer()}{options}"
        )
