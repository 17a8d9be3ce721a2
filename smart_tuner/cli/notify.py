"""`smart-tuner notify`: tests the channels of notifications."""

import platform

import typer

from smart_tuner.cli.opening import settings_from

notify = typer.Typer(name="notify", help="Notifications of studies: test them.", no_args_is_help=True)


@notify.callback()
def _group() -> None:
    pass


@notify.command()
def test() -> None:
    """Send one message by each configured channel, and report whether it arrived. Exit code 1 if one did not."""
    settings = settings_from()
    from smart_tuner.errors import SettingsError
    from smart_tuner.notify.channel import Refused, Unavailable
    from smart_tuner.notify.channels import HOW_TO, channels_of
    from smart_tuner.notify.message import Level, Message
    from smart_tuner.notify.texts import TEST, render

    channels = channels_of(settings)
    if not channels:
        raise SettingsError(f"No channel is configured. {HOW_TO}")
    message = Message(Level.INFO, render(settings.notify_language, TEST, machine=platform.node()))
    failed = False
    for channel in channels:
        try:
            channel.send(message)
        except (Refused, Unavailable) as error:
            failed = True
            typer.echo(f"{channel.name}: not sent: {error}")
        else:
            typer.echo(f"{channel.name}: sent")
    if failed:
        raise typer.Exit(1)
