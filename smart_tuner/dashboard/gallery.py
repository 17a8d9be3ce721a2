"""Puts pictures and sounds of a trial into Optuna's artifact store, where dashboards show and play them.

Optuna refuses artifacts for trials that have finished. `optuna.artifacts.upload_artifact` gives each file a new name
each time, and announces it before it is there. Here a file is put there first, under a name that is the same each time:
by a hard link, since a slot waits for it; as a copy where the file system has no links. All of them are announced in
the transaction that ends the trial.
"""

import json
import logging
import mimetypes
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from uuid import NAMESPACE_OID, uuid5

import optuna
from optuna.artifacts import ArtifactMeta

from smart_tuner.artifacts import Artifact, ArtifactKind
from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.optuna_internals import ARTIFACTS_ATTR_PREFIX, DEFAULT_MIME_TYPE
from trainer.files import NO_LINKS, write_atomically

log = logging.getLogger(__name__)


class Gallery:
    """The artifacts of one study in one folder. Thread-safe. A folder that cannot be written is logged once."""

    def __init__(self, folder: Path, study: optuna.Study) -> None:
        self.folder = folder
        self._study = study.user_attrs.get(StudyAttr.ID, study.study_name)
        self._warned = False

    def artifact_id(self, number: int, name: str) -> str:
        return str(uuid5(NAMESPACE_OID, f"{self._study}/{number}/{name}"))

    def keep(self, number: int, files: Mapping[str, Artifact]) -> dict[str, str]:
        """Link or copy files of a trial; return the system attributes that announce them.

        files: by the names that people see. One that is missing, outside the trial directory or cannot be copied is
        left out.
        """
        attributes = {}
        for name, artifact in files.items():
            artifact_id = self.artifact_id(number, name)
            if (source := artifact.file) is None:
                continue
            try:
                with write_atomically(self.folder / artifact_id) as beside:
                    _link_or_copy(source, beside)
            except OSError as error:
                self._warn(source, error)
                continue
            kind = mimetypes.guess_type(name)[0] or DEFAULT_MIME_TYPE
            meta = ArtifactMeta(artifact_id=artifact_id, filename=name, mimetype=kind, encoding=None)
            attributes[ARTIFACTS_ATTR_PREFIX + artifact_id] = json.dumps(asdict(meta))
        return attributes

    def _warn(self, path: Path, error: OSError) -> None:
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        log.log(
            level,
            "%s cannot be shown by the dashboard, since it could not be copied to %s (%s); the trials go on. "
            "Free some space, or name another folder with the setting `artifacts`.",
            path,
            self.folder,
            error.strerror or error,
        )


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source.resolve())
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(source, target)


def shown(artifacts: Sequence[Artifact]) -> dict[str, Artifact]:
    """The artifacts of a trial that the dashboard shows, by names for people.

    The alignment of the best report and of the last one, the last mel, and all that is free-running.
    """
    reports = [artifact for artifact in artifacts if not artifact.free_running]
    alignments = [artifact for artifact in reports if artifact.kind is ArtifactKind.ALIGNMENT]
    mels = [artifact for artifact in reports if artifact.kind is ArtifactKind.MEL]
    chosen = [artifact for artifact in alignments if artifact.of_best] + alignments[-1:] + mels[-1:]
    chosen += [artifact for artifact in artifacts if artifact.free_running]
    return {_name(artifact): artifact for artifact in chosen}


def announced(system_attrs: Mapping[str, str]) -> list[ArtifactMeta]:
    """The artifacts of a trial by its system attributes; one that a person removed is null there."""
    found = [json.loads(text) for key, text in system_attrs.items() if key.startswith(ARTIFACTS_ATTR_PREFIX)]
    return [ArtifactMeta(**meta) for meta in found if meta is not None]


def _name(artifact: Artifact) -> str:
    if artifact.kind is ArtifactKind.SAMPLE:
        return PurePosixPath(artifact.path).name
    when = "free-running" if artifact.free_running else f"{artifact.update:04d}-updates"
    return f"{artifact.kind}-{when}{artifact.suffix}"
