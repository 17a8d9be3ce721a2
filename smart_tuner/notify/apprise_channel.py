"""Any service that apprise knows, by its URL. What apprise logs meanwhile, which may hold secrets, is kept back.

apprise says of a message that was not taken only so much as it logs: the status of the answer is read there.
"""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from smart_tuner.errors import SettingsError
from smart_tuner.notify.channel import Away, Channel, Refused, in_one_line
from smart_tuner.notify.message import Message

if TYPE_CHECKING:
    from apprise import NotifyBase

_LOGS = ("apprise", "urllib3.connectionpool", "urllib3.util.retry")  # the latter tell of the paths that are asked for
_STATUS = re.compile(r"\berror[=:]\s*(\d{3})\b")
_FOR_EVER = (401, 403, 404, 410)
_SECRET_CHARACTERS = 6  # a shorter piece of a URL is a word, not a secret


def apprise_channels(urls: str) -> list[Channel]:
    """urls: separated by commas or white space. Raises SettingsError for one that apprise does not take."""
    from apprise import Apprise

    found: list[Channel] = []
    # A comma may also stand within a URL, so that one ends only where the next begins.
    for number, url in enumerate(re.split(r"[\s,]+(?=[A-Za-z][\w+.-]*://)", urls.strip(" ,\n\t")), 1):
        with _kept_back():
            service = Apprise.instantiate(url, suppress_exceptions=True)
        if service is None:
            raise SettingsError(
                f"SMART_TUNER_NOTIFY_URLS: URL number {number} is none that apprise takes; what was got is not shown. "
                "https://appriseit.com/services tells how the URLs of each service are written."
            )
        found.append(AppriseChannel(service, f"{service.service_name} (URL number {number})", url))
    return found


class AppriseChannel:
    def __init__(self, service: "NotifyBase", name: str, url: str) -> None:
        self.name, self._service, self._url = name, service, url

    def send(self, message: Message) -> None:
        from apprise import AppriseAttachment, NotifyFormat, NotifyType

        attached = AppriseAttachment(str(message.picture)) if message.picture and message.picture.is_file() else None
        with _kept_back() as said:
            try:
                taken = self._service.notify(
                    title="Smart Tuner",
                    body=message.text,
                    notify_type=getattr(NotifyType, message.level.name),
                    body_format=NotifyFormat.TEXT,
                    attach=attached,
                )
            except Exception as error:  # the boundary: a plug-in raises what it likes, and may name the URL in it
                raise Away(f"{type(error).__name__} in apprise") from None
        if not taken:
            raise self._failure([line for line in said if line])

    def _failure(self, said: list[str]) -> Away | Refused:
        reason = in_one_line(_without_secrets(said[-1] if said else "it does not say why", self._url))
        status = next((int(found[1]) for line in said if (found := _STATUS.search(line))), None)
        return Refused(reason) if status in _FOR_EVER else Away(reason)


class _KeepBack(logging.Filter):
    """Takes the records of the threads that ask for it out of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.by_thread: dict[int, list[str]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        said = self.by_thread.get(threading.get_ident())
        if said is None:
            return True
        if record.levelno >= logging.WARNING:
            said.append(record.getMessage())
        return False


_keep_back = _KeepBack()


@contextmanager
def _kept_back() -> Iterator[list[str]]:
    """Nothing that is logged in the block, by this thread, reaches a log; its warnings are in the list."""
    for name in _LOGS:
        logging.getLogger(name).addFilter(_keep_back)  # once, however often
    said = _keep_back.by_thread[threading.get_ident()] = []
    try:
        yield said
    finally:
        del _keep_back.by_thread[threading.get_ident()]


def _without_secrets(text: str, url: str) -> str:
    """Without any piece of the URL: apprise knows a hundred forms of them, and each has its secrets elsewhere."""
    pieces = re.split(r"[/:@?&=,+\s]+", url.partition("://")[2])
    spellings = {spelling for piece in pieces for spelling in (piece, unquote(piece))}
    for piece in sorted(spellings, key=len, reverse=True):
        if len(piece) >= _SECRET_CHARACTERS:
            text = text.replace(piece, "***")
    return text
