"""No form of a password in a store's URL is shown."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from servers import PostgresServer, Server
from sqlalchemy.exc import OperationalError

import smart_tuner.store.retrying
import smart_tuner.store.storage
from smart_tuner.errors import StorageError
from smart_tuner.masking import masked, masked_answer
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import open_storage


def test_a_password_in_a_drivers_error_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, *_: object) -> None:
        raise OperationalError(None, None, ConnectionError(f"cannot connect to {url}"))

    monkeypatch.setattr(smart_tuner.store.storage, "refuse_other_schema", refuse)
    with pytest.raises(StorageError, match=r"cannot connect to postgresql\+psycopg://me:\*\*\*@host/db") as caught:
        open_storage("postgresql+psycopg://me:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:geh%40eim@127.0.0.1:9/db",
        "postgresql+psycopg://me:geh@eim@127.0.0.1:9/db",
        "postgresql+psycopg://me:geh@eim/geheim@127.0.0.1:9/db",
        "postgresql+psycopg://me:eim:geh@127.0.0.1:9/db",
        "postgresql+psycopg://me:eim@geh:eim@127.0.0.1:9/db",
        "postgresql+psycopg://me:geh/eim@127.0.0.1:9/db",
        "postgresql+psycopg://me:geh?eim#geh@127.0.0.1:9/db",
        "postgresql+psycopg://me:x@geh?eim@127.0.0.1:9/db",
        "postgresql+psycopg://me:x@geh#eim@127.0.0.1:9/db",
        "postgresql+psycopg://me:{geheim}@127.0.0.1:9/db",
        "postgresql+psycopg://me:geh{eim@127.0.0.1:9/db",
        "postgresql+psycopg://me@server:geheim@127.0.0.1:9/db",
        "postgresql+psycopg:///db?host=/nowhere&user=me&password=geh%40eim",
        "postgresql+psycopg:///db?host=/nowhere&user=me&password=geh'eim",
        "postgresql+psycopg://127.0.0.1:9/db?password=geh@eim&user=me",
        "mysql+pymysql://me:geh%2Feim@127.0.0.1:9/db",
        "mysql+pymysql://me:geh@eim@127.0.0.1:9/db",
        "mysql+nothing://me:geheim@localhost/db",
        "sqlite+nothing://me:geheim@localhost/db",
        "sqlite://me:geheim@localhost/db",
    ],
)
def test_no_form_of_a_password_is_shown(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError) as caught:
        open_storage(url)
    assert not re.search("geh|eim", str(caught.value))
    assert not re.search("geh|eim", masked(url))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("password", ["a", "e b", "%61", "admin"])
def test_a_short_password_is_masked_by_position_and_cannot_be_guessed_elsewhere(password: str) -> None:
    url = f"mysql+pymysql://me:{password}@admin.example/abc?password=b"
    answer = f"admin abc: cannot connect to {url}; DSN host=admin.example user=me password=a; Access denied"
    assert masked_answer(answer, url) == (
        "admin abc: cannot connect to mysql+pymysql://me:***@admin.example/abc?password=*** "
        "DSN host=admin.example user=me password=*** Access denied"
    )


def test_a_password_with_an_at_sign_that_is_not_escaped_is_explained() -> None:
    with pytest.raises(StorageError, match=r"write @ : / \? # in one as %40 %3A"):
        open_storage("postgresql+psycopg://me:p@ss@127.0.0.1:9/db")


def test_a_password_is_not_shown_while_the_store_is_away(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    storages: Callable[..., RetryingStorage],
    server_of_its_own: Callable[..., AbstractContextManager[Server]],
) -> None:
    with server_of_its_own(PostgresServer) as server:
        server.start()
        server.execute("CREATE DATABASE db")
        storage = storages(f"postgresql+psycopg://postgres:geh%40eim@127.0.0.1:{server.port}/db?password=geheim")
        server.kill()
        monkeypatch.setattr(smart_tuner.store.retrying, "QUIET_SECONDS", 0.0)
        storage.retry_seconds = 3  # the first attempt may take two on a busy machine
        with pytest.raises(StorageError, match="has not answered since") as caught:
            storage.get_all_studies()
        (warning,) = [line for line in caplog.messages if line.startswith("the store")]
        assert "does not answer" in warning
        assert not re.search("geh|eim", warning + str(caught.value))
