"""What the tuner talks to: the store of studies, MLflow, the ports of `smart-tuner ui` and `listen`, notifications.

Stores are opened to read; none is made. No message is sent.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy.exc
from sqlalchemy.engine import make_url

from smart_tuner.config import Settings
from smart_tuner.doctor.places import network_file_system
from smart_tuner.errors import NoStudies, SettingsError, StorageError, UserError
from smart_tuner.formatting import counted
from smart_tuner.masking import masked, masked_line
from smart_tuner.mlflow_mirror.connection import no_answer
from smart_tuner.notify.channels import HOW_TO, channels_of
from smart_tuner.store import sqlite
from smart_tuner.store.schema import schema_version
from smart_tuner.store.storage import CONNECT_SECONDS, may_write, open_to_read
from smart_tuner.ui import AUDITION_PORT, Page
from smart_tuner.ui.ports import holder, is_free
from trainer.findings import Finding, State

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOST = "127.0.0.1"  # at which `smart-tuner ui` and `listen` wait by default
_DATABASES = ("sqlite", "postgresql", "mysql", "mariadb", "mssql")
_SWITCH_OFF = "or switch it off with SMART_TUNER_MLFLOW=false: studies need no MLflow"


def check_store(settings: Settings) -> Finding:
    """Whether it opens, and has the tables of this Optuna."""
    import optuna

    url = settings.storage_url
    try:
        storage = open_to_read(url, retry_seconds=0)
    except NoStudies:
        text = f"{masked(url)}: no study yet; the first run makes its tables."
    except StorageError as error:
        mend = "give another one with --storage or SMART_TUNER_STORAGE; without them it is a file in the workspace"
        return Finding("store", State.ERROR, f"{error}", mend)
    else:
        try:
            count = len(optuna.get_all_study_names(storage))
            studies = "1 study" if count == 1 else f"{count} studies"
            text = f"{masked(url)}: opens, tables of version {storage.get_current_version()}, {studies}."
        finally:
            storage.remove_session()
            storage.engine.dispose()
        if not may_write(url):
            mend = "fix the permissions of the file and its folder; until then studies can only be looked at"
            return Finding("store", State.WARNING, f"{text} It cannot be written to.", mend)
    if url.startswith("sqlite") and (kind := network_file_system(sqlite.path_of(make_url(url)))):
        mend = "use a local disk, or PostgreSQL: --storage postgresql+psycopg://USER@HOST/DATABASE"
        return Finding("store", State.WARNING, f"{text} SQLite is not safe on a network file system ({kind}).", mend)
    return Finding("store", State.OK, text)


def check_mlflow(settings: Settings) -> Finding:
    """Whether the server answers, or the database or folder can be used."""
    if not settings.mlflow:
        return Finding("MLflow", State.NOTE, "is switched off by the setting `mlflow`.")
    url = settings.mlflow_url
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme in ("http", "https"):
        return _mlflow_server(url)
    if scheme in _DATABASES:
        return _mlflow_database(url)
    return Finding("MLflow", State.NOTE, f"{masked(url)}: is neither a server nor a database; not checked.")


def _mlflow_server(url: str) -> Finding:
    from mlflow.exceptions import MlflowException

    from smart_tuner.mlflow_mirror.run_lookup import connect

    try:
        _ask(connect(url))
    except MlflowException as error:
        away = no_answer(error)
        reason = f"does not answer ({away})" if away else f"answers with an error ({masked_line(error, url)})"
        mend = f"start it, or give another URL with --tracking-uri, {_SWITCH_OFF}"
        return Finding("MLflow", State.ERROR, f"{masked(url)}: {reason}.", mend)
    return Finding("MLflow", State.OK, f"{masked(url)}: answers.")


def _ask(client: "MlflowClient") -> None:
    client.search_experiments(max_results=1)


def _mlflow_database(url: str) -> Finding:
    parsed = make_url(url)
    mend = f"give another URL with --tracking-uri, {_SWITCH_OFF}"
    arguments = {}
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "")
        if not path.exists():
            return Finding("MLflow", State.OK, f"{masked(url)}: local, and made by the first run.")
        if kind := network_file_system(path):
            text = f"{masked(url)}: SQLite is not safe on a network file system ({kind})."
            return Finding("MLflow", State.WARNING, text, mend)
    elif parsed.get_backend_name() in ("postgresql", "mysql", "mariadb"):
        arguments = {"connect_args": {"connect_timeout": CONNECT_SECONDS}}
    try:
        version = schema_version(url, arguments)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, OSError, ValueError) as error:
        reason = masked_line(error, url).partition("(Background")[0].strip()
        return Finding("MLflow", State.ERROR, f"{masked(url)}: cannot be opened ({reason}).", mend)
    return Finding(
        "MLflow", State.OK, f"{masked(url)}: opens, {f'tables of version {version}' if version else 'empty'}."
    )


def check_ports(host: str = HOST) -> Finding:
    """Those that commands use by default."""
    labels = {**{page.port: page.label for page in Page}, AUDITION_PORT: "smart-tuner listen"}
    try:
        taken = [port for port in sorted(labels) if not is_free(host, port)]
    except UserError as error:
        mend = "`smart-tuner ui` and `smart-tuner listen` have options for other ports"
        return Finding("ports", State.WARNING, str(error), mend)
    if not taken:
        ports = ", ".join(map(str, sorted(labels)))
        return Finding("ports", State.OK, f"{ports} are free for `smart-tuner ui` and `smart-tuner listen`.")
    text = "; ".join(f"{port} ({labels[port]}) is taken{_by(port)}" for port in taken)
    mend = "`smart-tuner ui` and `smart-tuner listen` take the next free ones, or those that their options name"
    return Finding("ports", State.NOTE, f"{text}.", mend)


def _by(port: int) -> str:
    return f" by {who}" if (who := holder(port)) else ""


def check_notifications(settings: Settings) -> Finding:
    """What is configured. Neither a value of a setting nor the name of a channel that may hold one is shown."""
    try:
        channels = channels_of(settings)
    except SettingsError as error:
        return Finding("notifications", State.ERROR, str(error), HOW_TO)
    if not channels:
        return Finding("notifications", State.NOTE, "none is configured: no messages are sent.", HOW_TO)
    names = {
        "TELEGRAM_TOKEN": settings.telegram_token,
        "TELEGRAM_CHAT_ID": settings.telegram_chat_id,
        "SMART_TUNER_NOTIFY_URLS": settings.notify_urls,
    }
    given = ", ".join(name for name, value in names.items() if value is not None)
    text = f"{counted(len(channels), 'channel')}; set: {given}. No message was sent."
    return Finding("notifications", State.OK, text, "`smart-tuner notify test` sends one")
