"""Fixtures for all tests. Helpers that are no fixtures are in tests/support."""

import functools
import io
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from lab import Lab
    from servers import MariaServer, PostgresServer, Server


def pytest_configure() -> None:
    """Tests send no notifications, whatever the environment of the person who runs them, and share two cores well."""
    for name in ("TELEGRAM_TOKEN", "TELEGRAM_CHAT_ID", "SMART_TUNER_NOTIFY_URLS"):
        os.environ.pop(name, None)
    # Idle threads of OpenMP spin, which takes a quarter of the processors from the tests that run beside them.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    load_migrations_once()


def load_migrations_once() -> None:
    """Whoever opens a store of Optuna or MLflow runs all their migration files to compare versions, which takes longer
    than most tests. In this process each file is run once. Where only the trainer is installed, there are none."""
    if find_spec("alembic") is None:
        return
    import alembic.util

    load = alembic.util.load_python_file
    load_once = functools.cache(load)
    alembic.util.load_python_file = lambda folder, name: (load if name == "env.py" else load_once)(folder, name)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Lab]":
    """A workspace whose trials the fake trainer runs; fails if a trainer outlives the test."""
    from lab import Lab, trainers_in
    from tuner_process import no_corpus

    import smart_tuner.run.corpus
    import smart_tuner.run.pool

    monkeypatch.setattr(smart_tuner.run.corpus, "prepare_corpus", no_corpus)
    monkeypatch.setattr(smart_tuner.run.pool, "WATCH_SECONDS", 0.1)
    lab = Lab(tmp_path, monkeypatch)
    yield lab
    lab.console.file.close()
    assert not trainers_in(tmp_path)


@pytest.fixture
def said(lab: "Lab") -> io.StringIO:
    """The lines that the tuner of `lab` writes for people."""
    lab.console.file.close()
    lab.console.file = lines = io.StringIO()
    return lines


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes small disks, given their size in bytes; skips the test if this process may not mount one."""
    made: list[Path] = []

    def make(size: int) -> Path:
        folder = tmp_path / f"disk {len(made)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount here")
        if done.returncode:
            pytest.skip(f"this process may not mount a small disk: {done.stderr.strip()}")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with all its tables; making one takes seconds, copying one does not."""
    from smart_tuner.mlflow_mirror.run_lookup import connect

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_server() -> "Iterator[PostgresServer]":
    from servers import PostgresServer

    with PostgresServer(Path(tempfile.mkdtemp(prefix="pg-"))) as server:
        server.start()
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> "Iterator[MariaServer]":
    from servers import MariaServer

    if not MariaServer.is_installed():
        pytest.skip("no MariaDB here: it comes with no wheel (apt-get install mariadb-server)")
    with MariaServer(Path(tempfile.mkdtemp(prefix="my-"))) as server:
        server.start()
        yield server


@pytest.fixture(params=["sqlite", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("postgresql", "mariadb"))])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty store of each supported kind, by default SQLite alone; see `every_store` in tests/support/servers.py.

    Connections that the test opened are closed after it.
    """
    from optuna.storages import RDBStorage

    opened: list[RDBStorage] = []

    def remember(opens: Callable[..., None]) -> Callable[..., None]:
        def call(storage: RDBStorage, *arguments: Any, **options: Any) -> None:
            opens(storage, *arguments, **options)
            opened.append(storage)

        return call

    for opens in (RDBStorage.__init__, RDBStorage.__setstate__):  # made, and unpickled
        monkeypatch.setattr(RDBStorage, opens.__name__, remember(opens))
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/studies.db"
    else:
        yield new_database(request.getfixturevalue(f"{request.param}_server"))
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()


def new_database(server: "Server") -> str:
    """URL of a new, empty database."""
    name = f"t{uuid4().hex[:12]}"
    server.execute(f"CREATE DATABASE {name}")
    return server.url(name)
