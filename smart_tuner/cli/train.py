"""`smart-tuner train`: trains the best setting of a study to a voice."""

from pathlib import Path
from typing import Annotated

import typer

from smart_tuner.cli.opening import existing_tuner, make_console, settings_from, store_options
from smart_tuner.cli.options import Corpus, Given, Overrides, Study, runs_trials
from smart_tuner.cli.voices import FromVoice, voice_file


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
    from_voice: FromVoice = None,
    corpus: Corpus = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the voice (default: that of the study, the file, or the corpus).")
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
    from smart_tuner.training.sources import Source, of_file, of_trial, of_voice
    from smart_tuner.training.train import Request, begin, begun, refuse_other
    from smart_tuner.training.train import train as train_on
    from smart_tuner.workspace import anchor

    if len([option for option in (hours, minutes, frames) if option is not None]) > 1:
        raise UserError("--hours, --minutes and --frames all say how long to train; give one of them.")
    if config is not None and (study is not None or trial is not None):
        raise UserError("--config gives a setting by itself; leave out --study and --trial.")
    if (from_voice is None) != (corpus is None) or (from_voice is not None and (study or trial is not None or config)):
        raise UserError("--from fine-tunes a voice on recordings: give --corpus beside it, and no study or --config.")
    request = Request(
        study=study,
        trial=trial,
        config=str(config) if config is not None else None,
        voice=from_voice,
        corpus=anchor(corpus) if corpus is not None else None,
        hours=minutes / 60 if minutes is not None else hours,
        frames=frames,
        fresh=fresh,
        overrides=parse_overrides(overrides or []),
    )
    loaded = settings_from(**settings)
    console = make_console()

    def source() -> Source:
        if from_voice is not None:
            return of_voice(voice_file(from_voice, loaded.workspace, "--from"), str(corpus))
        return of_file(config) if config is not None else of_trial(existing_tuner(study, None, **settings), trial)

    voice = name or _name(study, config, corpus, settings, loaded.workspace)
    if (spec := begun(voice, loaded)) is not None:
        refuse_other(voice, request, loaded)
    else:
        spec = begin(voice, request, source(), loaded, console)
    trained = train_on(voice, spec, loaded, console)
    print_voice(voice, trained.folder.voice, trained.best, trained.ended, console, store_options(loaded))


def _name(study: str | None, config: Path | None, corpus: str | None, settings: Given, workspace: Path) -> str:
    """Of a voice that was not named."""
    from smart_tuner.training.definition import voice_name
    from smart_tuner.training.voices import name_of_voice

    if config is not None:
        return config.stem
    if corpus is not None:
        return name_of_voice(corpus, workspace)
    return voice_name(existing_tuner(study, None, **settings).spec)
