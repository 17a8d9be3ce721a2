"""The MLflow runs of one study: found by key tags, created once, repaired if two workers created one at once.

A run is identified by a tag and never by its name, which anyone may change. MLflow is imported on first use, since the
import takes more than a second.
"""

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from smart_tuner.mlflow_mirror.relocation import ARTIFACTS, SQLITE, relocate_artifacts
from smart_tuner.mlflow_mirror.settings import STUDY_KEY, TRIAL_KEY
from trainer.evaluation.verdict import Heard

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Set when MLflow is first needed, unless the environment has a value.
_ENVIRONMENT: Mapping[str, str] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # works without a network
    # MLflow's own retries take four minutes without a message, and may create what the server has created already.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # Ending a run would print the server's URL, with its password, between our lines.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # the terminal shows our own lines
}
# The description of an experiment that we create.
_NOTE = f"""\
Trials of a study of Tacotron 2 voices: one run for each, below the run that stands for the whole study.

- **The best trial**: the tags `best.*` of the study's run have its number, value and parameters; its own run has the \
tag `best` = `true`, and its voice is in the Model Registry as `champion`.
- **Curves**: `train/...`, `validation/...`, `free_running/...` over the update; `frames` counts the speech trained on.
- **What is heard**: the tag `verdict` says in words whether the voice speaks ({"; ".join(Heard)}); the figures \
behind it are `figure.free_running_*`.
- **KILLED** is a trial that was pruned; its tag `reason` says why. One whose tag `feasible` is `false` cannot be the \
best, however low its loss.
"""
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def connect(tracking_uri: str) -> "MlflowClient":
    """A client of `tracking_uri`. A missing SQLite store is created, which takes seconds.

    MLflow's global tracking URI and its active run are not changed.
    Raises mlflow.exceptions.MlflowException if the URI is no store, and sqlalchemy's errors for a database.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    with without_info("mlflow.store.db.utils"):  # logs each table that it creates
        if tracking_uri.startswith(SQLITE) and not (path := Path(tracking_uri.removeprefix(SQLITE))).exists():
            _create_sqlite(path)
        return MlflowClient(tracking_uri)


def _create_sqlite(path: Path) -> None:
    """Create the store under a temporary name, and link it to its name when it is complete.

    MLflow creates its tables in some fifty migrations. If it is killed between two of them, it can neither use nor
    repair the file. If another process was faster, its store stays.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        beside = Path(folder) / path.name
        artifacts = (path.parent / ARTIFACTS).resolve().as_uri()
        SqlAlchemyStore(f"{SQLITE}{beside}", artifacts).engine.dispose()  # type: ignore[no-untyped-call]
        with suppress(FileExistsError):
            os.link(beside, path)


