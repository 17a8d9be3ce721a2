"""Which studies are having their corpus prepared in a workspace: before that is done, the store does not have them.

Each is a file, `preparing/<study>-<pid>.json`, of the process that prepares it. One of a dead process means nothing.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from smart_tuner.formatting import duration
from smart_tuner.machine.process_identity import ProcessIdentity
from smart_tuner.workspace import Workspace
from trainer.files import write_atomically


@dataclass(frozen=True)
class Preparation:
    """since: seconds since the epoch."""

    study: str
    corpus: str
    since: float

    def __str__(self) -> str:
        return f"its corpus, {self.corpus}, is being prepared, for {duration(time.time() - self.since)} so far"


@contextmanager
def announced(workspace: Workspace, study: str, corpus: str) -> Iterator[None]:
    """Let `preparations` find the study while the block runs, if the workspace can be written to."""
    path = workspace.preparing / f"{study}-{os.getpid()}.json"
    owner = ProcessIdentity.of_this_process().as_mapping()
    about = {"study": study, "corpus": corpus, "since": time.time(), "owner": owner}
    with suppress(OSError), write_atomically(path) as beside:
        beside.write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def preparations(workspace: Workspace) -> list[Preparation]:
    """Those whose process is alive on this machine, the newest first."""
    found = [each for path in workspace.preparing.glob("*.json") if (each := _read(path)) is not None]
    return sorted(found, key=lambda each: -each.since)


def _read(path: Path) -> Preparation | None:
    with suppress(OSError, ValueError, KeyError):  # it has just ended, or is no file of ours
        about = json.loads(path.read_text(encoding="utf-8"))
        owner = ProcessIdentity.from_mapping(about["owner"])
        if owner.is_here() and owner.is_alive():
            return Preparation(about["study"], about["corpus"], about["since"])
    return None
