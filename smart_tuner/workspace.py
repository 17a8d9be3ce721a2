"""Where files lie: the folders of a workspace (docs/workspace.md shows them), the shipped files, a trial's inputs."""

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from smart_tuner.errors import SettingsError
from trainer.config import PathsConfig, TrainerConfig
from trainer.protocol import RunDir

_PROBE_BYTES = 2**20  # less, and a trial could not even write its record


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

    @property
    def artifacts(self) -> Path:
        """Pictures and sounds of trials, as Optuna's artifact store names them; settings may name another folder."""
        return self.root / "artifacts"

    def run_dir(self, study: str, number: int) -> RunDir:
        return RunDir(self.root / self.relative_run_dir(study, number))

    def relative_run_dir(self, study: str, number: int) -> Path:
        return Path("runs") / study / self.trial_name(number)

    def of_study(self, study: str) -> tuple[Path, Path]:
        """The folders that hold a study's trials and their TensorBoard logs."""
        return self.root / "runs" / study, self.root / "logs" / study

    def obstacle(self) -> str | None:
        """Why nothing can be written here; None where it can."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root) as file:
                file.write(bytes(_PROBE_BYTES))
        except OSError as error:
            return f"workspace {str(self.root)!r}: cannot be written to ({error.strerror})"
        return None

    def refuse_unwritable(self) -> None:
        """Raises SettingsError where nothing can be written here."""
        if (obstacle := self.obstacle()) is not None:
            raise SettingsError(f"{obstacle}. Give another folder with --workspace, or mend its permissions.")

    def paths(self, study: str, number: int) -> PathsConfig:
        return PathsConfig(
            run=str(self.run_dir(study, number).path.resolve()),
            tensorboard=str((self.root / "logs" / study / self.trial_name(number)).resolve()),
            cache=str(self.cache.resolve()),
        )


def shipped(kind: Literal["studies", "config"]) -> Path:
    """The studies or settings that come with the package: inside an installed wheel, else in the source checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_shipped" / kind
    return installed if installed.is_dir() else package.parent / kind


def anchor(source: str) -> str:
    """An absolute path for a relative one; what is no path stays as it is."""
    if not source or source.startswith("demo:"):
        return source
    return os.path.normpath(Path(source).expanduser().absolute())


def anchored(config: TrainerConfig) -> TrainerConfig:
    """What it reads, by absolute paths, so that a trial can be continued from another working directory."""
    corpus = config.corpus
    corpus = replace(corpus, source=anchor(corpus.source), validation_source=anchor(corpus.validation_source))
    return replace(config, corpus=corpus, warm_start=anchor(config.warm_start))
