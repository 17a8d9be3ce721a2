"""Pictures and sounds of a trial, put where Optuna's artifact store keeps them, so that dashboards show and play them.

Optuna refuses artifacts for trials that have finished, and `optuna.artifacts.upload_artifact` names each file anew and
announces it before it is there. Here a file is copied first, under a name that is the same however often that is done;
whoever ends the trial announces all of them in the transaction that ends it.
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
from optuna.artifacts._upload import ARTIFACTS_ATTR_PREFIX, DEFAULT_MIME_TYPE, ArtifactMeta

from smart_tuner.store.attributes import StudyAttr
from trainer.files import write_atomically
from trainer.protocol import Event, RunDir

log = logging.getLogger(__name__)

_FREE_RUNNING = "free-running"  # how the trainer's pictures of speech without a teacher begin


class Gallery:
    """The artifacts of one study in one folder. Thread-safe. A folder that cannot be written is told of once."""

    def __init__(self, folder: Path, study: optuna.Study) -> None:
        self.folder = folder
        self._study = study.user_attrs.get(StudyAttr.ID, study.study_name)
        self._warned = False

    def artifact_id(self, number: int, name: str) -> str:
        return str(uuid5(NAMESPACE_OID, f"{self._study}/{number}/{name}"))

    def keep(self, number: int, home: RunDir, files: Mapping[str, str]) -> dict[str, str]:
        """Copy files of a trial; return the system attributes that announce them.

        files: paths relative to `home`, by the names that people see. One that is not there,
        lies elsewhere or cannot be copied is left out.
        """
        attributes = {}
        for name, path in files.items():
            artifact_id = self.artifact_id(number, name)
            try:
                if (source := home.file(path)) is None:
                    continue
                with write_atomically(self.folder / artifact_id) as beside:
                    shutil.copyfile(source, beside)
            except OSError as error:
                self._warn(home.path / path, error)
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
            "%s cannot be shown by the dashboard, for it could not be copied to %s (%s); the trials go on without. "
            "Free some space, or name another folder with the setting `artifacts`.",
            path,
            self.folder,
            error.strerror or error,
        )


def exhibits(told: Sequence[Event], best_update: int | None) -> dict[str, str]:
    """What is shown of a trial: the last alignment and that of the best report, the last mel, all samples.

    told: its events of kind ARTIFACT. Returns paths, relative to the trial's directory, by names for people.
    """
    newest = {event.data["path"]: event for event in told}.values()  # a file may have been written again
    alignments = [event for event in newest if _is(event, "alignment") and not _is_free_running(event)]
    shown = [event for event in alignments if event.update == best_update] + alignments[-1:]
    shown += [event for event in newest if _is(event, "mel") and not _is_free_running(event)][-1:]
    shown += [event for event in newest if _is_free_running(event) or _is(event, "sample")]
    return {_name(event): event.data["path"] for event in shown}


def announced(system_attrs: Mapping[str, str]) -> list[ArtifactMeta]:
    """The artifacts of a trial, by its system attributes; those that a person has removed are null."""
    told = [json.loads(text) for key, text in system_attrs.items() if key.startswith(ARTIFACTS_ATTR_PREFIX)]
    return [ArtifactMeta(**meta) for meta in told if meta is not None]


def _is(event: Event, what: str) -> bool:
    return bool(event.data["what"] == what)


def _is_free_running(event: Event) -> bool:
    return PurePosixPath(event.data["path"]).stem.startswith(_FREE_RUNNING)


def _name(event: Event) -> str:
    path, what = PurePosixPath(event.data["path"]), event.data["what"]
    if what == "sample":
        return path.name
    return f"{what}-{_FREE_RUNNING if _is_free_running(event) else f'{event.update:04d}-updates'}{path.suffix}"
