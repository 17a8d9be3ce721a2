"""`smart-tuner listen`: the page of a study's best voices, served until Ctrl-C."""

import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from threading import Lock

import optuna

from smart_tuner.child_environment import Child, hidden_secrets
from smart_tuner.errors import UserError
from smart_tuner.pages.audition import audition_page
from smart_tuner.pages.audition_server import HOST, AuditionServer, Refused
from smart_tuner.pages.facts import facts_of
from smart_tuner.pages.ratings import rate
from smart_tuner.store.optuna_internals import is_stored, storage_of
from smart_tuner.ui.ports import free_port, taken_notice

RETRY_SECONDS = 5.0  # if the store is unavailable; short, since a person waits for the page


def open_server(study: optuna.Study, workspace: Path, top: int, port: int, *, rates: bool = True) -> AuditionServer:
    """rates: whether the page accepts ratings. Raises UserError if the port is taken."""
    store = Lock()

    def page(token: str) -> str:
        with store, _request(study):
            return audition_page(facts_of(study, workspace), top, token if rates else None)

    def save(trial: int, stars: int | None) -> None:
        with store, _request(study):
            rate(study, trial, stars)

    try:
        return AuditionServer(port, page, save)
    except OSError as error:
        raise UserError(f"port {port}: cannot be used ({error.strerror}); give another one with --port.") from error


@contextmanager
def _request(study: optuna.Study) -> Iterator[None]:
    """One request: its thread leaves no connection open. Raises Refused if the study was deleted."""
    try:
        yield
    except KeyError as error:  # Optuna's for an unknown id, or a mistake of ours
        if is_stored(study):
            raise
        raise Refused(HTTPStatus.NOT_FOUND, "the study was deleted") from error
    finally:
        storage_of(study).remove_session()


def serve_audition(
    study: optuna.Study,
    workspace: Path,
    top: int,
    port: int,
    say: Callable[[str], object],
    *,
    opened: bool,
    rates: bool = True,
) -> None:
    """Serve until Ctrl-C. port: the next free one if it is taken; 0: any. opened: open it in the browser, if any.

    rates: as in `open_server`.
    """
    found = free_port(HOST, port, ()) if port else 0
    if found != port:
        say(taken_notice(port, "the page", found))
    with open_server(study, workspace, top, found, rates=rates) as server:
        say(f"{server.url}  (Ctrl-C ends it)")
        if opened:
            with hidden_secrets(Child.BROWSER):
                webbrowser.open(server.url)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
