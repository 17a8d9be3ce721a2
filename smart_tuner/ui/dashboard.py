"""optuna-dashboard with the project's own storage, which neither locks a running study nor changes its tables.

While the store does not exist yet or does not answer, the page says so and tries again. So it may be opened before the
first study is submitted.
"""

import threading
from collections.abc import Callable, Collection, Iterable
from html import escape
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from smart_tuner.errors import StorageError
from smart_tuner.store.storage import open_storage
from smart_tuner.ui.hosts import for_hosts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

RETRY_SECONDS = 5.0  # if the store is unavailable; short, since a person waits for the page
_RELOAD_SECONDS = 3
_WAITING_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta http-equiv="refresh" content="{seconds}"><title>Waiting for a study</title></head>
<body style="font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 15vh auto; padding: 0 1rem; color: #333">
<h1 style="font-size: 1.3rem">Waiting for a study</h1>
<p>{reason}</p>
<p style="color: #777">This page reloads every {seconds} seconds.</p>
</body>
</html>
"""


def serve(url: str, artifacts: Path, host: str, port: int, names: Collection[str] = ()) -> None:
    """Serve until the process ends. names: as of `open_server`."""
    with open_server(url, artifacts, host, port, names) as server:
        server.serve_forever()


def open_server(url: str, artifacts: Path, host: str, port: int, names: Collection[str] = ()) -> WSGIServer:
    """A server that listens already. Raises OSError if it cannot.

    names: as of `for_hosts`.
    """
    from optuna.artifacts import FileSystemArtifactStore
    from optuna_dashboard import wsgi

    def dashboard() -> "WSGIApplication":
        storage = open_storage(url, create=False, retry_seconds=RETRY_SECONDS)
        app: WSGIApplication = wsgi(storage, FileSystemArtifactStore(artifacts))
        return app

    return make_server(host, port, for_hosts(OnceOpen(dashboard), host, names), _Server, _Quiet)


class OnceOpen:
    """The application that `make` returns; a page to wait on while `make` raises StorageError. Thread-safe."""

    def __init__(self, make: "Callable[[], WSGIApplication]") -> None:
        self._make = make
        self._app: WSGIApplication | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        try:
            with self._lock:
                app = self._app = self._app or self._make()
        except StorageError as error:
            start_response("503 Service Unavailable", [("Content-Type", "text/html; charset=utf-8")])
            return [_WAITING_PAGE.format(reason=escape(str(error)), seconds=_RELOAD_SECONDS).encode()]
        return app(environ, start_response)


class _Server(ThreadingMixIn, WSGIServer):
    """With threads, since a page sends several requests at once."""

    daemon_threads = True
    request_queue_size = 64


class _Quiet(WSGIRequestHandler):
    """Logs errors only, since a page sends requests every few seconds."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass
