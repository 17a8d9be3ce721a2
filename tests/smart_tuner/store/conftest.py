"""Fixtures for the tests of the store."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from lab import open_queue
from queues import Opened
from servers import MariaServer, Server

from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import open_storage


@pytest.fixture
def opened(storage_url: str) -> Opened:
    storage, study, queue = open_queue(storage_url, 5)
    return storage, study, queue


@pytest.fixture
def storages() -> Iterator[Callable[..., RetryingStorage]]:
    """Opens stores, and closes their connections after the test."""
    opened: list[RetryingStorage] = []

    def open_one(*arguments: str, **options: float) -> RetryingStorage:
        opened.append(open_storage(*arguments, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()


@pytest.fixture
def server_of_its_own() -> Callable[..., AbstractContextManager[Server]]:
    """Makes a server that the test may kill, of the given kind."""

    @contextmanager
    def make(kind: type[Server], *arguments: Path) -> Iterator[Server]:
        if kind is MariaServer and not MariaServer.is_installed():
            pytest.skip("no MariaDB here: it comes with no wheel (apt-get install mariadb-server)")
        with kind(Path(tempfile.mkdtemp(prefix="db-")), *arguments) as server:
            yield server

    return make
