"""Where messages go, by the installation's settings; what can come of sending one."""

import math
import re
from typing import Protocol

from smart_tuner.config import Settings
from smart_tuner.errors import SettingsError
from smart_tuner.notify.message import Message

HOW_TO = (
    "Set TELEGRAM_TOKEN and TELEGRAM_CHAT_ID, or SMART_TUNER_NOTIFY_URLS to URLs of apprise "
    "(https://appriseit.com/services), in the environment or in config/local.yaml."
)


class Away(Exception):
    """The place does not answer, or asks to wait: what was to be sent may be sent again.

    The text says why, without secrets. seconds: how long the place wants to be left alone; None where it did not say.
    """

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Refused(Exception):
    """The place takes nothing from us, now or later. The text says why, without secrets."""


class Place(Protocol):
    """name: for people, without secrets. `send` is called by one thread at a time, and may take its time."""

    name: str

    def send(self, message: Message) -> None:
        """Raises Away or Refused."""


def places_of(settings: Settings) -> list[Place]:
    """Raises SettingsError, which holds no secret, where one of them cannot be."""
    return [*_telegram(settings), *_others(settings)]


def _telegram(settings: Settings) -> list[Place]:
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
            "TELEGRAM_TOKEN must look like 123456:ABC-DEF, as @BotFather gives it; what was got is not shown."
        )
    if not re.fullmatch(r"-?\d+|@\w+", chat, re.ASCII):
        raise SettingsError("TELEGRAM_CHAT_ID must be a number, or the @name of a channel; what was got is not shown.")
    api = settings.telegram_api.get_secret_value()
    if not re.fullmatch(r"https?://[^\s?#]+", api):
        raise SettingsError("`telegram_api` must be a URL such as https://api.telegram.org.")
    from smart_tuner.notify.telegram import TelegramPlace

    return [TelegramPlace(token, chat, api)]


def _others(settings: Settings) -> list[Place]:
    if settings.notify_urls is None:
        return []
    from smart_tuner.notify.apprise_place import apprise_places

    return apprise_places(settings.notify_urls.get_secret_value())


def seconds_to_wait(told: object) -> float | None:
    """Of a `Retry-After`; None where it is no number of seconds."""
    try:
        seconds = float(str(told))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def in_one_line(text: str) -> str:
    return " ".join(text.split())[:300]
