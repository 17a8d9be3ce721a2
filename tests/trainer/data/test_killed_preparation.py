"""A preparation that is killed at any moment is taken up again, and the result has the same bytes."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from recordings import write_corpus

from trainer.config import TrainerConfig

CLIPS = 900
KILLS = 5


def start(config: Path) -> subprocess.Popen[bytes]:
    """A process that prepares the corpus with two workers."""
    script = (
        "from pathlib import Path; from trainer.config import TrainerConfig; from trainer.data import preparation;"
        "from trainer.data.features import open_features; preparation.cores = lambda: 2;"
        f"open_features(TrainerConfig.load(Path({str(config)!r})))"
    )
    return subprocess.Popen([sys.executable, "-c", script])


def contents(cache: Path) -> dict[str, bytes]:
    (folder,) = (path for path in (cache / "features").iterdir() if path.name != ".unfinished")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_five_kills_at_random_moments_leave_the_same_bytes(tmp_path: Path, seed: int) -> None:
    corpus = write_corpus(tmp_path / "corpus", CLIPS)
    configs = {}
    for name in ("undisturbed", "killed"):
        paths = {"cache": str(tmp_path / name)}
        configs[name] = tmp_path / f"{name}.json"
        configs[name].write_text(
            TrainerConfig.from_mapping({"corpus": {"source": str(corpus)}, "paths": paths}).to_json()
        )
    began = time.monotonic()
    assert start(configs["undisturbed"]).wait() == 0
    whole = time.monotonic() - began

    moments = random.Random(seed)
    killed = 0
    while killed < KILLS:
        with start(configs["killed"]) as process:
            try:
                # Later and later: the parts after the first seconds, in which libraries are loaded, are met, too.
                process.wait(moments.uniform(0.2, 1.0) * whole * (1 + killed) / KILLS)
                break  # it finished before the moment came
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed += 1
    assert killed >= 3
    assert start(configs["killed"]).wait() == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
    assert not list((tmp_path / "killed" / "features" / ".unfinished").iterdir())
