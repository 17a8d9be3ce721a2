import inspect
import logging
import re
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType

import optuna
import pytest
import sqlalchemy
from alembic.script import ScriptDirectory
from optuna.storages._cached_storage import _CachedStorage
from optuna.study import StudyDirection
from servers import MariaServer, PostgresServer, Server
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

import smart_tuner.store.storage
from smart_tuner.errors import StorageError
from smart_tuner.masking import masked
from smart_tuner.store.outages import is_outage
from smart_tuner.store.patience import PatientStorage
from smart_tuner.store.storage import open_storage, upgrade_storage


def test_sqlite_keeps_a_write_ahead_log_so_that_readers_and_a_writer_do_not_wait_for_each_other(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "s.db"
    storage = open_storage(f"sqlite:///{file}")
    with closing(sqlite3.connect(file, timeout=0)) as reader, closing(sqlite3.connect(file, timeout=0)) as writer:
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM studies").fetchone()
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO studies (study_name) VALUES ('written meanwhile')")
        assert reader.execute("SELECT count(*) FROM studies").fetchone() == (0,)
        writer.commit()
    assert optuna.get_all_study_names(storage) == ["written meanwhile"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "in-memory database would be lost"),
        ("sqlite:///:memory:", "in-memory database would be lost"),
        ("sqlite:////proc/nothing/s.db", "cannot be opened"),
        ("no url at all, with hunter2", "Could not parse SQLAlchemy URL"),
        ("cassandra://me:hunter2@127.0.0.1/db", "cassandra"),
        ("mysql+mysqldb://me:hunter2@127.0.0.1/db", "No module named 'MySQLdb'"),
        ("postgresql+psycopg://me:hunter2@127.0.0.1:9/db", "refused"),
        ("postgresql+psycopg://me:hunter2@127.0.0.1:port/db", "cannot be opened"),
        ("postgresql+psycopg://127.0.0.1:9/db?user=me&password=hunter2", "refused"),
    ],
)
def test_a_url_that_leads_nowhere_is_one_error_without_the_password(url: str, words: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_storage(url)
    message = str(caught.value)
    assert words in message
    assert "Check the URL, that the server answers, and that the database's driver is installed" in message
    assert "hunter2" not in message.replace("with hunter2", "")
    assert "\n" not in message


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("These are my notes, and no database at all.\n" * 20)
    with pytest.raises(StorageError, match=r"notes\.txt.*not a database"):
        open_storage(f"sqlite:///{file}")
    assert file.read_text().startswith("These are my notes")


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be opened"):
        open_storage(f"sqlite:///{tmp_path}/file/s.db")


def test_a_driver_that_repeats_the_url_in_its_error_gives_no_password_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, *_: object) -> None:
        raise OperationalError(None, None, ConnectionError(f"cannot connect to {url}"))

    monkeypatch.setattr(smart_tuner.store.storage, "refuse_other_schema", refuse)
    with pytest.raises(StorageError, match=r"cannot connect to postgresql\+psycopg://me:\*\*\*@host/db") as caught:
        open_storage("postgresql+psycopg://me:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StorageError, match="psycopg") as caught:
        open_storage("postgresql+psycopg://me:hunter2@127.0.0.1:9/db")
    assert "hunter2" not in str(caught.value)


def test_importing_the_module_needs_no_driver() -> None:
    assert not [name for name, value in vars(smart_tuner.store.storage).items() if _is_driver(value)]


def _is_driver(value: object) -> bool:
    return isinstance(value, ModuleType) and value.__name__ in ("psycopg", "psycopg2", "MySQLdb", "pymysql")


# Passwords


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


def test_a_password_with_an_at_sign_that_is_not_escaped_is_explained() -> None:
    with pytest.raises(StorageError, match=r"write @ : / \? # in one as %40 %3A"):
        open_storage("postgresql+psycopg://me:p@ss@127.0.0.1:9/db")


def test_braces_in_a_path_are_no_template(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/{{me}} 100%.db")
    assert (tmp_path / "{me} 100%.db").is_file()
    assert optuna.get_all_study_names(storage) == []


@contextmanager
def server_of_its_own(kind: type[Server], *arguments: Path) -> Iterator[Server]:
    if kind is MariaServer and not MariaServer.is_installed():
        pytest.skip("no MariaDB here: it comes with no wheel (apt-get install mariadb-server)")
    with kind(Path(tempfile.mkdtemp(prefix="db-")), *arguments) as server:
        yield server


@pytest.fixture
def certificates() -> Iterator[Path]:
    """A folder with a server's certificate and key, and that of who signed it; and of another authority."""
    trustme = pytest.importorskip("trustme")
    folder = Path(tempfile.mkdtemp(prefix="tls-"))
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    other.cert_pem.write_to_path(str(folder / "other.pem"))
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(folder / "cert.pem"), append=True)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_postgresql_over_tls_with_a_password_of_the_environment(
    certificates: Path, monkeypatch: pytest.MonkeyPatch, storages: Callable[..., PatientStorage]
) -> None:
    programs = PostgresServer.programs_of_system()
    if programs is None:
        pytest.skip("no PostgreSQL of the system here, and that of the wheel knows no TLS")
    with server_of_its_own(PostgresServer, programs) as server:
        server.start()
        server.execute("CREATE USER me PASSWORD 'geheim' SUPERUSER", "CREATE DATABASE db")
        server.kill()
        (server.folder / "data/pg_hba.conf").write_text(
            "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
        )
        own_key(certificates / "key.pem", server.user)
        files = (f"-cssl_cert_file={certificates}/cert.pem", f"-cssl_key_file={certificates}/key.pem")
        server.start("-cssl=on", *files)
        url = f"postgresql+psycopg://me@127.0.0.1:{server.port}/db?sslmode="
        with pytest.raises(StorageError, match="password"):
            storages(f"{url}verify-full&sslrootcert={certificates}/ca.pem")
        monkeypatch.setenv("PGPASSWORD", "geheim")
        storage = storages(f"{url}verify-full&sslrootcert={certificates}/ca.pem")
        seen = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert storage.transaction(lambda c: c.execute(text(seen)).scalar_one())
        with pytest.raises(StorageError, match="no encryption"):
            storages(f"{url}disable")
        with pytest.raises(StorageError, match="certificate verify failed"):
            storages(f"{url}verify-full&sslrootcert={certificates}/other.pem")


def test_mariadb_over_tls(certificates: Path, storages: Callable[..., PatientStorage]) -> None:
    with server_of_its_own(MariaServer) as server:
        server.start()
        server.execute("CREATE USER me@'127.0.0.1' IDENTIFIED BY 'geheim' REQUIRE SSL", "CREATE DATABASE db")
        server.execute("CREATE USER me@localhost IDENTIFIED BY 'geheim' REQUIRE SSL")
        server.execute("GRANT ALL ON db.* TO me@'127.0.0.1'", "GRANT ALL ON db.* TO me@localhost")
        server.kill()
        own_key(certificates / "key.pem", server.user)
        server.start(f"--ssl-cert={certificates}/cert.pem", f"--ssl-key={certificates}/key.pem")
        url = f"mysql+pymysql://me:geheim@127.0.0.1:{server.port}/db"
        storage = storages(f"{url}?ssl_ca={certificates}/ca.pem")
        cipher = storage.transaction(lambda c: c.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).one()[1])
        assert cipher.startswith("TLS")
        with pytest.raises(StorageError, match="Access denied"):
            storages(f"{url}?ssl_disabled=true")
        with pytest.raises(StorageError, match="certificate verify failed"):
            storages(f"{url}?ssl_ca={certificates}/other.pem")


