"""Any service that apprise supports, by its URL.

The log records of apprise are held back, since they may contain secrets. When a message is not accepted, apprise gives
the reason in its log only, so the status of the answer is read there.
"""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from smart_tuner.errors import SettingsError
from smart_tuner.masking import SECRET_CHARACTERS
from smart_tuner.notify.channel import Channel, Refused, Unavailable, in_one_line
from smart_tuner.notify.message import Message

if TYPE_CHECKING:
    from apprise import NotifyBase

_LOGS = ("apprise", "urllib3.connectionpool", "urllib3.util.retry")  # those of urllib3 log requested paths
_STATUS = re.compile(r"\berror[=:]\s*(\d{3})\b")
_PERMANENT = (401, 403, 404, 410)  # HTTP statuses that a later attempt does not change


def apprise_channels(urls: str) -> list[Channel]:
    """urls: separated by commas or white space. Raises SettingsError for one that apprise does not accept."""
    from apprise import Apprise

    found: list[Channel] = []
    # A URL may contain commas, so it ends only where the next one begins.
    for number, url in enumerate(re.split(r"[\s,]+(?=[A-Za-z][\w+.-]*://)", urls.strip(" ,\n\t")), 1):
        with _held_back():
            service = Apprise.instantiate(url, suppress_exceptions=True)
        if service is None:
            raise SettingsError(
                f"SMART_TUNER_NOTIFY_URLS: URL number {number} is not one that apprise accepts; it is not shown. "
                "https://appriseit.com/services says how the URLs of each service are written."
            )
        found.append(AppriseChannel(service, f"{service.service_name} (URL number {number})", url))
    return found


class AppriseChannel:
    def __init__(self, service: "NotifyBase", name: str, url: str) -> None:
        self.name = name
        self._service = service
        self._url = url

    def send(self, message: Message) -> None:
        from apprise import AppriseAttachment, NotifyFormat, NotifyType

        attached = AppriseAttachment(str(message.picture)) if message.picture and message.picture.is_file() else None
        with _held_back() as warnings:
            try:
                accepted = self._service.notify(
                    title="Smart Tuner",
                    body=message.text,
                    notify_type=getattr(NotifyType, message.level.name),
                    body_format=NotifyFormat.TEXT,
                    attach=attached,
                )
            except Exception as error:  # the boundary: a plug-in may raise anything, with the URL in it
                raise Unavailable(f"{type(error).__name__} in apprise") from None
        if not accepted:
            raise self._failure([line for line in warnings if line])

    def _failure(self, warnings: list[str]) -> Unavailable | Refused:
        reason = in_one_line(_without_secrets(warnings[-1] if warnings else "it does not say why", self._url))
        status = next((int(found[1]) for line in warnings if (found := _STATUS.search(line))), None)
        return Refused(reason) if status in _PERMANENT else Unavailable(reason)


class _HoldBack(logging.Filter):
    """Drops the log records of the threads in `warnings`, and collects their warnings there."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: dict[int, list[str]] = {}  # by thread

    def filter(self, record: logging.LogRecord) -> bool:
        warnings = self.warnings.get(threading.get_ident())
        if warnings is None:
            return True
        if record.levelno >= logging.WARNING:
            warnings.append(record.getMessage())
        return False


_hold_back = _HoldBack()


@contextmanager
def _held_back() -> Iterator[list[str]]:
    """Nothing that this thread logs in the block reaches a log; its warnings are in the list."""
    for name in _LOGS:
        logging.getLogger(name).addFilter(_hold_back)  # a filter that is there already is not added again
    warnings = _hold_back.warnings[threading.get_ident()] = []
    try:
        yield warnings
    finally:
        del _hold_back.warnings[threading.get_ident()]


def _without_secrets(text: str, url: str) -> str:
    """Mask every longer piece of the URL: apprise has a hundred forms of URLs, each with its secrets elsewhere."""
    pieces = re.split(r"[/:@?&=,+\s]+", url.partition("://")[2])
    spellings = {spelling for piece in pieces for spelling in (piece, unquote(piece))}
    for piece in sorted(spellings, key=len, reverse=True):
        if len(piece) >= SECRET_CHARACTERS:  # a shorter one is taken for a word
            text = text.replace(piece, "***")
    return text
