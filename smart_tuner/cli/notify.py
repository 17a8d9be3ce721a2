"""Tries the places that notifications go to."""

import typer

from smart_tuner.cli.opening import settings_from

notify = typer.Typer(name="notify", help="Notifications of studies: try them.", no_args_is_help=True)


@notify.callback()
def _group() -> None:
    pass


@notify.command()
def test() -> None:
    """Send one message to each place that is configured, and say whether it arrived. Exit code 1 if one did not."""
    settings = settings_from()
    from smart_tuner.errors import SettingsError
    from smart_tuner.notify.places import HOW_TO, places_of
    from smart_tuner.notify.trying import try_place

    places = places_of(settings)
    if not places:
        raise SettingsError(f"Nobody is to be notified. {HOW_TO}")
    failures = {place.name: try_place(place, settings.notify_language) for place in places}
    for name, failure in failures.items():
        typer.echo(f"{name}: sent" if failure is None else f"{name}: not sent: {failure}")
    if any(failures.values()):
        raise typer.Exit(1)
