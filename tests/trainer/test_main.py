"""`python -m trainer`: arguments, messages about bad input and errors, and exit codes.

Real processes where signals, standard input or the interpreter's exit code matter; the other tests call `main`.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from trainer_process import call_main, configure, kinds_of

from trainer import __main__ as entry
from trainer.config import TrainerConfig
from trainer.exit_codes import is_out_of_memory
from trainer.loop import Training
from trainer.protocol import EventKind, ExitCode, all_events


@pytest.fixture
def signals() -> Iterator[None]:
    """Restore the handlers of SIGTERM and Ctrl-C."""
    caught = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, action in caught.items():
        signal.signal(number, action)


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ('{"preset": "tiny"}', 0, "fine"),
        ('{"optimizer": {"learning_rate": 1}}', 2, "`optimizer.learning_rate` is no known key"),
        ("{", 2, "is not valid JSON"),
    ],
)
def test_a_configuration_is_checked_without_training(tmp_path: Path, content: str, code: int, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "trainer", "--check", "--config", str(path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(entry.__file__).parents[1])},
        check=False,
    )
    errors = [line for line in result.stderr.splitlines() if not line.startswith("import time:")]
    messages = result.stdout.splitlines() + errors
    assert result.returncode == code
    assert len(messages) == 1  # one paragraph, no traceback
    assert messages[0].startswith(str(path))
    assert message in messages[0]
    assert "torch" not in result.stderr.replace(str(path), "")  # its import takes seconds
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_configuration_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_main("--config", str(tmp_path / "none.json")) == ExitCode.BAD_INPUT
    assert capsys.readouterr().err == f"{tmp_path}/none.json: cannot be read (No such file or directory).\n"


def test_a_trainer_that_waits_needs_no_configuration_that_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert entry._like(None) is entry._like(path) is None
    path.write_text('{"preset": "huge"}')
    assert entry._like(path) is None
    path.write_text('{"batch": {"size": 7}}')
    like = entry._like(path)
    assert like is not None
    assert like.batch.size == 7


@pytest.mark.parametrize(
    "arguments",
    [[], ["--config"], ["--config", "x", "--check", "--prepare"], ["--config", "x", "--like", "y"], ["--dance"]],
)
def test_wrong_arguments_end_as_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        entry.main(arguments)
    assert left.value.code == ExitCode.BAD_INPUT
    assert "usage: python -m trainer" in capsys.readouterr().err


def test_a_missing_corpus_is_bad_input_and_reported_as_an_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = configure(tmp_path, tmp_path, corpus={"source": str(tmp_path / "no such corpus")})
    assert call_main("--config", str(run.config)) == ExitCode.BAD_INPUT
    shown = capsys.readouterr().err
    assert "no such corpus" in shown
    assert "Traceback" not in shown
    (event,) = all_events(run.events)
    assert (event.kind, event.data) == (EventKind.FAILED, {"reason": shown.strip(), "exit_code": 2})
    assert call_main("--config", str(run.config), "--prepare") == ExitCode.BAD_INPUT


@pytest.mark.parametrize("key", ["run", "cache", "tensorboard"])
def test_a_folder_that_cannot_be_made_is_reported(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    (tmp_path / "file").touch()
    run = configure(tmp_path, cache, paths={key: str(tmp_path / "file" / "below")})
    assert call_main("--config", str(run.config)) == ExitCode.BAD_INPUT
    shown = capsys.readouterr().err
    assert shown.startswith(f"`paths.{key}`: ")
    assert "this folder cannot be made (Not a directory)" in shown


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ZeroDivisionError("by zero"), ExitCode.CRASHED),
        (OSError(2, "No such file or directory"), ExitCode.CRASHED),
        (OSError(28, "No space left on device"), ExitCode.NO_SPACE),
        (MemoryError(), ExitCode.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory"), ExitCode.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), ExitCode.OUT_OF_MEMORY),
    ],
)
def test_an_error_during_the_run_is_logged_and_reported(
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: ExitCode,
) -> None:
    def crash(training: Training) -> ExitCode:
        raise error

    monkeypatch.setattr(Training, "run", crash)
    run = configure(tmp_path, cache)
    assert call_main("--config", str(run.config)) == code
    shown = capsys.readouterr().err.strip()
    reason = f"{type(error).__name__}: {error}".strip()
    assert shown.endswith(reason)
    end = all_events(run.events)[-1]
    assert (end.kind, end.data["exit_code"]) == (EventKind.FAILED, int(code))
    assert end.data["reason"].strip() == reason
    assert "Traceback (most recent call last)" in run.log.read_text()


def test_torchs_error_about_too_little_memory_is_recognised() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)
    assert not is_out_of_memory(RuntimeError("shapes differ"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_becomes_the_reason_to_stop(number: signal.Signals, signals: None) -> None:
    stop = entry.StopRequest()
    stop.listen()
    assert stop.reason is None
    signal.raise_signal(number)
    assert stop.reason == f"received {number.name}"


def test_a_second_ctrl_c_stops_at_once(signals: None) -> None:
    stop = entry.StopRequest()
    stop.listen()
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_first_event_holds_the_configuration(cache: Path, tmp_path: Path) -> None:
    run = configure(tmp_path, cache, budget={"frames": 2000, "reports": 1})
    assert call_main("--config", str(run.config)) == ExitCode.FINISHED
    start = all_events(run.events)[0]
    assert TrainerConfig.from_mapping(start.data["config"]) == TrainerConfig.load(run.config)
    assert "first text as the model sees it" in run.log.read_text()


def test_torch_and_numpy_are_enough_to_train(cache: Path, tmp_path: Path) -> None:
    others = ("soxr", "soundfile", "num2words", "espeakng_loader", "matplotlib", "tensorboard", "pydantic")
    others += ("yaml", "rich", "psutil", "optuna", "mlflow")
    run = configure(tmp_path, cache, logging={"tensorboard": False, "pictures": False, "samples": False})
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({others!r}));"
        f"from trainer.__main__ import main; sys.exit(main(['--config', {str(run.config)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.FINISHED, done.stderr
    assert kinds_of(run)[-1] == EventKind.FINISHED
