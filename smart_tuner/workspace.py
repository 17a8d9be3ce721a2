"""The folders of a workspace; docs/workspace.md shows them."""

from dataclasses import dataclass
from pathlib import Path

from trainer.config import PathsConfig
from trainer.protocol import RunDir


@dataclass(frozen=True)
class Workspace:
    """Names folders; makes none."""

    root: Path

    @staticmethod
    def trial_name(number: int) -> str:
        """Of its directories, and of its run in MLflow."""
        return f"trial-{number:04d}"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def run_dir(self, study: str, number: int) -> RunDir:
        return RunDir(self.root / self.relative_run_dir(study, number))

    def relative_run_dir(self, study: str, number: int) -> Path:
        return Path("runs") / study / self.trial_name(number)

    def paths(self, study: str, number: int) -> PathsConfig:
        return PathsConfig(
            run=str(self.run_dir(study, number).path.resolve()),
            tensorboard=str((self.root / "logs" / study / self.trial_name(number)).resolve()),
            cache=str(self.cache.resolve()),
        )
