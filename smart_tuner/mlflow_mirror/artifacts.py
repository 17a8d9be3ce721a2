"""Files of trials in MLflow: each is sent once, compared by name and size; checkpoints are also removed again.

MLflow keeps them in the store that its server names. Some of those stores cannot delete a single file.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smart_tuner.mlflow_mirror.projection import files
from smart_tuner.mlflow_mirror.run_writer import RunWriter
from trainer.protocol import RunDir, all_events

if TYPE_CHECKING:
    from mlflow.entities import FileInfo
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

_log = logging.getLogger(__name__)

_SENT = "smart_tuner.artifacts_sent"  # "config", then "all"
CHECKPOINT_SENT = "smart_tuner.checkpoint_sent"  # "true" where the run holds one
_REFUSALS = (404, 405, 501)


class Artifacts:
    """Writes the artifacts of runs. Raises MLflow's errors and OSError. Not thread-safe."""

    def __init__(self, tracking_uri: str) -> None:
        self._tracking_uri = tracking_uri

    def send(self, run: RunWriter, record: RunDir, finished: bool) -> None:
        """Send the configuration at the first call, the rest once the trial has finished."""
        sent = run.tags.get(_SENT)
        if finished and sent != "all":
            there = [record.config] if sent else []
            self._upload(run, record, [path for path in _of(record) if path not in there])
            run.set_tag(_SENT, "all")
        elif sent is None and record.config.is_file():
            self._upload(run, record, [record.config])
            run.set_tag(_SENT, "config")

    def repair(self, run: RunWriter, record: RunDir, finished: bool) -> None:
        """Like `send`, but compares with what MLflow has."""
        if finished and run.tags.get(_SENT) == "all":
            self._upload(run, record, self._missing(run, record, _of(record)))
        else:
            self.send(run, record, finished)

    def send_checkpoint(self, run: RunWriter, record: RunDir, *, repair: bool) -> None:
        """Send the trial's best checkpoint, if this machine has it. repair: compare with what MLflow has."""
        best = record.best_checkpoint
        if not best.is_file():
            return
        if CHECKPOINT_SENT not in run.tags:
            self._upload(run, record, [best])
            run.set_tag(CHECKPOINT_SENT, "true")
        elif repair:
            self._upload(run, record, self._missing(run, record, [best]))

    def remove_checkpoint(self, run: RunWriter) -> None:
        """Remove the checkpoint; in a store that cannot delete a file, it stays."""
        from mlflow.exceptions import MlflowException

        try:
            files_at(run.artifacts_uri, self._tracking_uri).delete_artifacts("checkpoints")  # type: ignore[no-untyped-call]
        except (NotImplementedError, MlflowException) as error:
            if isinstance(error, MlflowException) and _status(error) not in _REFUSALS:
                raise
            _log.info("the checkpoint of run %s stays in MLflow: its store cannot delete files", run.id)
        run.drop_tags(lambda tag: tag == CHECKPOINT_SENT)

    def _missing(self, run: RunWriter, record: RunDir, wanted: Iterable[Path]) -> list[Path]:
        there = {file.path: file.file_size or 0 for file in _listed(files_at(run.artifacts_uri, self._tracking_uri))}
        return [path for path in wanted if there.get(_name(record, path)) != path.stat().st_size]

    def _upload(self, run: RunWriter, record: RunDir, paths: Iterable[Path]) -> None:
        files = files_at(run.artifacts_uri, self._tracking_uri)
        for path in paths:
            folder = _name(record, path).rpartition("/")[0]
            files.log_artifact(str(path), folder or None)  # type: ignore[no-untyped-call]
            run.requests += 1


def files_at(uri: str, tracking_uri: str) -> "ArtifactRepository":
    """The repository of a run's artifacts. A client of MLflow would keep using the URI that its process saw first."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(uri, tracking_uri=tracking_uri)


def _listed(files: "ArtifactRepository", folder: str | None = None) -> "Iterator[FileInfo]":
    for file in files.list_artifacts(folder):
        if file.is_dir:
            yield from _listed(files, file.path)
        else:
            yield file


def _status(error: "MlflowException") -> int:
    return int(error.get_http_status_code())  # type: ignore[no-untyped-call]


def _of(record: RunDir) -> Sequence[Path]:
    return files(record, all_events(record.events))


def _name(record: RunDir, path: Path) -> str:
    return path.relative_to(record.path).as_posix()
