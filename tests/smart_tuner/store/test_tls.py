"""Servers that require TLS, with certificates made here."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from servers import MariaServer, PostgresServer, Server
from sqlalchemy import text

from smart_tuner.errors import StorageError
from smart_tuner.store.retrying import RetryingStorage


@pytest.fixture
def certificates() -> Iterator[Path]:
    """A folder with a server's certificate and key, its authority's certificate, and that of another authority."""
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


def test_postgresql_over_tls_with_a_password_from_the_environment(
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
    storages: Callable[..., RetryingStorage],
    server_of_its_own: Callable[..., AbstractContextManager[Server]],
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


def test_mariadb_over_tls(
    certificates: Path,
    storages: Callable[..., RetryingStorage],
    server_of_its_own: Callable[..., AbstractContextManager[Server]],
) -> None:
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
