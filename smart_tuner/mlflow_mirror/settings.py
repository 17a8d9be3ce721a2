"""What of a study goes to MLflow, and where MLflow is."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class MirrorSettings:
    """tracking_uri: whole, with its password; `masked` before anybody sees it.

    workspace: holds the trials' directories, and MLflow's artifacts where no server keeps them. checkpoints: of so many
    of the best trials are among the artifacts. registers: the best one's voice goes to the Model Registry.
    """

    tracking_uri: str = field(repr=False)
    workspace: Path
    checkpoints: int = 1
    registers: bool = True
