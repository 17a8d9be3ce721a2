"""How this installation runs studies: where results go, how many trials at a time, on which device.

A setting comes from the first of these that has it: an explicit argument, the environment (`SMART_TUNER_JOBS`), the
file (`config/local.yaml` in the working directory, else the shipped `config/default.yaml`), the default. Reading has
no other effect: no folder is made, no store opened.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from smart_tuner.errors import SettingsError
from smart_tuner.executors.registry import EXECUTORS
from smart_tuner.masking import SecretUrl, masked
from smart_tuner.mlflow_mirror.settings import MirrorSettings
from smart_tuner.strict_yaml import read_mapping
from smart_tuner.validation_errors import problems
from smart_tuner.workspace import Workspace, shipped
from trainer.strict import nearest

__all__ = ["SecretUrl", "Settings", "load_settings", "masked", "settings_file", "variable"]

_PREFIX = "SMART_TUNER_"
_LOCAL = Path("config/local.yaml")


def _folder(path: Path) -> Path:
    if set("?#") & set(str(path)):
        raise ValueError("must not hold ? or #, which mean something else in the URLs of the databases inside it")
    return path.expanduser()


def _url(value: Any) -> SecretUrl:
    text = value.get_secret_value() if isinstance(value, SecretUrl) else value
    if not isinstance(text, str) or not re.match(r"[A-Za-z][\w+.-]*://", text):
        raise ValueError("must be a URL, such as sqlite:///studies.db")
    return SecretUrl(text)


def _jobs(value: Any) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    count = int(value) if isinstance(value, str) and value.isdecimal() else value
    if type(count) is not int or count < 1:
        raise ValueError("must be `auto` or a whole number of at least 1")
    return count


def _devices(value: Any) -> tuple[int, ...] | Literal["auto"]:
    if value == "auto":
        return "auto"
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    numbers: list[Any] = [int(part) if isinstance(part, str) and part.strip().isdecimal() else part for part in parts]
    if not numbers or any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("must be `auto` or the numbers of GPUs, such as 0,1")
    return tuple(numbers)


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError("must be auto, cpu, cuda, or one device such as cuda:1")
    return name


def _executor(name: str) -> str:
    if name not in EXECUTORS:
        raise ValueError(f"must be {' or '.join(map(repr, EXECUTORS))}")
    return name


def _secret(value: Any) -> SecretStr | None:
    """Accepts any value, so that no error shows it; the code that uses it checks its form. None: blank, so unset."""
    if value is None or isinstance(value, SecretStr):
        return value
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value).strip()
    return SecretStr(text) if text else None


Secret = Annotated[SecretStr | None, PlainValidator(_secret)]
Url = Annotated[SecretUrl, PlainValidator(_url)]


class Settings(BaseSettings):
    """`load_settings` makes one. Passwords in URLs are masked in `repr` and `str`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    workspace: Annotated[Path, AfterValidator(_folder)] = Path("workspace")
    artifacts: Annotated[Path, AfterValidator(_folder)] | None = None  # for dashboards; none: inside the workspace
    storage: Url | None = None  # of studies; none: SQLite inside the workspace
    tracking_uri: Url | None = None  # of MLflow; none: SQLite inside the workspace
    mlflow: bool = True
    mlflow_checkpoints: Annotated[int, Field(ge=0)] = 1  # how many of the best trials have theirs in MLflow, too
    mlflow_register: bool = True  # register the best trial's voice in MLflow's Model Registry
    jobs: Annotated[int | Literal["auto"], PlainValidator(_jobs)] = "auto"  # trials at a time
    executor: Annotated[str, AfterValidator(_executor)] = "local"  # a name in `smart_tuner.executors.registry`
    ray_address: str | None = None  # of a Ray cluster; none: RAY_ADDRESS, or a new cluster of this machine alone
    stop_grace_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 20.0  # from the request to stop to SIGKILL
    device: Annotated[str, AfterValidator(_device)] = "auto"
    devices: Annotated[tuple[int, ...] | Literal["auto"], PlainValidator(_devices)] = "auto"  # which GPUs
    trials_per_device: Annotated[int, Field(ge=1)] | None = None  # at once on one GPU; none: as many as `jobs` needs
    # Notifications: docs/notifications.md. The first two have the names that are usual for bots, without our prefix.
    telegram_token: Annotated[Secret, Field(validation_alias="telegram_token")] = None
    telegram_chat_id: Annotated[Secret, Field(validation_alias="telegram_chat_id")] = None
    telegram_api: Url = SecretUrl("https://api.telegram.org")
    notify_urls: Secret = None  # of apprise, separated by commas or spaces
    notify_level: Literal["all", "important", "problems"] = "all"
    notify_language: Literal["en", "ru"] = "en"

    @property
    def storage_url(self) -> str:
        """With its password: for opening the store only. Show it only `masked`."""
        return self.storage.get_secret_value() if self.storage else f"sqlite:///{self.workspace}/studies.db"

    @property
    def artifact_folder(self) -> Path:
        return self.artifacts or Workspace(self.workspace).artifacts

    @property
    def mlflow_url(self) -> str:
        """With its password: for MLflow only. Show it only `masked`."""
        return self.tracking_uri.get_secret_value() if self.tracking_uri else f"sqlite:///{self.workspace}/mlflow.db"

    @property
    def mirror(self) -> MirrorSettings:
        return MirrorSettings(self.mlflow_url, self.workspace, self.mlflow_checkpoints, self.mlflow_register)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = InitSettingsSource(settings_cls, init_kwargs=read_mapping(settings_file(), SettingsError))
        return init_settings, env_settings, file


def settings_file() -> Path:
    """The file from which settings are read in this working directory."""
    return _LOCAL if _LOCAL.is_file() else shipped("config") / "default.yaml"


def load_settings(**explicit: Any) -> Settings:
    """Read the settings. `explicit` ones (command-line options; None: not given) come first.

    Raises SettingsError with the file, variable or option, the value, and the nearest known name.
    """
    given = {key: value for key, value in explicit.items() if value is not None}
    _refuse_unknown_variables()
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = [
            f"{_origin(key, given)}: {sentence.replace(f'`{key}`', f'`{variable(key)}`', 1)}"
            if _is_from_environment(key, given)
            else f"{_origin(key, given)}: {sentence}"
            for key, sentence in problems(error, Settings)
        ]
        raise SettingsError("\n".join(lines)) from error


def _refuse_unknown_variables() -> None:
    known = {variable(name) for name in Settings.model_fields}
    for name in os.environ:
        if name.upper().startswith(_PREFIX) and name.upper() not in known:
            bare = name.upper().removeprefix(_PREFIX)
            hint = f"it is called `{bare}`" if bare in known else nearest(name, known)
            raise SettingsError(f"environment: `{name}` is no known variable; {hint}.")


def variable(key: str) -> str:
    """The environment variable of a setting."""
    alias = field.validation_alias if (field := Settings.model_fields.get(key)) else None
    return alias.upper() if isinstance(alias, str) else f"{_PREFIX}{key}".upper()


def _is_from_environment(key: str, given: dict[str, Any]) -> bool:
    return key not in given and variable(key) in {name.upper() for name, value in os.environ.items() if value}


def _origin(key: str, given: dict[str, Any]) -> str:
    if key in given:
        return "option"
    return "environment" if _is_from_environment(key, given) else str(settings_file())
