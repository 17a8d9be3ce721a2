"""Where MLflow is, and what of a study is sent to it."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class MirrorSettings:
    """tracking_uri: with its password; `masked` before it is shown.

    workspace: has the trials' directories, and MLflow's artifacts unless a server keeps them. checkpoints: how many of
    the best trials have their checkpoints among the artifacts. registers: whether the best voice is registered.
    """

    tracking_uri: str = field(repr=False)
    workspace: Path
    checkpoints: int = 1
    registers: bool = True
