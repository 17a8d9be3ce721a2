"""`smart-tuner ui`: a process that starts servers, prints their addresses, and leaves none behind."""

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
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request

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
from smart_tuner.ui import dashboard, tensorboard
from smart_tuner.ui.ports import holder, is_free
from smart_tuner.workspace import Workspace

READY_SECONDS = 150  # a little longer than the command itself waits


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
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def wait_for_output(self, text: str) -> None:
        ended = f"\nit exited with the output:\n{self.output}"
        wait_until(lambda: text in self.output or self.process.poll() is not None, text, READY_SECONDS)
        assert text in self.output, ended

    def address(self, name: str) -> str:
        found = re.search(rf"{name} +(http://\S+)", self.output)
        assert found, self.output
        return found[1]

    def servers(self) -> list[psutil.Process]:
        return self.tuner.children(recursive=True)

    def server(self, page: str) -> psutil.Process:
        (found,) = (process for process in self.tuner.children() if page in process.cmdline())
        return found

    def end(self, by: signal.Signals) -> int:
        self.process.send_signal(by)
        return self.process.wait(30)


Show = Callable[..., Shown]


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Show]:
    started: list[Shown] = []

    def show(*arguments: str, **environment: str) -> Shown:
        started.append(Shown(tmp_path / "my workspace", *arguments, **environment))
        return started[-1]

    yield show
    for shown in started:
        if shown.process.poll() is None:
            servers = shown.servers()
            shown.end(signal.SIGKILL)
            wait_until_gone(servers)


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


