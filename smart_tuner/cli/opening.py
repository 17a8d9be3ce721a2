"""Opens a study, the settings and the terminal for commands. Imports heavy packages only when called."""

import difflib
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import optuna
    from rich.console import Console

    from smart_tuner.config import Settings
    from smart_tuner.errors import StudyError
    from smart_tuner.main import SmartTunerMain
    from smart_tuner.spec import StudySpec
    from smart_tuner.store.retrying import RetryingStorage

DEFAULT_STUDY = "quickstart"


@contextmanager
def starting() -> Iterator[None]:
    """In a terminal, show that the command has begun while the block runs: its imports take a second, or several."""
    from smart_tuner.terminal.screen import can_redraw, open_console

    console = open_console(stderr=True)
    with console.status("starting") if can_redraw(console) else nullcontext():
        yield


def open_tuner(
    study: str | None,
    name: str | None,
    overrides: list[str] | None = None,
    corpus: str | None = None,
    warm_start: list[str] | None = None,
    **settings: Any,
) -> "SmartTunerMain":
    """A study to run; a line says so where it is a new one. A name alone means the store's study of this name.

    A study of the store together with another name is that study's definition under the other name.
    settings: None for an option that was not given; then files and environment decide. Raises UserError, also for a
    name alone that the store has not, but a similar one.
    """
    from smart_tuner.main import SmartTunerMain
    from smart_tuner.spec import load_study, parse_overrides
    from smart_tuner.study import spec_of

    if name is not None:
        _refuse_name(name)
    loaded = settings_from(**settings)
    options: dict[str, Any] = {"corpus": corpus} if corpus is not None else {}
    if warm_start:
        options["sampler.warm_start"] = warm_start
    changes = parse_overrides(overrides or [])
    storage, known = _store(loaded)
    if (stored := _stored(study, name, storage, known)) is not None:
        renamed = {"name": name} if name not in (None, stored.study_name) else {}
        spec = spec_of(stored, changes, options | renamed)
    else:
        is_named_alone = study is None and "corpus" not in changes | options
        if name is not None and is_named_alone and (near := difflib.get_close_matches(name, known, n=1)):
            raise _mistyped(name, near[0])
        options |= {"name": name} if name is not None else {}
        spec = load_study(study or DEFAULT_STUDY, changes, options)
    if spec.name not in known:
        typer.echo(_new_study(spec, stored.study_name if stored else study or DEFAULT_STUDY, known), err=True)
    return SmartTunerMain(spec, settings=loaded)


def _refuse_name(name: str) -> None:
    """Raises UserError for a name that no study can have, with the option that gave it."""
    from smart_tuner.errors import UserError
    from smart_tuner.names import folder_name

    try:
        folder_name(name)
    except ValueError as error:
        raise UserError(f"--name {shlex.quote(name)}: the name of a study {error}.") from error


def _new_study(spec: "StudySpec", definition: str, known: Sequence[str]) -> str:
    """A line that shows what begins: a name or a corpus may have been forgotten or mistyped."""
    from smart_tuner.study import offered

    speech = " (synthetic speech; --corpus names recordings)" if spec.corpus.startswith("demo:") else ""
    defined = "" if definition == spec.name else f", defined as {definition}"
    others = f"; the store has {offered(spec.name, known)}" if known else ""
    return f"study {spec.name!r} is new: on {spec.corpus}{speech}{defined}{others}"


def _mistyped(name: str | None, near: str) -> "StudyError":
    from smart_tuner.errors import StudyError

    return StudyError(
        f"There is no study {name!r}, but there is {near!r}: did you mean it? To continue it: `--name {near}`. "
        f"To begin {name!r}, say on what: `--name {name} --corpus PATH`, or `--name {name} --study {near}` for the "
        "same definition."
    )


