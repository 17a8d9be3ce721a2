"""The pictures and sounds that a trial's record announces, as values; nobody else reads events of kind ARTIFACT.

Which of them a display shows, and under which names, is the display's own matter. Whether a path may be read is decided
by `RunDir.file` alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from trainer.protocol import Event, EventKind, RunDir

TELLING = (EventKind.VALIDATION, EventKind.ARTIFACT)  # the events that `artifacts_of` needs


class ArtifactKind(StrEnum):
    ALIGNMENT = "alignment"
    MEL = "mel"
    SAMPLE = "sample"


@dataclass(frozen=True)
class Artifact:
    run_dir: RunDir
    path: str  # as announced: within the trial directory, unless a broken trainer wrote it
    kind: ArtifactKind
    sentence: str  # empty where the record does not say
    update: int
    free_running: bool  # the model spoke without a teacher
    of_best: bool  # made at the best validation

    @property
    def file(self) -> Path | None:
        """None where it is not there, or leads out of the trial directory."""
        return self.run_dir.file(self.path)

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix


def artifacts_of(run_dir: RunDir, events: Iterable[Event]) -> list[Artifact]:
    """One for each file, as it was announced last, in that order; kinds that are unknown here are passed over."""
    best_update: int | None = None
    newest: dict[str, Event] = {}
    for event in events:
        if event.kind is EventKind.VALIDATION and (event.data["best"] or best_update is None):
            best_update = event.update
        elif event.kind is EventKind.ARTIFACT and event.data["what"] in set(ArtifactKind):
            newest.pop(event.data["path"], None)
            newest[event.data["path"]] = event
    return [_artifact(run_dir, event, best_update) for event in newest.values()]


def last_of(artifacts: Iterable[Artifact], kind: ArtifactKind) -> Artifact | None:
    return next(iter([artifact for artifact in artifacts if artifact.kind is kind][-1:]), None)


def _artifact(run_dir: RunDir, event: Event, best_update: int | None) -> Artifact:
    kind, path = ArtifactKind(event.data["what"]), event.data["path"]
    free_running = event.data.get("free_running", _was_free_running(kind, path))
    return Artifact(
        run_dir=run_dir,
        path=path,
        kind=kind,
        sentence=str(event.data.get("text") or ""),
        update=event.update,
        free_running=bool(free_running),
        of_best=event.update == best_update and not free_running,
    )


def _was_free_running(kind: ArtifactKind, path: str) -> bool:
    """Of records from before the trainer said so: samples always, pictures by the names that they had."""
    return kind is ArtifactKind.SAMPLE or PurePosixPath(path).stem.startswith("free-running")
