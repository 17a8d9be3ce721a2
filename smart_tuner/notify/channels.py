"""The channels that the installation's settings name."""

import re

from smart_tuner.config import Settings
from smart_tuner.errors import SettingsError
from smart_tuner.notify.channel import Channel

HOW_TO = (
    "Set TELEGRAM_TOKEN and TELEGRAM_CHAT_ID, or SMART_TUNER_NOTIFY_URLS to URLs of apprise "
    "(https://appriseit.com/services), in the environment or in config/local.yaml."
)


def channels_of(settings: Settings) -> list[Channel]:
    """Raises SettingsError, without secrets in its text, for a setting that is invalid."""
    return [*_telegram(settings), *_others(settings)]


def _telegram(settings: Settings) -> list[Channel]:
    given = {"TELEGRAM_TOKEN": settings.telegram_token, "TELEGRAM_CHAT_ID": settings.telegram_chat_id}
    values = {name: secret.get_secret_value() for name, secret in given.items() if secret is not None}
    if not values:
        return []
    for name, other in (("TELEGRAM_TOKEN", "TELEGRAM_CHAT_ID"), ("TELEGRAM_CHAT_ID", "TELEGRAM_TOKEN")):
        if name not in values:
            raise SettingsError(f"{name} is missing, while {other} is set: notifications by Telegram need both.")
    token, chat = values.values()
    if not re.fullmatch(r"\d+:[A-Za-z0-9_-]+", token):
        raise SettingsError(
            "TELEGRAM_TOKEN must look like 123456:ABC-DEF, as @BotFather gives it; the value is not shown."
        )
    if not re.fullmatch(r"-?\d+|@\w+", chat, re.ASCII):
        raise SettingsError("TELEGRAM_CHAT_ID must be a number, or the @name of a channel; the value is not shown.")
    api = settings.telegram_api.get_secret_value()
    if not re.fullmatch(r"https?://[^\s?#@]+", api):
        raise SettingsError(
            "`telegram_api` must be a URL such as https://api.telegram.org, without a user or a password in it; "
            "the value is not shown."
        )
    from smart_tuner.notify.telegram import TelegramChannel

    return [TelegramChannel(token, chat, api)]


def _others(settings: Settings) -> list[Channel]:
    if settings.notify_urls is None:
        return []
    from smart_tuner.notify.apprise_channel import apprise_channels

    return apprise_channels(settings.notify_urls.get_secret_value())
