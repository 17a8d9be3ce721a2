"""Starts the pages side by side, tells where they are, watches them until somebody asks to stop, and ends them all.

Each is a process tree, as a trainer is. None touches a study: whatever becomes of them, the trials go on.
"""

import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from smart_tuner.config import Settings
from smart_tuner.errors import PagesEnded, StorageError, UserError
from smart_tuner.executors.local import log_tail
from smart_tuner.machine.process_tree import ProcessTree
from smart_tuner.masking import masked, masked_answer, without_secrets
from smart_tuner.store.storage import open_storage
from smart_tuner.ui import Page
from smart_tuner.ui.ports import free_port, said_of_taken
from smart_tuner.workspace import Workspace

START_SECONDS = 120.0  # a machine that trains has little time for others
GRACE_SECONDS = 5.0  # from asking a server to end until it is killed
_LOOK_SECONDS = 0.2
# None of the proxies that the environment may name: the servers are here.
_HERE = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, eq=False)
class Server:
    """The processes behind a page, and where it is."""

    page: Page
    address: str
    log: Path
    urls: tuple[str, ...]  # of its stores, whose passwords it may repeat
    tree: ProcessTree

    def answers(self) -> bool:
        """A refusal is an answer, too: a page says by it what it waits for."""
        try:
            with _HERE.open(self.address + self.page.health, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False


def show_pages(
    settings: Settings, ports: Mapping[Page, int], host: str, console: Console, *, browser: bool = False
) -> None:
    """ports: those that are wanted, of the pages to show. browser: open the pages there.

    Returns when somebody asked to stop. Raises UserError where nothing can be shown, PagesEnded where all servers have
    ended by themselves.
    """
    Workspace(settings.workspace).refuse_unwritable()

    def tell(page: Page, address: str) -> None:
        _tell(page, address, settings, console)
        if browser:
            webbrowser.open(address)

    elsewhere, wanted = _split(settings, ports)
    for page, address in elsewhere.items():
        tell(page, address)
    if not wanted:
        return
    with _asked_to_stop() as asked:
        with _running(settings, _places(host, wanted, console), host, console) as servers:
            alive = _wait_for_answers(servers, asked, console, tell)
            if alive and not asked.is_set():
                _tell_how_it_ends(host, console)
            _watch(alive, asked, console)
        console.print("Stopped.")


def _split(settings: Settings, ports: Mapping[Page, int]) -> tuple[dict[Page, str], dict[Page, int]]:
    """The addresses of servers that somebody else runs, and the ports of those that are to be started."""
    wanted = dict(ports)
    if not settings.mlflow:
        wanted.pop(Page.MLFLOW, None)
    if not wanted:
        raise UserError("Nothing to show: MLflow is switched off by the setting `mlflow`.")
    if Page.MLFLOW in wanted and settings.mlflow_url.startswith("http"):
        del wanted[Page.MLFLOW]
        return {Page.MLFLOW: masked(settings.mlflow_url)}, wanted
    return {}, wanted


def _places(host: str, wanted: Mapping[Page, int], console: Console) -> dict[Page, int]:
    if len(set(wanted.values())) < len(wanted):
        raise UserError(f"Each page needs a port of its own, but got {', '.join(map(str, wanted.values()))}.")
    places: dict[Page, int] = {}
    for page, port in wanted.items():
        places[page] = free_port(host, port, {*wanted.values(), *places.values()})
        if places[page] != port:
            console.print(said_of_taken(port, page.label, places[page]), highlight=False)
    return places


@contextmanager
def _running(settings: Settings, places: Mapping[Page, int], host: str, console: Console) -> Iterator[list[Server]]:
    servers: list[Server] = []
    try:
        for page, port in places.items():
            servers.append(_start(settings, page, host, port))
        yield servers
    finally:
        with console.status("Stopping"):
            _end(servers)


def _end(servers: Sequence[Server]) -> None:
    for server in servers:
        server.tree.signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for server in servers:
        server.tree.wait(max(0.0, deadline - time.monotonic()))
        server.tree.end()


def _start(settings: Settings, page: Page, host: str, port: int) -> Server:
    log = settings.workspace / "ui" / f"{page}-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # -P: a folder called `mlflow` in the working directory must not stand in for the library.
    command = [sys.executable, "-P", "-m", "smart_tuner.ui.server", page, host, str(port)]
    with log.open("wb") as output:
        tree = ProcessTree(command, _environment(settings), output)
    seen_at = "127.0.0.1" if host == "0.0.0.0" else host
    urls = (settings.storage_url, settings.mlflow_url)
    return Server(page, f"http://{seen_at}:{port}", log, urls, tree)


def _environment(settings: Settings) -> dict[str, str]:
    """Ours, with those settings that servers read; a command line would show passwords to everybody on the machine."""
    return without_secrets(os.environ) | {
        "SMART_TUNER_WORKSPACE": str(settings.workspace),
        "SMART_TUNER_ARTIFACTS": str(settings.artifact_folder),
        "SMART_TUNER_STORAGE": settings.storage_url,
        "SMART_TUNER_TRACKING_URI": settings.mlflow_url,
        "PYTHONUNBUFFERED": "1",
    }


def _wait_for_answers(
    servers: Sequence[Server], asked: threading.Event, console: Console, tell: Callable[[Page, str], None]
) -> list[Server]:
    """Those that answer in time, each told as soon as it does; of the others it is told why."""
    silent, answering = list(servers), []
    deadline = time.monotonic() + START_SECONDS
    with console.status("") as status:
        while silent and not asked.is_set():
            status.update(f"Starting {', '.join(server.page.label for server in silent)}")
            for server in tuple(silent):
                late = time.monotonic() > deadline
                if server.tree.has_ended() or late:
                    silent.remove(server)
                    _tell_end(server, console, "did not answer in time" if late else "could not be started")
                elif server.answers():
                    silent.remove(server)
                    answering.append(server)
                    tell(server.page, server.address)
            asked.wait(_LOOK_SECONDS)
    return answering


def _watch(servers: Sequence[Server], asked: threading.Event, console: Console) -> None:
    """Until somebody asks to stop. Raises PagesEnded where no server is left."""
    alive = list(servers)
    while not asked.is_set():
        if not alive:
            raise PagesEnded("No server is left.")
        for server in tuple(alive):
            if server.tree.has_ended():
                alive.remove(server)
                _tell_end(server, console, "has ended")
        asked.wait(_LOOK_SECONDS)


def _tell_end(server: Server, console: Console, what: str) -> None:
    """Ends what is left of it, too."""
    gone = server.tree.has_ended()
    server.tree.end()
    code = f" (exit code {server.tree.exit_code})" if gone else ""
    said = masked_answer(log_tail(server.log), *server.urls) or "(nothing)"
    console.print(Text(f"{server.page.label} {what}{code}. The end of {server.log}:", style="red"), soft_wrap=True)
    console.print(Text(said), soft_wrap=True)


def _tell(page: Page, address: str, settings: Settings, console: Console) -> None:
    console.print(Text(f"{page.label:<17} {address:<22} ").append(page.shows, "dim"), soft_wrap=True)
    if page is Page.OPTUNA and (why := _why_no_study(settings)) is not None:
        console.print(Text(f"It waits for a study: {why}", style="yellow"), soft_wrap=True)


def _tell_how_it_ends(host: str, console: Console) -> None:
    if not host.startswith("127.") and host != "localhost":
        console.print("Whoever reaches this machine can change what is shown: no password is asked.", style="yellow")
    console.print("Ctrl-C stops them.", style="dim")


def _why_no_study(settings: Settings) -> str | None:
    try:
        storage = open_storage(settings.storage_url, create=False, retry_seconds=0)
    except StorageError as error:
        return str(error)
    storage.engine.dispose()
    return None


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set by Ctrl-C and SIGTERM while the block runs."""
    asked = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