def _store(settings: "Settings") -> "tuple[RetryingStorage | None, list[str]]":
    """The store, and the names of its studies; None where there is no store yet."""
    import optuna

    from smart_tuner.errors import NoStudies
    from smart_tuner.store.storage import open_to_read

    try:
        storage = open_to_read(settings.storage_url)
    except NoStudies:
        return None, []
    return storage, optuna.get_all_study_names(storage)


def _stored(
    study: str | None, name: str | None, storage: "RetryingStorage | None", known: Sequence[str]
) -> "optuna.Study | None":
    """The store's study whose definition is meant; None if a definition from a file or a new study is meant."""
    import optuna

    from smart_tuner.errors import StudyError
    from smart_tuner.spec import find_study
    from smart_tuner.study import offered

    no_file: StudyError | None = None
    if study is not None:
        try:
            find_study(study)
        except StudyError as error:
            no_file = error
    wanted = name if study is None else study if no_file and not is_path(study) else None
    if storage is None or wanted is None:
        return None
    if wanted in known:
        return optuna.load_study(study_name=wanted, storage=storage)
    if no_file and known:
        raise StudyError(f"{no_file} The store holds {offered(wanted, known)}.") from no_file
    return None


def is_path(study: str) -> bool:
    return Path(study).suffix in (".yaml", ".yml")


def existing_tuner(
    study: str | None, name: str | None, *, changes_it: bool = False, **settings: Any
) -> "SmartTunerMain":
    """A study of the store: by its name there, by its file, or, where none is named, the one that was used last.

    changes_it: of several, one must be named. Raises UserError if the store does not have it.
    """
    from smart_tuner.main import SmartTunerMain
    from smart_tuner.spec import load_study
    from smart_tuner.store.storage import open_to_read
    from smart_tuner.study import existing_study, spec_of

    loaded = settings_from(**settings)
    if study is not None and is_path(study):
        return SmartTunerMain(load_study(study, {}, {"name": name} if name is not None else {}), settings=loaded)
    url = loaded.storage_url
    storage = open_to_read(url)
    named = name or study
    found = existing_study(storage, url, named) if named else _unnamed(storage, url, changes_it=changes_it)
    return SmartTunerMain(spec_of(found), settings=loaded)


def _unnamed(storage: "RetryingStorage", url: str, *, changes_it: bool) -> "optuna.Study":
    """The study that a command without a name means. A line says which, where there are several."""
    from smart_tuner.errors import StudyError
    from smart_tuner.overview import studies_by_use
    from smart_tuner.study import offered

    found = studies_by_use(storage, url)
    name = found[0].study_name
    if len(found) > 1 and changes_it:
        listed = offered(name, [study.study_name for study in found])
        raise StudyError(f"Which study? The store has {listed}. Name one with --study.")
    if len(found) > 1:
        typer.echo(f"study {name!r} (used last, of {len(found)}; --study names another)", err=True)
    return found[0]


def all_its_trials(tuner: "SmartTunerMain") -> str:
    """What to say where a command would run the study, stop it or let it go on, but it has all its trials."""
    from smart_tuner.formatting import counted
    from smart_tuner.store.control import read_control

    name = tuner.spec.name
    more = f"smart-tuner optimize --name {name} --trials N{store_options(tuner.settings)}"
    trials = counted(read_control(tuner.study()).target, "trial")
    return f"study {name!r} is finished: it has all its {trials}; for more: {more}"


def store_options(settings: "Settings") -> str:
    """The options with which a shown command finds the same store, each with a blank before it."""
    from smart_tuner.command_hints import command_hint
    from smart_tuner.config import load_settings

    return command_hint(load_settings(), workspace=settings.workspace, storage=settings.storage).options


def settings_from(**given: Any) -> "Settings":
    import optuna

    from smart_tuner.config import load_settings
    from smart_tuner.workspace import Workspace

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # our own lines report what happens
    settings = load_settings(**given)
    Workspace(settings.workspace).refuse_file()
    return settings


def make_console(*, stderr: bool = False) -> "Console":
    from smart_tuner.terminal.screen import open_console

    return open_console(stderr=stderr)
