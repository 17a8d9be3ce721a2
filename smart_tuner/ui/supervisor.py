"""Starts the pages side by side, prints their addresses, watches them until it is asked to stop, and ends them all.

Each is a process tree, like a trainer. None changes a running trial: if a page fails, the trials go on.
"""

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
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from smart_tuner.child_environment import Child, environment_for, hidden_secrets
from smart_tuner.config import Settings
from smart_tuner.errors import PagesEnded, StorageError, UserError
from smart_tuner.executors.local import log_tail
from smart_tuner.machine.process_tree import ProcessTree
from smart_tuner.masking import masked, masked_answer
from smart_tuner.store.storage import open_storage
from smart_tuner.ui import Page
from smart_tuner.ui.ports import free_port, taken_notice
from smart_tuner.workspace import Workspace

START_SECONDS = 120.0  # long, since a machine that trains has little CPU time left
GRACE_SECONDS = 5.0  # from SIGTERM until a server is killed
_POLL_SECONDS = 0.2
_CHILDREN = {Page.OPTUNA: Child.DASHBOARD, Page.MLFLOW: Child.MLFLOW, Page.TENSORBOARD: Child.TENSORBOARD}
# Without the proxies that the environment may name, since the servers are on this machine.
_WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, eq=False)
class Server:
    """The processes of a page, and its address."""

    page: Page
    address: str
    log: Path
    urls: tuple[str, ...]  # of its stores; its output may repeat their passwords
    tree: ProcessTree

    def answers(self) -> bool:
        """Whether it answers. An error status is an answer, too: by one, a page says what it waits for."""
        try:
            with _WITHOUT_PROXY.open(self.address + self.page.health, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False


def show_pages(
    settings: Settings,
    ports: Mapping[Page, int],
    host: str,
    console: Console,
    *,
    names: Sequence[str] = (),
    browser: bool = False,
) -> None:
    """ports: the wanted port of each page to show. names: of hosts, for which requests are answered; none: any, but at
    a loopback address its own. browser: open the pages in the browser.

    Returns when it was asked to stop. Raises UserError if nothing can be shown, and PagesEnded if all servers have
    exited by themselves.
    """

    def announce(page: Page, address: str) -> None:
        _print_page(page, address, settings, console)
        if browser:
            with hidden_secrets(Child.BROWSER):
                webbrowser.open(address)

    elsewhere, wanted = _split(settings, ports)
    for page, address in elsewhere.items():
        announce(page, address)
    if not wanted:
        return
    with _log_folder(Workspace(settings.workspace)) as logs, _stop_request() as stop:
        with _running(settings, _ports(host, wanted, console), host, names, logs, console) as servers:
            alive = _wait_for_answers(servers, stop, console, announce)
            if alive and not stop.is_set():
                _print_how_to_stop(host, console)
            _watch(alive, stop, console)
        console.print("Stopped.")


@contextmanager
def _log_folder(workspace: Workspace) -> Iterator[Path]:
    """Where the servers' output goes: a temporary folder for a workspace that may only be read.

    Raises SettingsError where there is no workspace, and none can be made.
    """
    if workspace.root.is_dir() and workspace.obstacle() is not None:
        with TemporaryDirectory(prefix="smart-tuner-ui-") as folder:
            yield Path(folder)
        return
    workspace.refuse_unwritable()
    logs = workspace.root / "ui"
    logs.mkdir(exist_ok=True)
    yield logs


def _split(settings: Settings, ports: Mapping[Page, int]) -> tuple[dict[Page, str], dict[Page, int]]:
    """The addresses of servers that run already, and the ports of those that are to be started."""
    wanted = dict(ports)
    if not settings.mlflow:
        wanted.pop(Page.MLFLOW, None)
    if not wanted:
        raise UserError("Nothing to show: MLflow is switched off by the setting `mlflow`.")
    if Page.MLFLOW in wanted and settings.mlflow_url.startswith("http"):
        del wanted[Page.MLFLOW]
        return {Page.MLFLOW: masked(settings.mlflow_url)}, wanted
    return {}, wanted


def _ports(host: str, wanted: Mapping[Page, int], console: Console) -> dict[Page, int]:
    if len(set(wanted.values())) < len(wanted):
        raise UserError(f"Each page needs a port of its own, but got {', '.join(map(str, wanted.values()))}.")
    ports: dict[Page, int] = {}
    for page, port in wanted.items():
        ports[page] = free_port(host, port, {*wanted.values(), *ports.values()})
        if ports[page] != port:
            console.print(taken_notice(port, page.label, ports[page]), highlight=False)
    return ports


@contextmanager
def _running(
    settings: Settings, ports: Mapping[Page, int], host: str, names: Sequence[str], logs: Path, console: Console
) -> Iterator[list[Server]]:
    servers: list[Server] = []
    try:
        for page, port in ports.items():
            servers.append(_start(settings, page, host, port, names, logs))
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


def _start(settings: Settings, page: Page, host: str, port: int, names: Sequence[str], logs: Path) -> Server:
    log = logs / f"{page}-{port}.log"
    # -P: a folder called `mlflow` in the working directory must not be imported instead of the library.
    command = [sys.executable, "-P", "-m", "smart_tuner.ui.page_process", page, host, str(port), *names]
    with log.open("wb") as output:
        tree = ProcessTree(command, _environment(settings, page), output)
    shown_host = "127.0.0.1" if host == "0.0.0.0" else host
    urls = (settings.storage_url, settings.mlflow_url)
    return Server(page, f"http://{shown_host}:{port}", log, urls, tree)


def _environment(settings: Settings, page: Page) -> dict[str, str]:
    """Ours, with the settings that the server of this page reads, among them the URL of its own store alone.

    In a command line, everybody on the machine could read a password.
    """
    store = {
        Page.OPTUNA: {"SMART_TUNER_STORAGE": settings.storage_url},
        Page.MLFLOW: {"SMART_TUNER_TRACKING_URI": settings.mlflow_url},
        Page.TENSORBOARD: {},
    }
    return {
        **environment_for(_CHILDREN[page]),
        **store[page],
        "SMART_TUNER_WORKSPACE": str(settings.workspace),
        "SMART_TUNER_ARTIFACTS": str(settings.artifact_folder),
        "PYTHONUNBUFFERED": "1",
    }


def _wait_for_answers(
    servers: Sequence[Server], stop: threading.Event, console: Console, announce: Callable[[Page, str], None]
) -> list[Server]:
    """The servers that answer in time. Each is announced once it answers; of the others, the failure is printed."""
    silent = list(servers)
    answering: list[Server] = []
    deadline = time.monotonic() + START_SECONDS
    with console.status("") as status:
        while silent and not stop.is_set():
            status.update(f"Starting {', '.join(server.page.label for server in silent)}")
            for server in tuple(silent):
                late = time.monotonic() > deadline
                if server.tree.has_ended() or late:
                    silent.remove(server)
                    _report_end(server, console, "did not answer in time" if late else "could not be started")
                elif server.answers():
                    silent.remove(server)
                    answering.append(server)
                    announce(server.page, server.address)
            stop.wait(_POLL_SECONDS)
    return answering


def _watch(servers: Sequence[Server], stop: threading.Event, console: Console) -> None:
    """Watch until asked to stop. Raises PagesEnded if no server is left."""
    alive = list(servers)
    while not stop.is_set():
        if not alive:
            raise PagesEnded("No server is left.")
        for server in tuple(alive):
            if server.tree.has_ended():
                alive.remove(server)
                _report_end(server, console, "has exited")
        stop.wait(_POLL_SECONDS)


def _report_end(server: Server, console: Console, what: str) -> None:
    """Print why a server is not there, and end what is left of its processes."""
    has_ended = server.tree.has_ended()
    server.tree.end()
    code = f" (exit code {server.tree.exit_code})" if has_ended else ""
    output = masked_answer(log_tail(server.log), *server.urls) or "(nothing)"
    console.print(Text(f"{server.page.label} {what}{code}. The end of {server.log}:", style="red"), soft_wrap=True)
    console.print(Text(output), soft_wrap=True)


def _print_page(page: Page, address: str, settings: Settings, console: Console) -> None:
    console.print(Text(f"{page.label:<17} {address:<22} ").append(page.shows, "dim"), soft_wrap=True)
    if page is Page.OPTUNA and (reason := _why_no_study(settings)) is not None:
        console.print(Text(f"It waits for a study: {reason}", style="yellow"), soft_wrap=True)


def _print_how_to_stop(host: str, console: Console) -> None:
    if not host.startswith("127.") and host != "localhost":
        console.print(
            "Anybody who reaches this machine can change what is shown: there is no password.", style="yellow"
        )
    console.print("Ctrl-C stops them.", style="dim")


def _why_no_study(settings: Settings) -> str | None:
    try:
        storage = open_storage(settings.storage_url, create=False, retry_seconds=0)
    except StorageError as error:
        return str(error)
    storage.engine.dispose()
    return None


@contextmanager
def _stop_request() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set while the block runs."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