@contextmanager
def without_info(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


class StudyRuns:
    """Finds and creates the runs of one study; number None stands for the parent run.

    key: unique to this study among all in the experiment. Ids are cached. A deleted run is restored; one that was
    deleted for good is not found, so that the caller creates it again.
    Not thread-safe. Each method raises MLflow's errors if the store does not answer.
    """

    def __init__(self, tracking_uri: str, experiment: str, key: str, artifacts_uri: str) -> None:
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._key = key
        self._artifacts_uri = artifacts_uri
        self._ids: dict[int | None, str] = {}
        self._doubled: set[str] = set()

    @cached_property
    def client(self) -> "MlflowClient":
        return connect(self._tracking_uri)

    def relocate_artifacts(self) -> bool:
        """Correct the locations of artifacts in a store of a moved or copied workspace; whether any was changed."""
        if not self._tracking_uri.startswith(SQLITE):
            return False
        beside = Path(self._tracking_uri.removeprefix(SQLITE)).parent / ARTIFACTS
        is_ours = beside.resolve().as_uri() == self._artifacts_uri
        return relocate_artifacts(self._tracking_uri, self._key if is_ours else None)

    def has_experiment(self) -> bool:
        """Whether there is anything to look up. Creates nothing, unlike every other method."""
        if self._tracking_uri.startswith(SQLITE) and not Path(self._tracking_uri.removeprefix(SQLITE)).exists():
            return False
        return self.client.get_experiment_by_name(self._experiment) is not None

    def get(self, number: int | None) -> "Run | None":
        """The run as it is now, or None if there is none yet."""
        if number in self._ids and (run := self._fetch(self._ids[number])):
            return run
        tag, value = self._key_tag(number)
        ending = "%" if number is None else f"%/{number}"
        runs = [run for run in self._search(f"tags.`{tag}` LIKE '{ending}'") if run.data.tags[tag] == value]
        return self._settle(number, runs)

    def all_trials(self) -> "dict[int, Run]":
        """The runs of all trials by their numbers, with as few requests as MLflow's pages allow."""
        found: dict[int, list[Run]] = {}
        for run in filter(self._is_trial, self._search(f"tags.`{TRIAL_KEY}` LIKE '%'")):
            found.setdefault(int(run.data.tags[TRIAL_KEY].rpartition("/")[2]), []).append(run)
        settled = {number: self._settle(number, runs) for number, runs in found.items()}
        return {number: run for number, run in settled.items() if run is not None}

    def discard(self, number: int, run_id: str) -> None:
        """Delete a run that another one replaces. Its key is removed, so that it is never restored."""
        self._ids.pop(number, None)
        self.client.delete_tag(run_id, TRIAL_KEY)
        self.client.delete_run(run_id)

    def take_doubled(self) -> set[str]:
        """Ids of runs of whose trials duplicate runs were deleted since the last call."""
        doubled = self._doubled
        self._doubled = set()
        return doubled

    def tagged(self, tag: str) -> "list[Run]":
        """The runs of trials with `tag` = "true"."""
        return [run for run in self._search(f"tags.`{tag}` = 'true'") if self._is_trial(run)]

    def create(self, number: int | None, name: str, start: int | None, tags: Mapping[str, str]) -> "Run":
        """Create the run. If another worker creates it at the same moment, its run may be returned."""
        key, value = self._key_tag(number)
        labels = {**tags, key: value}
        run = self.client.create_run(self._open_experiment(), start_time=start, tags=labels, run_name=name)
        return self.get(number) or run

    def _key_tag(self, number: int | None) -> tuple[str, str]:
        return (STUDY_KEY, self._key) if number is None else (TRIAL_KEY, f"{self._key}/{number}")

    def _is_trial(self, run: "Run") -> bool:
        return run.data.tags.get(TRIAL_KEY, "").rpartition("/")[0] == self._key

    def _fetch(self, run_id: str) -> "Run | None":
        """The run, unless it was deleted."""
        from mlflow.exceptions import MlflowException

        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return run if _is_active(run) else None

    def _settle(self, number: int | None, runs: "Sequence[Run]") -> "Run | None":
        """Choose among runs with one key, created by several workers at the same moment: all choose the earliest.

        The others are deleted (MLflow can restore deleted runs). If all are deleted, the earliest is restored.
        """
        ranked = sorted(runs, key=lambda run: (not _is_active(run), run.info.start_time, run.info.run_id))
        if not ranked:
            return None
        first, *rest = ranked
        for run in filter(_is_active, rest):
            self.client.delete_run(run.info.run_id)
            self._doubled.add(first.info.run_id)
        if not _is_active(first):
            self.client.restore_run(first.info.run_id)
        self._ids[number] = first.info.run_id
        return first

    def _search(self, wanted: str) -> "list[Run]":
        """All runs of the experiment that the filter selects, deleted ones too.

        Names of studies are not part of the filter, whose language cannot quote every name.
        """
        from mlflow.entities import ViewType

        experiments = [self._open_experiment()]
        token = None
        found: list[Run] = []
        while True:
            page = self.client.search_runs(experiments, wanted, run_view_type=ViewType.ALL, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def _open_experiment(self) -> str:
        """The id of the experiment, which is created if missing and restored if deleted."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(self._experiment)
        if found is None:
            try:
                tags = {"mlflow.note.content": _NOTE}
                return self.client.create_experiment(self._experiment, self._artifact_location(), tags)
            except MlflowException as error:  # another worker may have created it
                found = self.client.get_experiment_by_name(self._experiment)
                if found is None:
                    raise error
        if found.lifecycle_stage != "active":
            self.client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def _artifact_location(self) -> str | None:
        """In the workspace if we write to a database ourselves; None for a server, which decides itself."""
        scheme = self._tracking_uri.partition(":")[0].partition("+")[0]
        return self._artifacts_uri if scheme in _DATABASES else None


def _is_active(run: "Run") -> bool:
    return str(run.info.lifecycle_stage) == "active"
