"""A standby trainer reads from standard input what to train, refuses what it cannot use, and trains in turn."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from short_run import same
from trainer_process import TIMEOUT, configure, start_trainer
from waiting import wait_until

from trainer import checkpoint_files
from trainer.protocol import Event, EventKind, ExitCode, RunDir, all_events
from trainer.standby import start_line
from trainer.stopping import STOP_LINE

# Trains in turn what its argument orders: the exit codes of trials, and for each whether another one may follow.
IN_TURN = """
import json, sys
from trainer import standby
from trainer.stopping import StopRequest
standby.MOST_TRIALS = 4
orders = iter(json.loads(sys.argv[1]))
may_follow = []
def train(path):
    code, follows = next(orders)
    may_follow.append(follows)
    print(path.name, stop.reason)
    return code
stop = StopRequest()
stop.expect_line()
stop.tie_to_stdin()
sys.exit(standby.train_in_turn(stop, train, lambda: None, lambda: may_follow[-1]))
"""


@pytest.mark.parametrize("line", ["\n", "nonsense\n", '{"konfig": 3}\n', "3\n", "[" * 100_000 + "\n"])
def test_an_invalid_line_is_refused(tmp_path: Path, line: str) -> None:
    command = [sys.executable, "-m", "trainer", "--standby"]
    done = subprocess.run(command, input=line, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr.startswith('Standard input must say {"config": "FILE"} in one line, but got ')
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["none/config.json", "file/config.json", "zero\0byte/config.json", "x" * 300 + "/c"])
def test_a_configuration_without_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "trainer", "--standby"]
    line = json.dumps({"config": f"{tmp_path}/{name}"}) + "\n"
    done = subprocess.run(command, input=line, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == ExitCode.BAD_INPUT
    assert "trainer.log: cannot be written (" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [None, "[" * 100_000, "[]"])
def test_an_unusable_configuration_is_reported_in_its_log(tmp_path: Path, content: str | None) -> None:
    run = RunDir(tmp_path)
    if content is None:
        run.config.mkdir()
    else:
        run.config.write_text(content)
    command = [sys.executable, "-m", "trainer", "--standby"]
    line = json.dumps({"config": str(run.config)}) + "\n"
    done = subprocess.run(command, input=line, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == ExitCode.BAD_INPUT
    assert run.log.read_text().startswith(str(run.config))
    assert "Traceback" not in run.log.read_text()


def in_turn(folder: Path, orders: list[tuple[int, bool]], lines: list[bytes]) -> tuple[str, int]:
    """The answers and the exit code of `IN_TURN`, whose input is each line after the answer to the one before."""
    command = [sys.executable, "-c", IN_TURN, json.dumps(orders)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers = []
        for line in lines:
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            if not line.startswith(b'{"stop"'):
                answers.append(process.stdout.readline().decode())
        code = process.wait(TIMEOUT) if answers[-1] == "" else -1
    return "".join(answers), code


@pytest.mark.parametrize(
    ("orders", "answers", "code"),
    [
        ([(ExitCode.FINISHED, True), (ExitCode.STOPPED, True), (ExitCode.CRASHED, True)], "0\n10\n", ExitCode.CRASHED),
        ([(ExitCode.OUT_OF_MEMORY, True)], "", ExitCode.OUT_OF_MEMORY),
        ([(ExitCode.STOPPED, False)], "", ExitCode.STOPPED),
        ([(ExitCode.STOPPED, True)] * 4, "10\n" * 3, ExitCode.STOPPED),
    ],
    ids=["crash", "out of memory", "left too much", "the most trials of a process"],
)
def test_a_trial_is_answered_or_ends_the_process(
    tmp_path: Path, orders: list[tuple[int, bool]], answers: str, code: int
) -> None:
    assert in_turn(tmp_path, orders, [start_line(tmp_path / "config.json")] * len(orders)) == (answers, code)


def test_a_line_stops_the_trial_before_it_and_not_the_one_after_it(tmp_path: Path) -> None:
    start = start_line(tmp_path / "config.json")
    orders = [(ExitCode.FINISHED, True), (ExitCode.FINISHED, False)]
    assert in_turn(tmp_path, orders, [start, STOP_LINE, start]) == ("0\n", 0)
    assert (tmp_path / "trainer.log").read_text() == "config.json None\n" * 2


def test_one_that_gets_no_trial_at_once_warms_up(tmp_path: Path) -> None:
    warm = tmp_path / "warm"
    program = IN_TURN.replace("MOST_TRIALS = 4", "MOST_TRIALS = 1; standby.PAUSE = 0.01")
    program = program.replace("lambda: None", f"lambda: open({str(warm)!r}, 'w').close()")
    with subprocess.Popen([sys.executable, "-c", program, "[[0, true]]"], stdin=subprocess.PIPE) as process:
        wait_until(warm.exists)
        assert process.stdin is not None
        process.stdin.write(start_line(tmp_path / "config.json") + b"\n")
        process.stdin.flush()
        assert process.wait(TIMEOUT) == 0
    assert (tmp_path / "trainer.log").read_text() == "config.json None\n"


@contextmanager
def standby() -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "trainer", "--standby"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def train(process: "subprocess.Popen[bytes]", run: RunDir) -> bytes:
    """-> the answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(start_line(run.config) + b"\n")
    process.stdin.flush()
    return process.stdout.readline()


def measured(run: RunDir) -> list[tuple[EventKind, dict[str, object]]]:
    """What the events say, without times, and without memory, which depends on what the process did before."""

    def figures(event: Event) -> dict[str, object]:
        other = ("seconds", "frames_per_second", "memory_bytes", "config", "host")
        return {key: value for key, value in event.data.items() if key not in other}

    return [(event.kind, figures(event)) for event in all_events(run.events)]


@pytest.mark.slow
def test_a_trial_after_others_is_the_same_as_in_a_process_of_its_own(cache: Path, tmp_path: Path) -> None:
    """And leaves no file open, no handler of logs, and no memory."""
    trial = {"budget": {"frames": 6000, "reports": 2}, "corrections": {"kind": "all"}, "averaging": {"share": 0.1}}
    other = {
        "budget": {"frames": 3000, "reports": 1},
        "seed": 7,
        "model": {"reduction": 4},
        "device": {"threads": 2, "precision": "float32"},
        "optimizer": {"kind": "adamw"},
    }
    alone = configure(tmp_path / "alone", cache, **trial)
    process = start_trainer(alone)
    errors = process.communicate(timeout=TIMEOUT)[1]
    assert process.returncode == ExitCode.FINISHED, errors
    runs = [configure(tmp_path / str(number), cache, **(trial if number == 2 else other)) for number in range(6)]
    seen = []
    with standby() as trainer:
        for run in runs:
            assert train(trainer, run) == b"0\n"
            here = psutil.Process(trainer.pid)
            seen.append((here.num_fds(), here.memory_info().rss))
    ends = [checkpoint_files.load(run.last_checkpoint) for run in (alone, runs[2])]
    for key in ("model", "optimizer", "average", "rng", "best", "norms"):
        assert same(ends[0][key], ends[1][key]), key
    assert measured(runs[2]) == measured(alone)
    logs = [run.log.read_text().count(" started in ") for run in runs]
    assert logs == [1] * len(runs)
    assert len({files for files, _ in seen}) == 1
    assert seen[-1][1] - seen[1][1] < 50e6
