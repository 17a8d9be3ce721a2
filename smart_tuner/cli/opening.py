"""Opens a study, the settings and the terminal for commands. Imports heavy packages only when called."""

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import optuna
    from rich.console import Console

    from smart_tuner.config import Settings
    from smart_tuner.main import SmartTunerMain
    from smart_tuner.spec import StudySpec

DEFAULT_STUDY = "quickstart"


def open_tuner(
    study: str | None, name: str | None, overrides: list[str] | None = None, corpus: str | None = None, **settings: Any
) -> "SmartTunerMain":
    """A study to run. A name alone means the store's study of this name, if there is one.

    settings: None for an option that was not given; then files and environment decide. Raises UserError.
    """
    from smart_tuner.main import SmartTunerMain
    from smart_tuner.spec import load_study, parse_overrides
    from smart_tuner.study import spec_of

    loaded = settings_from(**settings)
    options = {"corpus": corpus} if corpus is not None else {}
    changes = parse_overrides(overrides or [])
    if (stored := _stored(study, name, loaded)) is not None:
        return SmartTunerMain(spec_of(stored, changes, options), settings=loaded)
    options |= {"name": name} if name is not None else {}
    spec = load_study(study or DEFAULT_STUDY, changes, options)
    if study is None and name is not None and "corpus" not in changes | options:
        typer.echo(_new_study(spec, loaded), err=True)
    return SmartTunerMain(spec, settings=loaded)


def _new_study(spec: "StudySpec", settings: "Settings") -> str:
    """A line that shows what a name alone starts, since it may be a mistyped name of a study in the store."""
    near = difflib.get_close_matches(spec.name, _stored_names(settings), n=1)
    hint = f"; the store's nearest is {near[0]!r}" if near else ""
    return f"{spec.name!r} is a new study: {DEFAULT_STUDY} on {spec.corpus}{hint}"


def _stored_names(settings: "Settings") -> list[str]:
    import optuna

    from smart_tuner.errors import NoStudies
    from smart_tuner.store.storage import open_to_read

    try:
        return optuna.get_all_study_names(open_to_read(settings.storage_url))
    except NoStudies:
        return []


def _stored(study: str | None, name: str | None, settings: "Settings") -> "optuna.Study | None":
    """The store's study that a name alone means; None if a definition from a file or a new study is meant."""
    import optuna

    from smart_tuner.errors import NoStudies, StudyError
    from smart_tuner.spec import find_study
    from smart_tuner.store.storage import open_to_read
    from smart_tuner.study import offered

    no_file: StudyError | None = None
    if study is not None:
        try:
            find_study(study)
        except StudyError as error:
            no_file = error
    wanted = name if study is None else study if no_file and name is None and not is_path(study) else None
    if wanted is None:
        return None
    try:
        storage = open_to_read(settings.storage_url)
    except NoStudies:
        return None
    names = optuna.get_all_study_names(storage)
    if wanted in names:
        return optuna.load_study(study_name=wanted, storage=storage)
    if no_file and names:
        raise StudyError(f"{no_file} The store holds {offered(wanted, names)}.") from no_file
    return None


def is_path(study: str) -> bool:
    return Path(study).suffix in (".yaml", ".yml")


def existing_tuner(study: str, name: str | None, **settings: Any) -> "SmartTunerMain":
    """A study of the store, by its name there or by its file. Raises UserError if the store does not have it."""
    from smart_tuner.main import SmartTunerMain
    from smart_tuner.store.storage import open_to_read
    from smart_tuner.study import existing_study, spec_of

    if is_path(study):
        return open_tuner(study, name, **settings)
    loaded = settings_from(**settings)
    url = loaded.storage_url
    return SmartTunerMain(spec_of(existing_study(open_to_read(url), url, name or study)), settings=loaded)


def all_its_trials(tuner: "SmartTunerMain") -> str:
    """What to say where a command would let the study go on or stop it, but it has all its trials."""
    from smart_tuner.command_hints import command_hint
    from smart_tuner.config import load_settings
    from smart_tuner.formatting import counted
    from smart_tuner.store.control import read_control

    name, settings = tuner.spec.name, tuner.settings
    hint = command_hint(load_settings(), workspace=settings.workspace, storage=settings.storage)
    more = f"smart-tuner optimize --name {name} --trials N{hint.options}"
    trials = counted(read_control(tuner.study()).target, "trial")
    return f"study {name!r} has all its {trials}; for more: {more}"


def settings_from(**given: Any) -> "Settings":
    import optuna

    from smart_tuner.config import load_settings
    from smart_tuner.workspace import Workspace

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # our own lines report what happens
    settings = load_settings(**given)
    Workspace(settings.workspace).refuse_file()
    return settings


def make_console() -> "Console":
    from rich.console import Console

    return Console()
