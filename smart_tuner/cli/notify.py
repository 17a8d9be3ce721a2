"""Tries the places that notifications go to."""

import platform

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
    from smart_tuner.notify.channel import Away, Refused
    from smart_tuner.notify.channels import HOW_TO, channels_of
    from smart_tuner.notify.message import Level, Message
    from smart_tuner.notify.texts import TEST, say

    places = channels_of(settings)
    if not places:
        raise SettingsError(f"Nobody is to be notified. {HOW_TO}")
    message = Message(Level.INFO, say(settings.notify_language, TEST, machine=platform.node()))
    failed = False
    for place in places:
        try:
            place.send(message)
        except (Away, Refused) as error:
            failed = True
            typer.echo(f"{place.name}: not sent: {error}")
        else:
            typer.echo(f"{place.name}: sent")
    if failed:
        raise typer.Exit(1)
