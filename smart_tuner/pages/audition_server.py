"""Serves the audition on loopback: one page that contains everything, and one address that accepts ratings.

No request can name a file. Another web page cannot read the page, since its requests have another host name even if
that name resolves to this machine; and it cannot rate, since it has neither the origin nor the token.
"""

import json
import logging
import secrets
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from smart_tuner.errors import SmartTunerError
from smart_tuner.formatting import first_line
from smart_tuner.masking import masked

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
_LONGEST_BODY = 1000  # bytes


class Refused(Exception):
    """A request that is refused, with the reason."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class AuditionServer(ThreadingHTTPServer):
    """Listens at once, serves in `serve_forever`. Raises OSError if the port is taken; port 0 takes any.

    page: makes the page from its token for each request, so that it shows the current stars. rate: gives stars or None
    to a trial; raises ValueError for invalid ones. Both may raise Refused; they are called from threads of requests.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, page: Callable[[str], str], rate: Callable[[int, int | None], None]) -> None:
        super().__init__((HOST, port), _Handler)
        self.page = page
        self.rate = rate
        self.token = secrets.token_urlsafe(24)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log one line, without traceback; nothing if the browser closed the connection."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            log.error("a request was not answered: %s: %s", type(error).__name__, masked(first_line(str(error))))

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}/"

    @property
    def hosts(self) -> tuple[str, str]:
        return f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: AuditionServer
    timeout = 30

    def do_GET(self) -> None:
        self._answer(self._page)

    def do_POST(self) -> None:
        self._answer(self._rate)

    def _answer(self, make: Callable[[], tuple[str, str]]) -> None:
        try:
            if self.headers.get("Host") not in self.server.hosts:
                raise Refused(HTTPStatus.FORBIDDEN, "this server answers on loopback alone")
            status, (kind, text) = HTTPStatus.OK, make()
        except Refused as refused:
            status, kind, text = refused.status, "text/plain", str(refused)
        except SmartTunerError as error:
            status, kind, text = HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", masked(str(error))
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        self.end_headers()
        self.wfile.write(content)

    def _page(self) -> tuple[str, str]:
        if self.path != "/":
            raise Refused(HTTPStatus.NOT_FOUND, "there is one page here: /")
        return "text/html", self.server.page(self.server.token)

    def _rate(self) -> tuple[str, str]:
        if self.path != "/rating":
            raise Refused(HTTPStatus.NOT_FOUND, "ratings go to /rating")
        if self.headers.get("Origin") not in [f"http://{host}" for host in self.server.hosts]:
            raise Refused(HTTPStatus.FORBIDDEN, "ratings are accepted from the page of this server alone")
        fields = self._body()
        if not secrets.compare_digest(str(fields.get("token")).encode(), self.server.token.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "the page is from an earlier start: reload it")
        try:
            self.server.rate(fields.get("trial"), fields.get("stars"))  # type: ignore[arg-type]
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        return "application/json", "{}"

    def _body(self) -> Mapping[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LONGEST_BODY:
            raise Refused(HTTPStatus.BAD_REQUEST, "a rating is a short JSON object")
        try:
            fields = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "a rating is a JSON object") from error
        if not isinstance(fields, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "a rating is a JSON object")
        return fields

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests."""
