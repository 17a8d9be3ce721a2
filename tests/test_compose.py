"""docker-compose.yml, checked without a container engine: it fits this project and contains no secrets."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from smart_tuner.cli.commands import app
from smart_tuner.config import Settings

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_the_commands_are_those_of_this_project() -> None:
    tuner: Any = typer.main.get_command(app)
    options = {}
    for name, service in SERVICES.items():
        program, command, *rest = service.get("command", ["", ""])
        if program == "smart-tuner":  # parsed as in the container, but not run
            options[name] = tuner.commands[command].make_context(command, rest).params
    assert options.keys() == {"ui", "worker"}
    assert options["worker"]["stay"]
    assert options["ui"]["host"] == "0.0.0.0"
    shown = {options["ui"][f"{page}_port"] for page in options["ui"]["only"]}
    assert SERVICES["ui"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in sorted(shown)]


@pytest.mark.slow
def test_mlflow_takes_its_options() -> None:
    program, *rest = SERVICES["mlflow"]["command"]
    command = [sys.executable, "-m", program, *rest, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Run the MLflow tracking server" in done.stdout
    assert not any("postgresql" in word for word in rest), "all users of the machine can read a command line"


def test_the_settings_exist() -> None:
    given = {
        name for one in SERVICES.values() for name in one.get("environment", {}) if name.startswith("SMART_TUNER_")
    }
    assert given == {"SMART_TUNER_STORAGE", "SMART_TUNER_TRACKING_URI", "SMART_TUNER_WORKSPACE"}
    assert given <= {f"SMART_TUNER_{name.upper()}" for name in Settings.model_fields}


def test_no_secret_has_a_value() -> None:
    used = re.findall(r"\$\{([^}]*)\}", TEXT)
    assert used
    assert all(re.fullmatch(r"POSTGRES_PASSWORD:\?[^}]+", one) for one in used), "required, without a default"
    assert all(secret.startswith("${") for secret in re.findall(r"://[^/\s:]+:(.*?)@", TEXT))
    assert re.findall(r"(?m)^ +\w*PASSWORD: (.*)", TEXT) == ["${POSTGRES_PASSWORD:?see .env.example}"]
    assert (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()[-1] == "POSTGRES_PASSWORD="
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", SERVICES)
def test_ports_listen_on_loopback(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_everything_that_a_service_names_exists(name: str) -> None:
    service = SERVICES[name]
    assert {volume.partition(":")[0] for volume in service["volumes"]} <= COMPOSE["volumes"].keys()
    assert {one["source"] for one in service.get("configs", [])} <= COMPOSE["configs"].keys()
    for needed, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert SERVICES[needed]["healthcheck"]["test"][0] == "CMD"


def test_the_image_is_built_from_existing_files() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert copied
    assert all((ROOT / name).exists() for name in copied)
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[0] == "!"}
    assert kept == set(copied)
    (extras,) = (found[1].split(",") for line in lines if (found := re.search(r"'\.\[(.*)\]'", line)))
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert set(extras) <= tomllib.load(file)["project"]["optional-dependencies"].keys()
