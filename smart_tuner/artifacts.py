"""The pictures and sounds that a trial's record announces, as values. The only reader of events of kind ARTIFACT.

Each display decides which of them it shows, and under which names. `RunDir.file` alone decides whether a path may be
read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from trainer.protocol import Event, EventKind, RunDir

ARTIFACT_EVENTS = (EventKind.VALIDATION, EventKind.ARTIFACT)  # the kinds of events that `artifacts_of` needs


class ArtifactKind(StrEnum):
    ALIGNMENT = "alignment"
    MEL = "mel"
    SAMPLE = "sample"


@dataclass(frozen=True)
class Artifact:
    run_dir: RunDir
    path: str  # as announced; a faulty trainer may announce one outside the trial directory
    kind: ArtifactKind
    sentence: str  # empty where the record does not say
    update: int
    free_running: bool  # made without teacher forcing
    of_best: bool  # made at the best validation

    @property
    def file(self) -> Path | None:
        """None if there is no such file, or if its path leads out of the trial directory."""
        return self.run_dir.file(self.path)

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix


def artifacts_of(run_dir: RunDir, events: Iterable[Event]) -> list[Artifact]:
    """One artifact per file, by its last announcement, in the order of those; unknown kinds are left out."""
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
    kind = ArtifactKind(event.data["what"])
    path = event.data["path"]
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
    """For records of older trainers, without that field: samples always were, pictures had it in their names."""
    return kind is ArtifactKind.SAMPLE or PurePosixPath(path).stem.startswith("free-running")