def own_key(key: Path, user: str | None) -> None:
    key.chmod(0o600)
    if user is not None:
        shutil.chown(key, user)


# Patience


@pytest.fixture
def storages() -> Iterator[Callable[..., PatientStorage]]:
    """Opens stores, and closes their connections behind the test."""
    opened: list[PatientStorage] = []

    def open_one(*arguments: str, **options: float) -> PatientStorage:
        opened.append(open_storage(*arguments, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()


@pytest.fixture
def locked(
    tmp_path: Path, storages: Callable[..., PatientStorage]
) -> Iterator[tuple[PatientStorage, sqlite3.Connection]]:
    """A store, and a connection of somebody else who holds it."""
    storage = storages(f"sqlite:///{tmp_path}/s.db?timeout=0.05")
    optuna.create_study(storage=storage, study_name="locked")
    with closing(sqlite3.connect(tmp_path / "s.db", check_same_thread=False)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield storage, holder


Locked = tuple[PatientStorage, sqlite3.Connection]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_store_that_others_hold_is_waited_for_and_said_once(locked: Locked, caplog: pytest.LogCaptureFixture) -> None:
    storage, holder = locked
    threading.Timer(2.5, holder.rollback).start()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: storage.set_study_user_attr(1, f"key {n}", n), range(3)))
    assert storage.get_study_user_attrs(1) == {f"key {n}": n for n in range(3)}
    silent, answers = warnings_of(caplog)
    assert "does not answer (OperationalError: database is locked); work goes on and waits for it" in silent
    assert "answers again, after" in answers


def test_a_transaction_is_run_again_as_a_whole(locked: Locked) -> None:
    storage, holder = locked
    runs = []

    def work(connection: Connection) -> int:
        runs.append(1)
        if len(runs) == 3:
            holder.rollback()
        connection.execute(text("UPDATE studies SET study_name = 'renamed'"))
        return len(runs)

    assert storage.transaction(work) == len(runs) == 3
    assert storage.get_study_name_from_id(1) == "renamed"


def test_patience_ends(locked: Locked) -> None:
    storage, _ = locked
    storage.patience_seconds = 0.3
    with pytest.raises(StorageError, match=r"has not answered since \d{4}-.* \(OperationalError: database is locked\)"):
        storage.set_study_user_attr(1, "a", 1)
    assert storage.get_study_user_attrs(1) == {}


def test_who_gives_up_waits_no_longer(locked: Locked) -> None:
    storage, _ = locked
    threading.Timer(0.5, storage.give_up.set).start()
    with pytest.raises(StorageError, match="database is locked"):
        storage.set_study_user_attr(1, "a", 1)
    with pytest.raises(StorageError, match="database is locked"):
        storage.set_study_user_attr(1, "a", 1)
    assert storage.get_study_user_attrs(1) == {}  # what does not fail goes on


def test_what_no_time_would_mend_is_raised_at_once(tmp_path: Path, storages: Callable[..., PatientStorage]) -> None:
    storage = storages(f"sqlite:///{tmp_path}/s.db")
    directions = [StudyDirection.MINIMIZE]
    study_id = storage.create_new_study(directions, "a")
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_state_values(trial_id, optuna.trial.TrialState.COMPLETE, [1.0])
    runs = []

    def transaction(statement: str) -> None:
        def work(connection: Connection) -> None:
            runs.append(1)
            connection.execute(text(statement))

        storage.transaction(work)

    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        storage.create_new_study(directions, "a")
    with pytest.raises(KeyError):
        storage.get_study_id_from_name("b")
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_user_attr(trial_id, "a", 1)
    with pytest.raises(IntegrityError):
        transaction("INSERT INTO studies (study_name) VALUES ('a')")
    with pytest.raises(OperationalError, match="no such table"):
        transaction("SELECT * FROM nowhere")
    assert len(runs) == 2


class Psycopg(Exception):
    sqlstate: str | None = None


OperationalErrorOfPsycopg = type("OperationalError", (Psycopg,), {})


def of_sqlite(code: int) -> Exception:
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = code
    return error


def of_postgresql(state: str | None, kind: type[Psycopg] = Psycopg) -> Exception:
    error = kind("words")
    error.sqlstate = state
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (of_sqlite(sqlite3.SQLITE_BUSY), True),
        (of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), True),
        (of_sqlite(sqlite3.SQLITE_IOERR_WRITE), True),
        (of_sqlite(sqlite3.SQLITE_FULL), True),
        (of_sqlite(sqlite3.SQLITE_READONLY), True),
        (of_sqlite(sqlite3.SQLITE_CORRUPT), False),
        (of_sqlite(sqlite3.SQLITE_CONSTRAINT_UNIQUE), False),
        (of_postgresql("57P03"), True),
        (of_postgresql("08006"), True),
        (of_postgresql("53100"), True),
        (of_postgresql("40001"), True),
        (of_postgresql("40P01"), True),
        (of_postgresql(None, OperationalErrorOfPsycopg), True),
        (of_postgresql(None), False),
        (of_postgresql("42P01"), False),
        (of_postgresql("23505"), False),
        (Exception(2013, "Lost connection"), True),
        (Exception(1213, "Deadlock"), True),
        (Exception(1040, "Too many connections"), True),
        (Exception(1406, "Data too long"), False),
        (Exception(1062, "Duplicate entry"), False),
        (Exception("2013"), False),
        (Exception(), False),
    ],
    ids=repr,
)
def test_outages_are_told_from_mistakes_by_their_codes(error: Exception, expected: bool) -> None:
    wrapped = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    wrapped.__cause__ = DBAPIError("SELECT 1", None, error)
    assert is_outage(wrapped) is is_outage(wrapped.__cause__) is expected
    assert not is_outage(error)
    assert not is_outage(ProgrammingError("SELECT 1", None, Exception("syntax")))
    assert is_outage(DBAPIError("SELECT 1", None, error, connection_invalidated=True))


