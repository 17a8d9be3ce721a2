"""What commands open: a study, the settings, the terminal. Heavy imports wait until one is called."""

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
    """A study of the store, by its name there, or by its file. Raises UserError where the store does not hold it."""
    from smart_tuner.main import SmartTunerMain
    from smart_tuner.store.storage import open_to_read
    from smart_tuner.study import existing_study, spec_of

    if Path(study).suffix in (".yaml", ".yml"):
        return open_tuner(study, name, **settings)
    loaded = settings_from(**settings)
    url = loaded.storage_url
    return SmartTunerMain(spec_of(existing_study(open_to_read(url), url, name or study)), settings=loaded)


def settings_from(**given: Any) -> "Settings":
    import optuna

    from smart_tuner.config import load_settings

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # our own lines say what happens
    return load_settings(**given)


def make_console() -> "Console":
    from rich.console import Console

    return Console()
