"""Trials one after another in one process, which keeps what takes long to start: torch, the CUDA context, its kernels.

The watching process writes a line for each trial, {"config": FILE}, and `stopping.STOP_LINE` to stop it. After a trial
that ended well, this process writes its exit code in a line of standard output, and waits for the next one. After any
other it ends, with the exit code of that trial. What a trial prints goes to its own log.

Standard library only: what differs between processes is passed in.
"""

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from trainer.errors import ConfigError
from trainer.protocol import ExitCode, RunDir
from trainer.stopping import StopRequest

PAUSE = 2.0  # seconds before a waiting trainer imports torch, which would slow the first updates of its neighbour
MOST_TRIALS = 50  # of a process: bounds what may pile up that `tidy_up` does not measure, at a start in fifty
ENDED_WELL = (ExitCode.FINISHED, ExitCode.STOPPED)


def train_in_turn(
    stop: StopRequest, train: Callable[[Path], int], warm_up: Callable[[], None], tidy_up: Callable[[], bool]
) -> int:
    """Train what lines name, and return the exit code with which this process is to end.

    train: runs the trial of a configuration, and returns its exit code. warm_up: called where the first line does not
    come at once. tidy_up: gives back what a trial held; False where another trial should have another process. Raises
    ConfigError for a line that names no configuration in a folder, and whatever `train` raises.
    """
    sys.stdout.flush()
    answers = os.dup(1)  # child processes do not inherit it
    os.dup2(2, 1)
    line = stop.next_line(PAUSE)
    if line is None:
        warm_up()
        line = stop.next_line()
    for number in count(1):
        code = train(_start(line))
        if code not in ENDED_WELL or number == MOST_TRIALS or not tidy_up():
            break
        stop.stop_listening()
        if stop.is_final:
            break
        _write_output_to(os.devnull)
        stop.expect_line()
        try:
            os.write(answers, b"%d\n" % code)
        except OSError:  # nobody reads it
            break
        line = stop.next_line()
    return code


def start_line(config: Path) -> bytes:
    """The line that starts the trial of `config`."""
    return json.dumps({"config": str(config)}).encode()


def _start(line: bytes | None) -> Path:
    """The configuration that the line names. What is printed from now on goes to the log of that trial."""
    try:
        config = Path(json.loads(line or b"")["config"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f'Standard input must say {{"config": "FILE"}} in one line, but got {line!r}.') from error
    log = RunDir(config.parent).log
    try:
        _write_output_to(log)
    except (OSError, ValueError) as error:  # ValueError: the path has a zero byte
        raise ConfigError(f"{log}: cannot be written ({error}); the folder of `config` must exist.") from error
    return config


def _write_output_to(path: str | Path) -> None:
    with suppress(OSError):  # what a full disk does not take is dropped
        sys.stdout.flush()
    with open(path, "ab") as file:  # noqa: PTH123 (os.devnull is a name)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
