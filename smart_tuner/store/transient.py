"""Which errors of a store are transient: a server that is away, a file that another holds, steps that collided.

They are recognised by the drivers' codes (sqlite3, psycopg, psycopg2, pymysql, mysqlclient), never by their messages.
Any other error (a value that does not fit, a record that does not exist) would come again.
"""

import sqlite3

import sqlalchemy.exc
from optuna.exceptions import StorageInternalError

_SQLITE = frozenset(
    {
        sqlite3.SQLITE_BUSY,  # database is locked
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,  # many began to lock the log at once
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,  # a disk that the system made read-only; at opening it is reported at once
        sqlite3.SQLITE_CANTOPEN,  # a network drive that is away, no file handle left
    }
)
# https://www.postgresql.org/docs/current/errcodes-appendix.html: connection, resources, system errors
_POSTGRESQL_CLASSES = ("08", "53", "58")
_POSTGRESQL = frozenset(
    {
        "57P01",  # shut down by its administrator
        "57P02",  # crashed
        "57P03",  # starting up, shutting down, recovering
        "57P05",  # idle session ended
        "25P03",  # idle transaction ended
        "40001",  # serialization failure
        "40P01",  # deadlock
        "55P03",  # lock not available
        "25006",  # read-only: for a while after a failover
    }
)
# https://mariadb.com/kb/en/mariadb-error-codes/, and those of the client from 2000 on
_MYSQL = frozenset(
    {
        *(1020, 1205, 1213),  # record changed, lock wait timeout, deadlock
        *(1021, 1114),  # disk full, table full
        *(1040, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 1226, 1927, 4031),  # too many or broken connections
        *(1290, 1792, 1836),  # read-only: for a while after a failover
        *(2002, 2003, 2005, 2006, 2012, 2013, 2055),  # not reached, lost
    }
)


def is_transient(error: BaseException) -> bool:
    """Whether the same step may succeed later. Optuna's wrapper around an error of SQLAlchemy is removed first."""
    found = unwrapped(error)
    if isinstance(found, sqlalchemy.exc.TimeoutError):
        return True  # all connections of the pool are in use, or hang
    if isinstance(found, sqlalchemy.exc.PendingRollbackError):
        return True  # the connection was lost within the step, which Optuna then rolls back
    if not isinstance(found, sqlalchemy.exc.DBAPIError):
        return False
    return found.connection_invalidated or _is_transient_code(found.orig)


def unwrapped(error: BaseException) -> BaseException:
    return error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error


def _is_transient_code(error: BaseException | None) -> bool:
    sqlite_code = getattr(error, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return sqlite_code & 0xFF in _SQLITE  # the upper bits say more of the same
    if hasattr(error, "sqlstate") or hasattr(error, "pgcode"):
        state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if state is None:  # the client's own error: connection refused, lost, timed out
            return type(error).__name__ in ("OperationalError", "ConnectionTimeout", "ConnectionFailure")
        return state[:2] in _POSTGRESQL_CLASSES or state in _POSTGRESQL
    code = error.args[0] if error is not None and error.args else None
    return isinstance(code, int) and code in _MYSQL
