"""A cleaned copy that is killed at any moment is written by the same command, with the same bytes."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from spoken_corpus import write_corpus

from trainer.protocol import ExitCode

CLIPS = 300
KILLS = 6


def start(config: Path, copy: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "trainer", "corpus-check", f"--out={copy.with_name('report')}"]
    return subprocess.Popen([*command, f"--fix={copy}", str(config)], stdout=subprocess.DEVNULL)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_kills_at_random_moments_leave_no_half_copy_and_the_same_bytes(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", CLIPS)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"corpus": {"source": str(corpus)}, "paths": {"cache": str(tmp_path / "cache")}}))
    began = time.monotonic()
    assert start(config, tmp_path / "undisturbed" / "copy").wait() == ExitCode.FINISHED
    whole = time.monotonic() - began
    wanted = contents(tmp_path / "undisturbed" / "copy")
    assert len(wanted) == CLIPS + 2

    copy = tmp_path / "killed" / "copy"
    unfinished = copy.with_name(".copy.unfinished")
    moments = random.Random(0)
    begun = 0
    for kill in range(KILLS):
        with start(config, copy) as process:
            # Half of them at a moment of the whole run, half of them while the copy is written.
            if kill % 2:
                while not unfinished.exists() and process.poll() is None:
                    time.sleep(0.01)
                time.sleep(moments.uniform(0, 0.2) * whole)
            else:
                time.sleep(moments.uniform(0.2, 1.0) * whole)
            process.send_signal(signal.SIGKILL)
        begun += unfinished.exists()
        if copy.exists():
            assert contents(copy) == wanted, "half a copy was taken for whole"
            break
    assert begun or copy.exists()
    if not copy.exists():
        assert start(config, copy).wait() == ExitCode.FINISHED
    assert contents(copy) == wanted
    assert not unfinished.exists()
    assert start(config, copy).wait() == ExitCode.BAD_INPUT  # a whole copy is not overwritten
    assert contents(copy) == wanted