RunHere = Callable[..., Ended]


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunHere:
    """`smart-tuner ui` in this process, for cases that end by themselves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["smart-tuner", "ui", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return Ended(int(ended.value.code or 0), output.out, output.err)

    return run


def submit_study(url: str) -> None:
    storage = open_storage(url)
    open_study(storage, study_spec())
    storage.remove_session()
    storage.engine.dispose()


def get(address: str | Request) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def test_pages_start_and_stop(show: Show) -> None:
    """One test, since each start takes seconds: no study yet, a taken port, a server that dies, Ctrl-C."""
    taken, port = free_port(), free_port()
    with socket.create_server(("127.0.0.1", taken)):
        shown = show(
            *("--only", "optuna", "--only", "tensorboard"),
            *("--tensorboard-port", str(taken), "--optuna-port", str(port)),
            telegram_token="hunter2",
            smart_tuner_artifacts="elsewhere",
        )
        shown.wait_for_output("Ctrl-C")
    assert f"Port {taken} is taken (by " in shown.output
    assert shown.address("optuna-dashboard") == f"http://127.0.0.1:{port}"
    assert shown.address("TensorBoard") != f"http://127.0.0.1:{taken}"
    assert get(shown.address("TensorBoard"))[0] == 200
    assert "MLflow" not in shown.output

    environment = shown.server("optuna").environ()
    assert "hunter2" not in environment.values()
    assert [value for name, value in environment.items() if name.upper() == "SMART_TUNER_ARTIFACTS"] == ["elsewhere"]

    store = f"sqlite:///{shown.workspace}/studies.db"
    assert "It waits for a study: storage 'sqlite:///" in shown.output
    code, text = get(shown.address("optuna-dashboard"))
    assert code == 503
    assert "no study was ever run with it" in text
    submit_study(store)
    assert get(shown.address("optuna-dashboard"))[0] == 200
    assert '"study_name": "lab"' in get(shown.address("optuna-dashboard") + "/api/studies")[1]

    shown.server("tensorboard").kill()
    shown.wait_for_output("TensorBoard has exited (exit code -9). The end of ")
    assert get(shown.address("optuna-dashboard"))[0] == 200
    left = shown.servers()
    assert left
    assert shown.end(signal.SIGINT) == 0
    assert not any(is_alive(process.pid) for process in left)
    assert shown.output.rstrip().endswith("Stopped.")


def test_when_no_server_is_left_it_exits_and_says_why(run_here: RunHere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    ended = run_here("--only", "tensorboard", "--only", "optuna")
    assert ended.code == 1
    assert "TensorBoard could not be started (exit code 1). The end of " in ended.out
    assert ended.err.rstrip().endswith("No server is left.")


def test_a_workspace_that_may_only_be_read_is_shown_and_stays_as_it_is(
    run_here: RunHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    monkeypatch.setattr(Workspace, "obstacle", lambda workspace: "it is on a read-only disk")
    ended = run_here("--only", "tensorboard", "--workspace", str(tmp_path / "none"))
    assert "it is on a read-only disk" in ended.err
    (tmp_path / "there").mkdir()
    ended = run_here("--only", "tensorboard", "--workspace", str(tmp_path / "there"))
    assert re.search(r"The end of /\S+/smart-tuner-ui-\w+/tensorboard-\d+\.log", ended.out)
    assert not list((tmp_path / "there").iterdir())


@pytest.mark.slow
def test_all_three_are_shown_without_a_password(show: Show, postgresql_server: PostgresServer) -> None:
    postgresql_server.execute("CREATE DATABASE ui_studies", "CREATE DATABASE ui_mlflow")
    where = f"postgresql+psycopg://postgres:hunter2@127.0.0.1:{postgresql_server.port}"
    submit_study(f"{where}/ui_studies")
    ports = [str(free_port()) for _ in range(3)]
    shown = show(
        *("--optuna-port", ports[0], "--mlflow-port", ports[1], "--tensorboard-port", ports[2]),
        SMART_TUNER_STORAGE=f"{where}/ui_studies",
        SMART_TUNER_TRACKING_URI=f"{where}/ui_mlflow",
    )
    shown.wait_for_output("Ctrl-C")
    assert '"study_name": "lab"' in get(shown.address("optuna-dashboard") + "/api/studies")[1]
    assert "Default" in get(shown.address("MLflow") + "/api/2.0/mlflow/experiments/search?max_results=5")[1]
    assert get(shown.address("TensorBoard") + "/data/environment")[0] == 200

    for page in ("optuna-dashboard", "MLflow", "TensorBoard"):
        assert get(Request(shown.address(page), headers={"Host": "evil.example"}))[0] == 403, page

    servers = shown.servers()
    assert len(servers) >= 4  # MLflow's has a child
    assert "hunter2" not in " ".join(word for process in servers for word in process.cmdline())
    written = [path.read_text() for path in (shown.workspace / "ui").iterdir()]
    assert len(written) == 3
    assert "hunter2" not in "\n".join([shown.output, *written])
    shown.end(signal.SIGKILL)
    wait_until_gone(servers)


@pytest.mark.slow
def test_a_server_that_cannot_start_is_reported_with_its_last_output_and_the_others_stay(show: Show) -> None:
    store = "nosuchstore://me:hunter2@host/mlflow"
    shown = show(
        *("--only", "mlflow", "--only", "tensorboard"),
        *("--mlflow-port", str(free_port()), "--tensorboard-port", str(free_port()), "--tracking-uri", store),
    )
    shown.wait_for_output("Ctrl-C")
    assert "MLflow could not be started (exit code 1). The end of " in shown.output
    assert "unsupported URI 'nosuchstore://me:***@host/mlflow'" in shown.output
    assert "hunter2" not in "".join(path.read_text() for path in (shown.workspace / "ui").iterdir())
    assert get(shown.address("TensorBoard"))[0] == 200
    assert shown.end(signal.SIGTERM) == 0


def test_a_running_server_of_mlflow_is_named(run_here: RunHere) -> None:
    ended = run_here("--only", "mlflow", "--tracking-uri", "http://me:hunter2@host:1")
    assert (ended.code, ended.err) == (0, "")
    assert "http://me:***@host:1" in ended.out


NOTHING_TO_SHOW: dict[str, tuple[list[str], str]] = {
    "switched off": (["--only", "mlflow"], "MLflow is switched off by the setting `mlflow`"),
    "one port for two": (["--optuna-port", "5001"], "Each page needs a port of its own, but got 5001, 5001"),
    "no address": (["--host", "no.such.invalid"], "no such IPv4 address or name"),
    "not here": (["--host", "192.0.2.1"], "is not an address of this machine"),
}


@pytest.mark.parametrize(("arguments", "complaint"), NOTHING_TO_SHOW.values(), ids=NOTHING_TO_SHOW)
def test_a_mistake_is_one_paragraph_and_exit_code_2(
    run_here: RunHere, monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
) -> None:
    monkeypatch.setenv("SMART_TUNER_MLFLOW", "false")
    ended = run_here(*arguments)
    assert ended.code == 2
    assert complaint in ended.err
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
def test_on_loopback_the_dashboard_refuses_other_host_names(
    tmp_path: Path, bound: str, named: str, status: int
) -> None:
    with dashboard.open_server(f"sqlite:///{tmp_path}/none.db", tmp_path, bound, 0) as server:
        assert asked(server, named) == status


def asked(server: Any, host: str, path: str = "/dashboard") -> int:
    """The status of its answer to a request for this host."""
    threading.Thread(target=server.handle_request, daemon=True).start()
    with closing(http.client.HTTPConnection(*server.server_address[:2], timeout=30)) as connection:
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status


@pytest.mark.parametrize(
    ("named", "status"), [("localhost:5002", 503), ("Tuner.example:8502", 503), ("evil.example:5002", 403)]
)
def test_elsewhere_the_dashboard_answers_for_the_hosts_that_are_allowed(
    tmp_path: Path, named: str, status: int
) -> None:
    store = f"sqlite:///{tmp_path}/none.db"
    with dashboard.open_server(store, tmp_path, "0.0.0.0", 0, ["localhost", "tuner.example"]) as server:
        assert asked(server, named) == status


@pytest.mark.parametrize(("named", "status"), [("localhost:5001", 200), ("evil.example:5001", 403)])
def test_so_does_tensorboard(tmp_path: Path, named: str, status: int) -> None:
    made = tensorboard.program(tmp_path, "127.0.0.1", 0)
    with made._make_server() as server:
        assert asked(server, named, "/") == status


def test_the_holder_of_a_port_is_named() -> None:
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
def test_a_shown_command_has_the_options_that_its_settings_lack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: dict[str, Any], options: str
) -> None:
    if given.get("workspace") == Path("known"):
        monkeypatch.setenv("SMART_TUNER_WORKSPACE", "known")
    print_next_steps(load_settings(**given), Console())
    assert f"To look further: smart-tuner ui{options}  #" in capsys.readouterr().out


def test_instead_of_a_url_with_a_password_the_variable_to_set_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://me:hunter2@host/s"
    print_next_steps(load_settings(storage=url, tracking_uri="http://host:5000"), Console())
    output = capsys.readouterr().out
    assert "To look further: smart-tuner ui --tracking-uri http://host:5000  #" in output
    assert "Set SMART_TUNER_STORAGE first" in output
    assert "***" not in output
    assert "hunter2" not in output
    monkeypatch.setenv("SMART_TUNER_STORAGE", url)
    print_next_steps(load_settings(), Console())
    assert "SMART_TUNER_STORAGE" not in capsys.readouterr().out
