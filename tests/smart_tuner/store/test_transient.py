"""Which errors of the drivers are transient."""

import sqlite3

import optuna
import pytest
from sqlalchemy.exc import DBAPIError, PendingRollbackError, ProgrammingError

from smart_tuner.store.transient import is_transient


class Psycopg(Exception):
    sqlstate: str | None = None


OperationalErrorOfPsycopg = type("OperationalError", (Psycopg,), {})


def of_sqlite(code: int) -> Exception:
    error = sqlite3.OperationalError("message")
    error.sqlite_errorcode = code
    return error


def of_postgresql(state: str | None, kind: type[Psycopg] = Psycopg) -> Exception:
    error = kind("message")
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
        (of_postgresql("25P03"), True),
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
def test_transient_errors_are_recognised_by_their_codes(error: Exception, expected: bool) -> None:
    wrapped = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    wrapped.__cause__ = DBAPIError("SELECT 1", None, error)
    assert is_transient(wrapped) is is_transient(wrapped.__cause__) is expected
    assert not is_transient(error)
    assert not is_transient(ProgrammingError("SELECT 1", None, Exception("syntax")))
    assert is_transient(DBAPIError("SELECT 1", None, error, connection_invalidated=True))


def test_a_connection_that_was_lost_within_a_step_is_transient() -> None:
    """While PostgreSQL is killed, every hundredth long read ends so: its connection cannot be used until a rollback."""
    wrapped = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    wrapped.__cause__ = PendingRollbackError("Can't reconnect until invalid transaction is rolled back.")
    assert is_transient(wrapped)
