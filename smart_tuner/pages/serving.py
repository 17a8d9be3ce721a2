"""`smart-tuner listen`: the page of a study's best voices, served until Ctrl-C."""

import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

import optuna

from smart_tuner.errors import UserError
from smart_tuner.pages.audition import audition_page
from smart_tuner.pages.facts import facts_of
from smart_tuner.pages.ratings import rate
from smart_tuner.pages.server import AuditionServer


def open_server(study: optuna.Study, workspace: Path, top: int, port: int) -> AuditionServer:
    """Raises UserError where the port is taken."""
    store = Lock()  # one request at a time asks it, and leaves no connection behind with its thread

    def page(token: str) -> str:
        with store:
            try:
                return audition_page(facts_of(study, workspace), top, token)
            finally:
                study._storage.remove_session()

    def save(trial: int, stars: int | None) -> None:
        with store:
            try:
                rate(study, trial, stars)
            finally:
                study._storage.remove_session()

    try:
        return AuditionServer(port, page, save)
    except OSError as error:
        raise UserError(f"port {port}: cannot be used ({error.strerror}); give another one with --port.") from error


def serve_audition(
    study: optuna.Study, workspace: Path, top: int, port: int, say: Callable[[str], object], *, opened: bool
) -> None:
    """Until Ctrl-C. opened: in the browser, where there is one."""
    with open_server(study, workspace, top, port) as server:
        say(f"{server.url}  (Ctrl-C ends it)")
        if opened:
            webbrowser.open(server.url)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
