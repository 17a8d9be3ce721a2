"""Which variables of our environment the processes that we start get: of those with secrets, only what they need.

A variable holds a secret where its name says so (`PGPASSWORD`, `AWS_SECRET_ACCESS_KEY`), or where its value is a URL
with a user in it. The tuner's own settings are never passed on; who needs one is given it. All else is passed on, also
a secret under a name that does not say so. `smart-tuner voice` starts commands of ours, which get everything.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto

_OWN = re.compile(r"(?i)SMART_TUNER_|TELEGRAM_")
_SECRET_NAME = re.compile(
    r"(?i)PASSW(OR)?D|PASSPHRASE|SECRET|CREDENTIAL|CONNECTION_STRING"
    r"|(?:^|_)(?:PASS|TOKEN|API_?KEY|KEY)(?:_|$)|_PWD$|_USERNAME$"  # not PWD and USERNAME, which every shell may set
)
_URL_WITH_A_USER = re.compile(r"://\S*@")

# Names of variables that one service reads, also those that hold no secret.
_DATABASE = r"PG|MYSQL_"
_MLFLOW = r"MLFLOW_|DATABRICKS_"
_OBJECT_STORE = r"AWS_|AZURE_|GOOGLE_"  # where MLflow keeps files
_WEB_PROXY = r"(?:HTTPS?|ALL)_PROXY$"
_RAY = r"RAY_"
_NOTHING = r"(?!)"


class Child(Enum):
    TRAINER = auto()  # also what prepares a corpus, speaks, measures, looks for features
    MLFLOW = auto()  # the mirror, which reads the store of studies, too, and the server of `ui`
    DASHBOARD = auto()
    TENSORBOARD = auto()
    RAY = auto()  # a cluster of this machine
    BROWSER = auto()
    NVIDIA_SMI = auto()


_MAY_HAVE = {
    Child.TRAINER: _NOTHING,
    Child.MLFLOW: "|".join((_DATABASE, _MLFLOW, _OBJECT_STORE, _WEB_PROXY)),
    Child.DASHBOARD: _DATABASE,
    Child.TENSORBOARD: _NOTHING,
    Child.RAY: _RAY,
    Child.BROWSER: _WEB_PROXY,
    Child.NVIDIA_SMI: _NOTHING,
}


def environment_for(child: Child, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """environment: of which a part is returned; none: ours."""
    may_have = re.compile(_MAY_HAVE[child], re.IGNORECASE)
    given = os.environ if environment is None else environment
    return {
        name: value
        for name, value in given.items()
        if not _OWN.match(name) and (may_have.match(name) or not _is_secret(name, value))
    }


def _is_secret(name: str, value: str) -> bool:
    return bool(_SECRET_NAME.search(name) or _URL_WITH_A_USER.search(value))


@contextmanager
def hidden_secrets(child: Child) -> Iterator[None]:
    """Our own environment as of `environment_for`, for a library that starts processes with a copy of it."""
    before = dict(os.environ)
    hidden = before.keys() - environment_for(child, before).keys()
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update({name: before[name] for name in hidden})
