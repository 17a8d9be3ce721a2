"""What commands open: a study, the settings, the terminal. Heavy imports wait until one is called."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from smart_tuner.config import Settings
    from smart_tuner.main import SmartTunerMain


def open_tuner(
    study: str, name: str | None, overrides: list[str] | None = None, corpus: str | None = None, **settings: Any
) -> "SmartTunerMain":
    """Options that were not given are None, and leave the decision to file and environment."""
    from smart_tuner.main import SmartTunerMain
    from smart_tuner.spec import parse_overrides

    changes = parse_overrides(overrides or [])
    changes |= {key: value for key, value in (("name", name), ("corpus", corpus)) if value is not None}
    return SmartTunerMain(study, settings=settings_from(**settings), overrides=changes)


def existing_tuner(study: str, name: str | None, **settings: Any) -> "SmartTunerMain":
    """As `open_tuner`, but a study that was filed is known by its name in the store, wherever its file may be."""
    from smart_tuner.errors import UserError
    from smart_tuner.main import SmartTunerMain
    from smart_tuner.store.storage import open_storage
    from smart_tuner.study import existing_study, spec_of

    loaded = settings_from(**settings)
    if name is None and Path(study).suffix not in (".yaml", ".yml"):
        filed = None
        with suppress(UserError):  # that it is not there is said better below
            filed = existing_study(open_storage(loaded.storage_url, create=False), loaded.storage_url, study)
        if filed is not None:
            return SmartTunerMain(spec_of(filed), settings=loaded)
    return open_tuner(study, name, **settings)


def settings_from(**given: Any) -> "Settings":
    import optuna

    from smart_tuner.config import load_settings

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # our own lines say what happens
    return load_settings(**given)


def make_console() -> "Console":
    from rich.console import Console

    return Console()
