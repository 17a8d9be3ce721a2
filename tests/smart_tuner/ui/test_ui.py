"""The pages as a person has them: a process that starts servers, says where they are, and leaves none behind."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from lab import is_alive, study_spec
from rich.console import Console
from servers import PostgresServer, free_port
from waiting import wait_until, wait_until_gone

from smart_tuner.cli.app import main
from smart_tuner.config import load_settings
from smart_tuner.store.storage import open_storage
from smart_tuner.study import open_study
from smart_tuner.terminal.summary import print_next_steps
from smart_tuner.ui import dashboard
from smart_tuner.ui.ports import holder, is_free

READY_SECONDS = 150  # as long as the command itself waits, and a little


class Shown:
    """`smart-tuner ui` in a process of its own."""

    def __init__(self, workspace: Path, *arguments: str, **environment: str) -> None:
        self.workspace = workspace
        self._output = workspace.parent / "output"
        command = [sys.executable, "-m", "smart_tuner", "ui", "--workspace", str(workspace), *arguments]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, env=os.environ | environment
            )
        self.tuner = psutil.Process(self.process.pid)

    @property
    def said(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def wait_until_said(self, words: str) -> None:
        ended = f"\nit ended, and had said:\n{self.said}"
        wait_until(lambda: words in self.said or self.process.poll() is not None, words, READY_SECONDS)
        assert words in self.said, ended

    def address(self, name: str) -> str:
        found = re.search(rf"{name} +(http://\S+)", self.said)
        assert found, self.said
        return found[1]

    def servers(self) -> list[psutil.Process]:
        return self.tuner.children(recursive=True)

    def server(self, page: str) -> psutil.Process:
        (found,) = (one for one in self.tuner.children() if page in one.cmdline())
        return found

    def end(self, by: signal.Signals) -> int:
        self.process.send_signal(by)
        return self.process.wait(30)


Show = Callable[..., Shown]


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Show]:
    begun: list[Shown] = []

    def show(*arguments: str, **environment: str) -> Shown:
        begun.append(Shown(tmp_path / "my workspace", *arguments, **environment))
        return begun[-1]

    yield show
    for one in begun:
        if one.process.poll() is None:
            servers = one.servers()
            one.end(signal.SIGKILL)
            wait_until_gone(servers)


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


RunHere = Callable[..., Ended]


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunHere:
    """`smart-tuner ui` in this process, for what comes to an end by itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["smart-tuner", "ui", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return run


def begin_study(url: str) -> None:
    storage = open_storage(url)
    open_study(storage, study_spec())
    storage.remove_session()
    storage.engine.dispose()


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def test_pages_come_and_go(show: Show) -> None:
    """One story, since each start takes seconds: no study yet, a port that is taken, a server that dies, Ctrl-C."""
    taken, port = free_port(), free_port()
    with socket.create_server(("127.0.0.1", taken)):
        shown = show(
            *("--only", "optuna", "--only", "tensorboard"),
            *("--tensorboard-port", str(taken), "--optuna-port", str(port)),
            telegram_token="hunter2",
            smart_tuner_artifacts="elsewhere",
        )
        shown.wait_until_said("Ctrl-C")
    assert f"Port {taken} is taken (by " in shown.said
    assert shown.address("optuna-dashboard") == f"http://127.0.0.1:{port}"
    assert shown.address("TensorBoard") != f"http://127.0.0.1:{taken}"
    assert get(shown.address("TensorBoard"))[0] == 200
    assert "MLflow" not in shown.said

    environment = shown.server("optuna").environ()
    assert "hunter2" not in environment.values()
    assert [value for name, value in environment.items() if name.upper() == "SMART_TUNER_ARTIFACTS"] == ["elsewhere"]

    store = f"sqlite:///{shown.workspace}/studies.db"
    assert "It waits for a study: storage 'sqlite:///" in shown.said
    code, text = get(shown.address("optuna-dashboard"))
    assert code == 503
    assert "no study was ever run with it" in text
    begin_study(store)
    assert get(shown.address("optuna-dashboard"))[0] == 200
    assert '"study_name": "lab"' in get(shown.address("optuna-dashboard") + "/api/studies")[1]

    shown.server("tensorboard").kill()
    shown.wait_until_said("TensorBoard has ended (exit code -9). The end of ")
    assert get(shown.address("optuna-dashboard"))[0] == 200
    left = shown.servers()
    assert left
    assert shown.end(signal.SIGINT) == 0
    assert not any(is_alive(one.pid) for one in left)
    assert shown.said.rstrip().endswith("Stopped.")


def test_when_no_server_is_left_it_ends_and_says_why(run_here: RunHere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    ended = run_here("--only", "tensorboard", "--only", "optuna")
    assert ended.code == 1
    assert "TensorBoard could not be started (exit code 1). The end of " in ended.out
    assert ended.err.rstrip().endswith("No server is left.")


@pytest.mark.slow
def test_all_three_are_shown_without_giving_a_password_away(show: Show, postgresql_server: PostgresServer) -> None:
    postgresql_server.execute("CREATE DATABASE ui_studies", "CREATE DATABASE ui_mlflow")
    where = f"postgresql+psycopg://postgres:hunter2@127.0.0.1:{postgresql_server.port}"
    begin_study(f"{where}/ui_studies")
    ports = [str(free_port()) for _ in range(3)]
    shown = show(
        *("--optuna-port", ports[0], "--mlflow-port", ports[1], "--tensorboard-port", ports[2]),
        SMART_TUNER_STORAGE=f"{where}/ui_studies",
        SMART_TUNER_TRACKING_URI=f"{where}/ui_mlflow",
    )
    shown.wait_until_said("Ctrl-C")
    assert '"study_name": "lab"' in get(shown.address("optuna-dashboard") + "/api/studies")[1]
    assert "Default" in get(shown.address("MLflow") + "/api/2.0/mlflow/experiments/search?max_results=5")[1]
    assert get(shown.address("TensorBoard") + "/data/environment")[0] == 200

    servers = shown.servers()
    assert len(servers) >= 4  # MLflow's has a child
    assert "hunter2" not in " ".join(word for one in servers for word in one.cmdline())
    written = [path.read_text() for path in (shown.workspace / "ui").iterdir()]
    assert len(written) == 3
    assert "hunter2" not in "\n".join([shown.said, *written])
    shown.end(signal.SIGKILL)
    wait_until_gone(servers)


@pytest.mark.slow
def test_a_server_that_cannot_start_is_told_with_its_last_words_and_the_others_stay(show: Show) -> None:
    store = "nosuchstore://me:hunter2@host/mlflow"
    shown = show(
        *("--only", "mlflow", "--only", "tensorboard"),
        *("--mlflow-port", str(free_port()), "--tensorboard-port", str(free_port()), "--tracking-uri", store),
    )
    shown.wait_until_said("Ctrl-C")
    assert "MLflow could not be started (exit code 1). The end of " in shown.said
    assert "unsupported URI 'nosuchstore://me:***@host/mlflow'" in shown.said
    assert "hunter2" not in "".join(path.read_text() for path in (shown.workspace / "ui").iterdir())
    assert get(shown.address("TensorBoard"))[0] == 200
    assert shown.end(signal.SIGTERM) == 0


def test_a_server_of_mlflow_that_is_there_already_is_named(run_here: RunHere) -> None:
    ended = run_here("--only", "mlflow", "--tracking-uri", "http://me:hunter2@host:1")
    assert (ended.code, ended.err) == (0, "")
    assert "http://me:***@host:1" in ended.out


NOTHING_TO_SHOW: dict[str, tuple[list[str], str]] = {
    "switched off": (["--only", "mlflow"], "MLflow is switched off by the setting `mlflow`"),
    "one port for two": (["--optuna-port", "5001"], "Each page needs a port of its own, but got 5001, 5001"),
    "no address": (["--host", "no.such.invalid"], "no such IPv4 address or name"),
    "not here": (["--host", "192.0.2.1"], "is no address of this machine"),
}


@pytest.mark.parametrize(("arguments", "words"), NOTHING_TO_SHOW.values(), ids=NOTHING_TO_SHOW)
def test_a_mistake_is_one_paragraph_and_exit_code_2(
    run_here: RunHere, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.setenv("SMART_TUNER_MLFLOW", "false")
    ended = run_here(*arguments)
    assert ended.code == 2
    assert words in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("bound", "named", "status"),
    [
        ("127.0.0.1", "127.0.0.1:5002", 503),  # there is no study yet
        ("127.0.0.1", "LOCALHOST", 503),
        ("localhost", "[::1]:5002", 503),
        ("127.0.0.2", "127.0.0.2:5002", 503),
        ("127.0.0.1", "evil.example:5002", 403),
        ("127.0.0.1", "127.0.0.1.evil.example", 403),
        ("localhost", "", 403),
        ("0.0.0.0", "rack7:5002", 503),
    ],
)
def test_on_loopback_the_dashboard_answers_to_no_other_name(
    tmp_path: Path, bound: str, named: str, status: int
) -> None:
    with dashboard.open_server(f"sqlite:///{tmp_path}/none.db", tmp_path, bound, 0) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        asked = http.client.HTTPConnection(*server.server_address[:2], timeout=30)
        asked.request("GET", "/dashboard", headers={"Host": named})
        answer = asked.getresponse()
        assert answer.status == status, answer.read()
        asked.close()


def test_whoever_holds_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        assert f"process {os.getpid()}" in (holder(port) or "")
    assert is_free("127.0.0.1", port)
    assert holder(port) is None


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({}, ""),
        ({"workspace": Path("my place")}, " --workspace 'my place'"),
        ({"workspace": Path("known")}, ""),
        (
            {"storage": "mysql://host/s?a=b", "tracking_uri": "http://host:5000"},
            " --storage 'mysql://host/s?a=b' --tracking-uri http://host:5000",
        ),
    ],
)
def test_the_command_is_told_with_those_options_that_nothing_else_would_tell_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: dict[str, Any], options: str
) -> None:
    if given.get("workspace") == Path("known"):
        monkeypatch.setenv("SMART_TUNER_WORKSPACE", "known")
    print_next_steps(load_settings(**given), Console())
    assert f"To look further: smart-tuner ui{options}  #" in capsys.readouterr().out


def test_a_url_with_a_password_is_no_part_of_the_command_which_says_what_it_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://me:hunter2@host/s"
    print_next_steps(load_settings(storage=url, tracking_uri="http://host:5000"), Console())
    said = capsys.readouterr().out
    assert "To look further: smart-tuner ui --tracking-uri http://host:5000  #" in said
    assert "Set SMART_TUNER_STORAGE first" in said
    assert "***" not in said
    assert "hunter2" not in said
    monkeypatch.setenv("SMART_TUNER_STORAGE", url)
    print_next_steps(load_settings(), Console())
    assert "SMART_TUNER_STORAGE" not in capsys.readouterr().out
