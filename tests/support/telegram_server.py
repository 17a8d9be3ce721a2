"""A Bot API server for tests, on loopback: sendMessage and sendPhoto, with the answers and errors of Telegram.

`mode` may be changed at any time: "ok", "hang" (takes the request and does not answer until `release`), or a status:
401, 403, 404, 408, 429 (with retry_after), 400 (for photos only), 500. Every other path accepts any POST, as a receiver
of apprise's json:// does.
"""

import email
import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

TOKEN = "8123456789:AAE-totally_secret_token_of_a_bot01"
CHAT = "-1001234567890"
DESCRIPTIONS = {
    400: "Bad Request: IMAGE_PROCESS_FAILED",
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    404: "Not Found",
    408: "Request Timeout",
    429: "Too Many Requests: retry after {retry_after}",
    500: "Internal Server Error",
}


@dataclass(frozen=True)
class Received:
    """fields: of the form or the JSON; photo: bytes of the picture; mode: how the server answered."""

    method: str
    fields: dict[str, Any]
    photo: bytes | None
    mode: str | int


class TelegramServer:
    """Use as a context. received: all requests, in order; accepted: those that were answered with success."""

    def __init__(self, mode: str | int = "ok", retry_after: float = 0) -> None:
        self.mode = mode
        self.retry_after = retry_after
        self.received: list[Received] = []
        self.holding = 0  # requests that hang now
        self._release = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that send a study's notifications to this server."""
        return {"TELEGRAM_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": CHAT, "SMART_TUNER_TELEGRAM_API": self.url}

    @property
    def accepted(self) -> list[Received]:
        return [request for request in self.received if request.mode == "ok"]

    @property
    def texts(self) -> list[str]:
        return [request.fields.get("text") or request.fields.get("caption", "") for request in self.accepted]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)

    def release(self) -> None:
        """End the hanging requests, without an answer."""
        self._release.set()

    def take(self, request: Received) -> int | None:
        """The status to answer with; None for no answer."""
        self.received.append(request)
        if request.mode == "hang":
            self.holding += 1
            self._release.wait(600)
            self.holding -= 1
            return None
        return request.mode if isinstance(request.mode, int) else 200


def _handler(server: TelegramServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            _, _, rest = self.path.partition(f"/bot{TOKEN}/")
            fields, photo = _parsed(self.headers["Content-Type"], body)
            mode: str | int = server.mode
            if mode == 400 and photo is None:
                mode = "ok"
            status = server.take(Received(rest or self.path, fields, photo, mode))
            if status is None:
                self.close_connection = True
                return
            answer: dict[str, Any] = {"ok": True, "result": {"message_id": len(server.received)}}
            if status != 200:
                description = DESCRIPTIONS[status].format(retry_after=server.retry_after)
                answer = {"ok": False, "error_code": status, "description": description}
            content = {**answer, "parameters": {"retry_after": server.retry_after}} if status == 429 else answer
            encoded = json.dumps(content).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", str(server.retry_after))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _parsed(kind: str, body: bytes) -> tuple[dict[str, Any], bytes | None]:
    if kind.startswith("application/json"):
        return json.loads(body), None
    form = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    fields: dict[str, Any] = {}
    photo = None
    for part in form.get_payload():
        assert isinstance(part, email.message.Message)
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if part.get_filename():
            assert part.get_content_type() == "image/png"
            photo = content
        else:
            fields[str(part.get_param("name", header="Content-Disposition"))] = content.decode()
    return fields, photo
