"""Where MLflow is, what of a study is sent to it, and the tags by which its runs are found."""

from dataclasses import dataclass, field
from pathlib import Path

STUDY_KEY = "smart_tuner.study"  # tag of the parent run; its value is the key of the study
TRIAL_KEY = "smart_tuner.trial"  # tag of a trial's run: <key>/<number>


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
