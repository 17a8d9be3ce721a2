"""`smart-tuner train`: trains the best setting of a study to a voice."""

from pathlib import Path
from typing import Annotated

import typer

from smart_tuner.cli.opening import existing_tuner, make_console, settings_from, store_options
from smart_tuner.cli.options import Given, Overrides, Study, runs_trials


@runs_trials
def train(
    settings: Given,
    study: Study = None,
    trial: Annotated[
        int | None, typer.Option("--trial", "-n", help="Train the setting of this trial (default: the best).")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Train the setting in this file, such as a report's recipe.yaml."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the voice (default: that of the study, or of the file).")
    ] = None,
    hours: Annotated[float | None, typer.Option(min=0.01, help="How long to train, on this machine.")] = None,
    minutes: Annotated[float | None, typer.Option(min=1, help="The same in minutes.")] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="How long to train, in mel frames of speech (default: 20 trials).")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin with new weights, not with those that the trial has reached.")
    ] = False,
    overrides: Overrides = None,
) -> None:
    """Train the best setting of a study to a voice. The same command continues it.

    It goes on from the state of the trial, with a learning rate that falls until the time is up, and is measured by
    what is heard. It ends sooner where that gets no better. The three best voices are kept, beside one for each hour.
    """
    from smart_tuner.errors import UserError
    from smart_tuner.spec import parse_overrides
    from smart_tuner.terminal.voice import print_voice
    from smart_tuner.training.definition import voice_of
    from smart_tuner.training.sources import of_file, of_trial
    from smart_tuner.training.train import Request, begin, begun, refuse_other
    from smart_tuner.training.train import train as train_on

    if len([option for option in (hours, minutes, frames) if option is not None]) > 1:
        raise UserError("--hours, --minutes and --frames all say how long to train; give one of them.")
    if config is not None and (study is not None or trial is not None):
        raise UserError("--config gives a setting by itself; leave out --study and --trial.")
    request = Request(
        study=study,
        trial=trial,
        config=str(config) if config is not None else None,
        hours=minutes / 60 if minutes is not None else hours,
        frames=frames,
        fresh=fresh,
        overrides=parse_overrides(overrides or []),
    )
    tuner = existing_tuner(study, None, **settings) if config is None and (name is None or study is not None) else None
    voice = name or (voice_of(tuner.spec.name) if tuner else str(config and config.stem))
    loaded = settings_from(**settings)
    console = make_console()
    if (spec := begun(voice, loaded)) is not None:
        refuse_other(voice, request, loaded)
    else:
        tuner = tuner or (existing_tuner(None, None, **settings) if config is None else None)
        source = of_trial(tuner, trial) if tuner is not None else of_file(Path(str(config)))
        spec = begin(voice, request, source, loaded, console)
    trained = train_on(voice, spec, loaded, console)
    print_voice(voice, trained.folder.voice, trained.best, trained.ended, console, store_options(loaded))