def test_whatever_optuna_asks_of_a_store_is_asked_again() -> None:
    asked = set(re.findall(r"self\._backend\.(\w+)", inspect.getsource(_CachedStorage)))
    public = {name for name in vars(optuna.storages.BaseStorage) if not name.startswith("_")}
    needs_no_store = {"get_heartbeat_interval", "get_heartbeat_stale_trial_callback", "check_trial_is_updatable"}
    for name in (asked | public) - needs_no_store - {"remove_session"}:
        method = getattr(PatientStorage, name)
        assert method.__module__ == "smart_tuner.store.patience" or hasattr(method, "__wrapped__"), name


class Away(OperationalError):
    def __init__(self, code: int) -> None:
        super().__init__(None, None, of_sqlite(code))


def test_trials_are_not_stale_because_their_signs_of_life_could_not_arrive(
    tmp_path: Path, storages: Callable[..., PatientStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storages(f"sqlite:///{tmp_path}/s.db")
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "a")
    trial_id = storage.create_new_trial(study_id)
    storage.record_heartbeat(trial_id)
    with storage.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2000-01-01 00:00:00'"))
    assert storage._get_stale_trial_ids(study_id) == [trial_id]
    began = time.monotonic()

    def work() -> None:
        if time.monotonic() - began < 3.0:  # long enough to be noticed, whatever the jitter
            raise Away(sqlite3.SQLITE_IOERR)

    storage.patiently(work)
    assert storage._get_stale_trial_ids(study_id) == []
    later = time.monotonic() + smart_tuner.store.storage.GRACE_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert storage._get_stale_trial_ids(study_id) == [trial_id]


@pytest.mark.parametrize("kind", [PostgresServer, MariaServer])
def test_a_server_that_is_killed_and_comes_back_costs_nothing(
    kind: type[Server], caplog: pytest.LogCaptureFixture, storages: Callable[..., PatientStorage]
) -> None:
    with server_of_its_own(kind) as server:
        server.start()
        server.execute("CREATE DATABASE db")
        storage = storages(server.url("db"))
        study = optuna.create_study(storage=storage, study_name="killed")
        trials = [optuna.Trial(study, storage.create_new_trial(study._study_id)) for _ in range(3)]
        stop = threading.Event()

        def report(trial: optuna.Trial) -> int:
            step = 0
            while not stop.is_set():
                trial.report(step / 3, step)
                trial.set_user_attr("alignment", {"step": step})
                storage.record_heartbeat(trial._trial_id)
                storage.transaction(lambda c: c.execute(text("UPDATE studies SET study_name = study_name")))
                step += 1
            study.tell(trial, 1.0)
            return step

        with ThreadPoolExecutor(len(trials)) as pool:
            reporting = [pool.submit(report, trial) for trial in trials]
            time.sleep(0.5)
            server.kill()
            time.sleep(3)
            server.start()
            stop.set()
            steps = [future.result(60) for future in reporting]
        again = optuna.load_study(study_name="killed", storage=storages(server.url("db"))).trials
        assert [trial.intermediate_values for trial in again] == [{s: s / 3 for s in range(n)} for n in steps]
        assert [trial.user_attrs["alignment"] for trial in again] == [{"step": n - 1} for n in steps]
        assert [trial.state.name for trial in again] == ["COMPLETE"] * 3
        said = [line for line in warnings_of(caplog) if line.startswith("the store")]
        assert ["does not answer" in line for line in said] == [True, False], said
        assert min(steps) > 1


def test_a_server_that_is_away_when_a_study_begins_is_told_at_once() -> None:
    with server_of_its_own(PostgresServer) as server:
        server.start()
        server.kill()
        began = time.monotonic()
        with pytest.raises(StorageError, match="Check the URL, that the server answers"):
            open_storage(server.url())
        assert time.monotonic() - began < 30  # not the patience of ten minutes


def test_a_password_is_not_shown_while_waiting(
    caplog: pytest.LogCaptureFixture, storages: Callable[..., PatientStorage]
) -> None:
    with server_of_its_own(PostgresServer) as server:
        server.start()
        server.execute("CREATE DATABASE db")
        storage = storages(f"postgresql+psycopg://postgres:geh%40eim@127.0.0.1:{server.port}/db?password=geheim")
        server.kill()
        storage.patience_seconds = 2
        with pytest.raises(StorageError, match="has not answered since") as caught:
            storage.get_all_studies()
        (said,) = [line for line in warnings_of(caplog) if line.startswith("the store")]
        assert "does not answer" in said
        assert not re.search("geh|eim", said + str(caught.value))


# Versions of Optuna's tables


def schema_of(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {str(row) for row in connection.execute("SELECT type, name, sql FROM sqlite_master")}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A store with a study, brought back to the tables of an older Optuna."""
    from alembic import command
    from alembic.config import Config

    file = tmp_path / "s.db"
    optuna.create_study(storage=open_storage(f"sqlite:///{file}"), study_name="old")
    config = Config()
    config.set_main_option("script_location", str(Path(optuna.__file__).parent / "storages/_rdb/alembic"))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{file}")
    ScriptDirectory.from_config(config)
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:  # the last step made this index, by another name than a new store's
        connection.execute(text("CREATE INDEX trials_study_id_key ON trials (study_id)"))
    engine.dispose()
    command.downgrade(config, "v3.0.0.c")
    return file


def test_a_store_of_an_older_optuna_is_not_touched_until_it_is_asked_for(older: Path) -> None:
    before = schema_of(older)
    with pytest.raises(
        StorageError, match=r"older Optuna \(tables of version v3\.0\.0\.c; .*run `smart-tuner upgrade`"
    ):
        open_storage(f"sqlite:///{older}")
    assert schema_of(older) == before
    upgrade = upgrade_storage(f"sqlite:///{older}")
    assert str(upgrade) == f"The tables had version v3.0.0.c, and have {upgrade.now} now."
    storage = open_storage(f"sqlite:///{older}")
    assert storage.get_current_version() == storage.get_head_version() == upgrade.now
    study = optuna.load_study(study_name="old", storage=storage)
    study.add_trial(optuna.trial.create_trial(value=float("inf")))
    assert study.trials[0].value == float("inf")  # which the older tables could not hold
    again = upgrade_storage(f"sqlite:///{older}")
    assert str(again) == f"The tables have version {upgrade.now} already: nothing to do."


def test_a_store_of_a_newer_optuna_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    open_storage(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
        connection.execute("DROP TABLE trial_heartbeats")
    before = schema_of(file)
    for step in (open_storage, upgrade_storage):
        with pytest.raises(
            StorageError, match=r"newer Optuna \(tables of version v99\.0\.0\.a; .*pip install --upgrade"
        ):
            step(f"sqlite:///{file}")
    assert schema_of(file) == before


def test_nothing_is_made_where_there_is_nothing_to_upgrade(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no study was ever run with it"):
        upgrade_storage(f"sqlite:///{tmp_path}/s.db")
    assert not list(tmp_path.iterdir())


def test_who_only_looks_makes_no_tables(storage_url: str) -> None:
    if storage_url.startswith("sqlite"):
        Path(
            sqlalchemy.make_url(storage_url).database or ""
        ).touch()  # as it is for a moment while another process begins
    with pytest.raises(StorageError, match="no study was ever run with it"):
        open_storage(storage_url, create=False)
    engine = create_engine(storage_url)
    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()
