"""Where files are: the folders of a workspace (see docs/workspace.md), the shipped files, a trial's inputs."""

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from smart_tuner.errors import SettingsError
from trainer.config import PathsConfig, TrainerConfig
from trainer.protocol import RunDir

VOICE_FILE = "voice.pt"  # in the folder of a voice
EVALUATION_FOLDER = "evaluation"  # beside the voice, or in the folder of a trial
_PROBE_BYTES = 2**20  # with less space, a trial could not even write its record


@dataclass(frozen=True)
class Workspace:
    """Names folders; `obstacle` alone makes one."""

    root: Path

    @staticmethod
    def trial_name(number: int) -> str:
        """The name of its directories, and of its run in MLflow."""
        return f"trial-{number:04d}"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def artifacts(self) -> Path:
        """Pictures and sounds of trials, by the names of Optuna's artifact store; settings may give another folder."""
        return self.root / "artifacts"

    @property
    def preparing(self) -> Path:
        """What `smart_tuner.preparations` keeps."""
        return self.root / "preparing"

    @property
    def voices(self) -> Path:
        """A folder for each voice, by its name."""
        return self.root / "voices"

    def run_dir(self, study: str, number: int) -> RunDir:
        return RunDir(self.root / self.relative_run_dir(study, number))

    def relative_run_dir(self, study: str, number: int) -> Path:
        return Path("runs") / study / self.trial_name(number)

    def of_study(self, study: str) -> tuple[Path, Path]:
        """The folders of a study's trials and of their TensorBoard logs."""
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

    def refuse_file(self) -> None:
        """Raises SettingsError where the workspace, or what shall be a folder above it, is a file."""
        with suppress(PermissionError):  # whoever reads or writes here reports it
            there = next((path for path in (self.root, *self.root.parents) if path.exists()), None)
            if there is None or there.is_dir():
                return
            what = "" if there == self.root else f"{str(there)!r} "
            raise SettingsError(
                f"workspace {str(self.root)!r}: {what}is a file, not a folder. Give a folder with --workspace."
            )

    def refuse_unwritable(self) -> None:
        """Raises SettingsError where nothing can be written here."""
        self.refuse_file()
        if (obstacle := self.obstacle()) is not None:
            raise SettingsError(f"{obstacle}. Give another folder with --workspace, or fix its permissions.")

    def paths(self, study: str, number: int) -> PathsConfig:
        return PathsConfig(
            run=str(self.run_dir(study, number).path.resolve()),
            tensorboard=str((self.root / "logs" / study / self.trial_name(number)).resolve()),
            cache=str(self.cache.resolve()),
        )


def shipped(kind: Literal["studies", "config"]) -> Path:
    """The folder of the shipped studies or settings: inside an installed wheel, else in the source checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_shipped" / kind
    return installed if installed.is_dir() else package.parent / kind


def anchor(source: str) -> str:
    """The absolute path of a relative one; anything that is no path stays as it is."""
    if not source or source.startswith("demo:"):
        return source
    return os.path.normpath(Path(source).expanduser().absolute())


def anchored(config: TrainerConfig) -> TrainerConfig:
    """The configuration with absolute paths of its inputs, so that a trial can go on from another working directory."""
    corpus = config.corpus
    corpus = replace(
        corpus,
        source=anchor(corpus.source),
        validation_source=anchor(corpus.validation_source),
        leave_out=anchor(corpus.leave_out),
    )
    warm_start, continue_from = anchor(config.warm_start), anchor(config.continue_from)
    return replace(config, corpus=corpus, warm_start=warm_start, continue_from=continue_from)
