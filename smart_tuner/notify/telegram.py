"""Sends messages by Telegram's Bot API: https://core.telegram.org/bots/api

apprise is not used here, since it does not return the status and the Retry-After of an answer, and logs the token. The
standard library logs nothing. No text of an error that is raised here contains the token.
"""

import http.client
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from smart_tuner.notify.channel import Refused, Unavailable, in_one_line, seconds_to_wait
from smart_tuner.notify.message import Message

API = "https://api.telegram.org"
TIMEOUT_SECONDS = 10.0
_ANSWER_BYTES = 2**16  # no answer of the Bot API is longer
_PICTURE_BYTES = 10**7  # Telegram's limit
_CAPTION_UNITS = 1024  # UTF-16 code units, as Telegram counts; a message may have four times as many


class TelegramChannel:
    """One chat. api: the URL of Telegram's server, or of a local one (https://github.com/tdlib/telegram-bot-api)."""

    name = "Telegram"

    def __init__(self, token: str, chat: str, api: str = API) -> None:
        self._token = token
        self._chat = chat
        self._api = api.rstrip("/")
        self._opener = build_opener(_NoRedirects)

    def send(self, message: Message) -> None:
        if picture := _read(message.picture):
            fits = len(message.text.encode("utf-16-le")) // 2 <= _CAPTION_UNITS
            try:
                self._post("sendPhoto", {"caption": message.text if fits else ""}, picture)
            except Refused as refusal:
                if not isinstance(refusal.__cause__, HTTPError) or refusal.__cause__.code not in (400, 413):
                    raise
                fits = False  # the picture may be the reason; if it is the chat, the text is refused below as well
            if fits:
                return
        self._post("sendMessage", {"text": message.text, "disable_web_page_preview": "true"})

    def _post(self, method: str, fields: Mapping[str, str], photo: bytes | None = None) -> None:
        kind, body = _form({"chat_id": self._chat, **fields}, photo)
        url = f"{self._api}/bot{self._token}/{method}"
        request = Request(url, body, {"Content-Type": kind}, method="POST")
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                if _parsed(answer).get("ok") is not True:
                    raise Unavailable("the answer is not one of the Bot API")
        except HTTPError as error:
            with error:
                raise self._failure(error, _explained(error)) from error
        except (OSError, http.client.HTTPException) as error:  # URLError, timeouts, an incomplete answer
            reason = getattr(error, "reason", error)
            raise Unavailable(
                self._clean(f"{type(error).__name__}: {reason}")
            ) from None  # the text of the error may contain the URL

    def _failure(self, error: HTTPError, answer: Mapping[str, Any]) -> Unavailable | Refused:
        reason = self._clean(f"{error.code} {answer.get('description') or error.reason}")
        if error.code == 429:
            parameters = answer.get("parameters")
            asked = parameters.get("retry_after") if isinstance(parameters, dict) else None
            return Unavailable(reason, seconds_to_wait(error.headers.get("Retry-After") if asked is None else asked))
        # Including 400: our texts are plain and short, so it means that there is no such chat.
        return Refused(reason) if 400 <= error.code < 500 and error.code != 408 else Unavailable(reason)

    def _clean(self, text: str) -> str:
        return in_one_line(text.replace(self._token, "***"))


class _NoRedirects(HTTPRedirectHandler):
    """The token is in the URL, so it is sent to no other host than the configured one."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _read(picture: Path | None) -> bytes | None:
    try:
        content = picture.read_bytes() if picture else b""
    except OSError:
        return None
    return content if 0 < len(content) <= _PICTURE_BYTES else None


def _parsed(answer: IO[bytes]) -> dict[str, Any]:
    try:
        found = json.loads(answer.read(_ANSWER_BYTES))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _explained(error: HTTPError) -> dict[str, Any]:
    """The JSON of an error's answer; empty when the connection breaks, since the status alone says how to go on."""
    try:
        return _parsed(error)
    except (OSError, http.client.HTTPException):
        return {}


def _form(fields: Mapping[str, str], photo: bytes | None) -> tuple[str, bytes]:
    """Content type and body, multipart/form-data."""
    boundary = uuid.uuid4().hex
    parts = [(f'name="{name}"', value.encode(errors="replace")) for name, value in fields.items()]
    if photo is not None:
        parts.append(('name="photo"; filename="alignment.png"\r\nContent-Type: image/png', photo))
    lines = [
        f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + value + b"\r\n"
        for head, value in parts
    ]
    return f"multipart/form-data; boundary={boundary}", b"".join([*lines, f"--{boundary}--\r\n".encode()])
