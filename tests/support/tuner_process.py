"""A tuner process with the fake trainer, for tests that kill it or run several at once.

Prints the result as JSON, or ends with the exit code of the error.
"""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

import smart_tuner.main
import smart_tuner.run.corpus
import smart_tuner.run.pool
from smart_tuner.config import Settings
from smart_tuner.errors import SmartTunerError, exit_code
from smart_tuner.executors.local import LocalExecutor

FAKE = (sys.executable, str(Path(__file__).with_name("fake_trainer.py")))


def no_corpus(*_: Any, **__: Any) -> dict[str, Any]:
    return {"train": 9, "validation": 1, "skipped": 0, "minutes": 0.1, "frames": 1000, "layout": ""}


def main(study: str, workspace: str, trials: str, storage: str = "", jobs: str = "1") -> int:
    smart_tuner.run.corpus.prepare_corpus = no_corpus  # type: ignore[attr-defined]
    smart_tuner.run.pool.WATCH_SECONDS = 0.1
    settings = Settings(workspace=Path(workspace), storage=storage or None, mlflow=False, jobs=jobs, device="cpu")
    tuner = smart_tuner.main.SmartTunerMain(
        study, settings=settings, executor=LocalExecutor(60.0, FAKE), console=Console(stderr=True)
    )
    try:
        result = tuner.optimize(int(trials))
    except SmartTunerError as error:
        print(error, file=sys.stderr)
        return exit_code(error)
    print(json.dumps({"states": result.states, "best": result.best.trial if result.best else None}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
