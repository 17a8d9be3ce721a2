"""What `doctor` says of the store, MLflow, ports and notifications; each with faults, none with a secret."""

import socket
from pathlib import Path
from typing import Any

import pytest
from servers import free_port

from smart_tuner.config import Settings, load_settings
from smart_tuner.doctor import services
from smart_tuner.doctor.services import check_mlflow, check_notifications, check_ports, check_store
from smart_tuner.errors import UserError
from smart_tuner.store.storage import open_storage
from smart_tuner.ui import AUDITION_PORT, Page
from trainer.findings import State

SECRET = "hunter2-and-more"


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings(**given: Any) -> Settings:
    return load_settings(**given)


def test_a_store_that_is_not_there_yet_is_fine_and_not_made(tmp_path: Path) -> None:
    finding = check_store(settings())
    assert (finding.state, "no study yet" in finding.found) == (State.OK, True)
    assert list(tmp_path.iterdir()) == []


def test_a_store_opens(tmp_path: Path) -> None:
    storage = open_storage(settings().storage_url)
    storage.create_new_study([], "voice")
    storage.remove_session()
    storage.engine.dispose()
    finding = check_store(settings())
    assert finding.state is State.OK
    assert finding.found.startswith("sqlite:///workspace/studies.db: opens, tables of version v")
    assert finding.found.endswith(", 1 study.")
    assert [path.name for path in (tmp_path / "workspace").iterdir()] == ["studies.db"]


def test_a_store_that_cannot_be_written_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(settings().storage_url)
    storage.remove_session()
    storage.engine.dispose()
    monkeypatch.setattr(services, "may_write", lambda url: False)
    finding = check_store(settings())
    assert (finding.state, "cannot be written" in finding.found) == (State.WARNING, True)


def test_a_file_that_is_no_store_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file.db").write_text("no database, but a text that is long enough\n" * 9)
    finding = check_store(settings(storage=f"sqlite:///{tmp_path}/file.db"))
    assert (finding.state, "is not a SQLite database" in finding.found) == (State.ERROR, True)
    assert "give another one with --storage" in finding.mend


def test_a_store_that_is_away_is_an_error_without_its_password() -> None:
    finding = check_store(settings(storage=f"postgresql+psycopg://me:{SECRET}@127.0.0.1:{free_port()}/db"))
    assert finding.state is State.ERROR
    assert "me:***@127.0.0.1" in finding.found
    assert SECRET not in finding.found


def test_sqlite_on_a_network_file_system_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "network_file_system", lambda path: "nfs4")
    finding = check_store(settings())
    assert (finding.state, "(nfs4)" in finding.found) == (State.WARNING, True)
    assert "--storage postgresql+psycopg://" in finding.mend


def test_mlflow_may_be_off_or_not_there_yet(tmp_path: Path) -> None:
    assert check_mlflow(settings(mlflow=False)).state is State.NOTE
    finding = check_mlflow(settings())
    assert (finding.state, "made by the first run" in finding.found) == (State.OK, True)
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_mlflow_opens(empty_store: Path) -> None:
    finding = check_mlflow(settings(tracking_uri=f"sqlite:///{empty_store}"))
    assert (finding.state, "opens, tables of version" in finding.found) == (State.OK, True)


def test_a_file_that_is_no_database_of_mlflow_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file.db").write_text("no database, but a text that is long enough\n" * 9)
    finding = check_mlflow(settings(tracking_uri=f"sqlite:///{tmp_path}/file.db"))
    assert (finding.state, "file is not a database" in finding.found) == (State.ERROR, True)


def test_a_server_of_mlflow_that_is_away_is_an_error_without_its_password() -> None:
    finding = check_mlflow(settings(tracking_uri=f"http://me:{SECRET}@127.0.0.1:{free_port()}"))
    assert finding.state is State.ERROR
    assert "me:***@127.0.0.1" in finding.found
    assert "does not answer (connection refused)" in finding.found
    assert SECRET not in f"{finding}"


def test_a_database_server_of_mlflow_that_is_away_is_an_error_without_its_password() -> None:
    finding = check_mlflow(settings(tracking_uri=f"postgresql+psycopg://me:{SECRET}@127.0.0.1:{free_port()}/db"))
    assert (finding.state, "cannot be opened" in finding.found) == (State.ERROR, True)
    assert SECRET not in f"{finding}"


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = {page: free_port() for page in Page}
    monkeypatch.setattr(Page, "port", property(ports.__getitem__))
    monkeypatch.setattr(services, "AUDITION_PORT", free_port())
    assert check_ports().state is State.OK
    for port, label in ((ports[Page.MLFLOW], "MLflow"), (services.AUDITION_PORT, "smart-tuner listen")):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            finding = check_ports()
        assert (finding.state, f"{port} ({label}) is taken" in finding.found) == (State.NOTE, True)
        assert "optuna-dashboard" not in finding.found


def test_the_ports_that_commands_use_by_default_differ() -> None:
    assert len({AUDITION_PORT, *(page.port for page in Page)}) == 1 + len(Page)


def test_ports_at_which_this_user_may_not_listen_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(host: str, port: int) -> bool:
        raise UserError(f"Port {port}: this user may not listen there; give one above 1023.")

    monkeypatch.setattr(services, "is_free", refuse)
    finding = check_ports()
    assert (finding.state, "have options for other ports" in finding.mend) == (State.WARNING, True)


def test_notifications_are_named_without_their_values() -> None:
    assert check_notifications(settings()).state is State.NOTE
    token = f"123456:{SECRET}"
    finding = check_notifications(settings(telegram_token=token, telegram_chat_id="987654"))
    assert finding.state is State.OK
    assert "set: TELEGRAM_TOKEN, TELEGRAM_CHAT_ID" in finding.found
    half = check_notifications(settings(telegram_token=token))
    assert (half.state, "TELEGRAM_CHAT_ID is missing" in half.found) == (State.ERROR, True)
    assert half.mend.startswith("Set TELEGRAM_TOKEN and TELEGRAM_CHAT_ID")
    assert SECRET not in f"{finding}{half}"
    assert "987654" not in f"{finding}"
