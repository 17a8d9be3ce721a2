"""A full disk and too little memory have their own exit codes, and saved work stays.

Real disks of a few hundred kilobytes, where this process may mount them, and real memory limits.
"""

import errno
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_features import random_features

from trainer import __main__ as entry
from trainer import checkpoint_files
from trainer.config import TrainerConfig
from trainer.data import features
from trainer.dotted import merge
from trainer.errors import ConfigError, CorpusError
from trainer.exit_codes import exit_code_of
from trainer.exit_reports import report_failure, set_up_logging
from trainer.loop import Training
from trainer.protocol import EventKind, ExitCode, RunDir, all_events
from trainer.stopping import StopRequest

KB = 1024
SMALL: dict[str, Any] = {
    "preset": "tiny",
    "audio": {"n_mels": 8},
    "model": {
        "embedding_dim": 16,
        "encoder_dim": 16,
        "encoder_convolutions": 1,
        "prenet_dim": 8,
        "attention_rnn_dim": 16,
        "attention_dim": 8,
        "location_filters": 4,
        "location_kernel": 7,
        "decoder_rnn_dim": 16,
        "postnet_dim": 8,
        "postnet_convolutions": 2,
    },
    "batch": {"size": 4},
    "budget": {"frames": 4000, "reports": 4},
    "logging": {"tensorboard": False, "pictures": False, "samples": False},
    "device": {"name": "cpu", "threads": 1},
}


def _fill(*files: Path) -> None:
    """Append to these files until the disk has no byte left."""
    for path in files:
        with path.open("ab", buffering=0) as file:
            for size in (4096, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"\n" * size)


def _configure(folder: Path, **changes: Any) -> RunDir:
    run = RunDir(folder / "run")
    run.create()
    paths = {"paths": {"run": str(run.path), "cache": str(folder / "cache")}}
    run.config.write_text(json.dumps(merge(merge(SMALL, paths), changes)))
    return run


@contextmanager
def _without_handlers() -> Iterator[None]:
    """Without the root logger's handlers, also pytest's; handlers added meanwhile are closed."""
    handlers, level = logging.root.handlers[:], logging.root.level
    logging.root.handlers.clear()
    try:
        yield
    finally:
        for handler in logging.root.handlers:
            with suppress(OSError):
                handler.close()
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Callable[[RunDir], int]:
    """Calls the trainer's `main` in this process, on features of noise."""
    noise = random_features(TrainerConfig.from_mapping(SMALL), utterances=44, seconds=0.5, seed=1)
    monkeypatch.setattr(features, "open_features", lambda config, progress: noise)
    monkeypatch.setattr(StopRequest, "listen", lambda _: None)

    def train(run: RunDir) -> int:
        with _without_handlers():
            return entry.main(["--config", str(run.config)])

    return train


def _caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        *((OSError(number, "words"), ExitCode.NO_SPACE) for number in (28, errno.EDQUOT, errno.EROFS, errno.EIO)),
        (OSError(errno.ENOENT, "words"), ExitCode.CRASHED),
        (OSError("100 requested and 0 written"), ExitCode.NO_SPACE),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), ExitCode.NO_SPACE),
        (RuntimeError("PytorchStreamWriter failed writing file data/7: file write failed"), ExitCode.NO_SPACE),
        (RuntimeError("shapes differ"), ExitCode.CRASHED),
        (ValueError("unexpected pos"), ExitCode.CRASHED),
        (ConfigError("no such key"), ExitCode.BAD_INPUT),
        (PermissionError(errno.EACCES, "denied", "clip.wav"), ExitCode.BAD_INPUT),
        (_caused(ConfigError("no folder"), OSError(errno.EROFS, "read-only")), ExitCode.NO_SPACE),
        (_caused(ConfigError("no folder"), OSError(errno.ENOTDIR, "no directory")), ExitCode.BAD_INPUT),
        (_caused(RuntimeError("closing"), OSError(28, "full")), ExitCode.NO_SPACE),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), ExitCode.OUT_OF_MEMORY),
        (OSError("libx.so: failed to map segment: Cannot allocate memory"), ExitCode.OUT_OF_MEMORY),
        (MemoryError(), ExitCode.OUT_OF_MEMORY),
        (np._core._exceptions._ArrayMemoryError((9,), np.dtype("f4")), ExitCode.OUT_OF_MEMORY),  # type: ignore[attr-defined]
        (RuntimeError("std::bad_alloc"), ExitCode.OUT_OF_MEMORY),
        (RuntimeError("unable to mmap 1000 bytes: Cannot allocate memory (12)"), ExitCode.OUT_OF_MEMORY),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), ExitCode.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: out of memory"), ExitCode.OUT_OF_MEMORY),
        (RuntimeError("could not create a primitive"), ExitCode.OUT_OF_MEMORY),
        (RuntimeError("could not create a primitive descriptor for a matmul primitive"), ExitCode.CRASHED),
        (_caused(CorpusError("cannot be mapped"), OSError(errno.ENOMEM, "mmap")), ExitCode.OUT_OF_MEMORY),
    ],
)
def test_the_exit_code_of_an_exception(error: Exception, code: ExitCode) -> None:
    assert exit_code_of(error) is code


@pytest.mark.parametrize("numbers", [60_000, 5_000_000])
def test_a_checkpoint_without_space_leaves_the_old_one_whole(disk: Callable[[int], Path], numbers: int) -> None:
    folder = disk(600 * KB)
    path, keep = folder / "last.pt", folder / "previous.pt"
    for i in (1, 2):
        checkpoint_files.save(path, {"model": {"a": torch.full((50_000,), float(i))}}, keep)  # 200 kB
    with pytest.raises(OSError, match="No space left") as full:
        checkpoint_files.save(path, {"model": {"a": torch.zeros(numbers)}}, keep)
    assert full.value.errno == errno.ENOSPC
    assert [int(checkpoint_files.load(each)["model"]["a"][0]) for each in (path, keep)] == [2, 1]
    assert sorted(folder.iterdir()) == [path, keep]


def test_torchs_errors_about_a_full_disk_are_recognised(disk: Callable[[int], Path]) -> None:
    folder = disk(100 * KB)
    for numbers in (100, 100_000):
        _fill(folder / "filler")
        with pytest.raises(RuntimeError) as refused:
            torch.save({"a": torch.zeros(numbers)}, folder / "a.pt")
        assert exit_code_of(refused.value) is ExitCode.NO_SPACE
        (folder / "filler").unlink()
        (folder / "a.pt").unlink()


def test_numpys_error_about_a_full_disk_is_recognised(disk: Callable[[int], Path]) -> None:
    folder = disk(100 * KB)
    _fill(folder / "filler")
    with (folder / "b").open("wb") as file, pytest.raises(OSError, match="requested") as refused:
        np.zeros(10_000).tofile(file)
    assert exit_code_of(refused.value) is ExitCode.NO_SPACE


def test_a_run_whose_disk_fills_up_reports_it_and_can_be_resumed(
    disk: Callable[[int], Path], train: Callable[[RunDir], int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = disk(620 * KB)  # a checkpoint has 200 kB, best.pt 70: too little for three and best.pt
    run = _configure(folder, logging={"checkpoint_every_seconds": 0})
    assert train(run) == ExitCode.NO_SPACE
    saved = checkpoint_files.load(run.last_checkpoint)["progress"]
    assert saved["update"] == 2
    assert checkpoint_files.load(run.previous_checkpoint)["progress"]["update"] == 1
    end = all_events(run.events)[-1]
    assert (end.kind, end.data["exit_code"]) == (EventKind.FAILED, 13)
    assert "No space left on device" in end.data["reason"]
    assert "No space left on device" in capsys.readouterr().err
    assert {path.name for path in run.last_checkpoint.parent.iterdir()} <= {"last.pt", "previous.pt", "best.pt"}
    subprocess.run(["mount", "-o", "remount,size=4m", str(folder)], check=True)
    assert train(run) == ExitCode.FINISHED
    start = [event for event in all_events(run.events) if event.kind is EventKind.STARTED][-1]
    assert (start.data["resumed"], start.update) == (True, saved["update"])


def test_a_disk_without_a_byte_left_does_not_hide_the_exit_code(
    disk: Callable[[int], Path],
    train: Callable[[RunDir], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = disk(600 * KB)
    run = _configure(folder)
    before = []

    def fill_up(training: Training) -> None:
        before.extend(all_events(run.events))
        _fill(folder / "filler", run.events)
        for i in range(1000):
            logging.getLogger("trainer").warning("%d %s", i, "x" * 500)
        checkpoint_files.save(run.last_checkpoint, {"model": {}})

    monkeypatch.setattr(Training, "_report_progress", fill_up)
    assert train(run) == ExitCode.NO_SPACE
    assert "Logging error" not in capsys.readouterr().err
    assert before[0].kind is EventKind.STARTED
    assert all_events(run.events) == before


@pytest.mark.parametrize("what", ["run", "log"])
def test_a_read_only_disk_is_reported(
    disk: Callable[[int], Path], train: Callable[[RunDir], int], capsys: pytest.CaptureFixture[str], what: str
) -> None:
    folder = disk(100 * KB)
    run = _configure(folder)
    if what == "run":
        run = RunDir(folder / "config")
        run.path.mkdir()
        deep = {"run": str(folder / "a" / "b"), "cache": str(folder / "c")}
        run.config.write_text(json.dumps(merge(SMALL, {"paths": deep})))
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    assert train(run) == ExitCode.NO_SPACE
    errors = capsys.readouterr().err
    assert "Read-only file system" in errors
    assert "Traceback" not in errors


def test_log_lines_that_cannot_be_written_are_dropped(
    disk: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = disk(100 * KB)
    with _without_handlers():
        set_up_logging(folder / "trainer.log", quiet=True)
        _fill(folder / "filler")
        for _ in range(100):
            logging.error("x" * 1000)
        (folder / "filler").unlink()
        logging.error("after")
        assert capsys.readouterr().err == ""
        assert (folder / "trainer.log").read_text().endswith("ERROR after\n")
        logging.error("%d", "no number")  # our own mistakes are still reported
        assert "Logging error" in capsys.readouterr().err


def test_a_failure_report_that_cannot_be_written_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir(tmp_path)
    run.events.symlink_to("/dev/full")
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert report_failure(run, "boom", ExitCode.CRASHED) is ExitCode.CRASHED
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # closing it flushes the rest


# Arguments: the configuration, and how many more bytes the process may allocate.
LIMITED = """
import resource, sys
from pathlib import Path
import trainer.loop
from random_features import random_features
from trainer import __main__ as entry
from trainer.config import TrainerConfig
from trainer.data import features
from trainer.device import warm_up
warm_up()
config = TrainerConfig.load(Path(sys.argv[1]))
noise = random_features(config, utterances=200, seconds=4.0, seed=1)
features.open_features = lambda config, progress: noise
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + int(sys.argv[2]),) * 2)
entry._leave(entry.main(["--config", sys.argv[1]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc and RLIMIT_AS")
@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"model": {"decoder_rnn_dim": 2048, "attention_rnn_dim": 2048}}, 50_000 * KB),  # while the model is built
        # In the first update. The block that does not fit must be large: with a few MB left, the allocation that fails
        # may be one of coverage's tracer in the same process, which does not check for that.
        pytest.param({"batch": {"size": 192}}, 300_000 * KB, marks=pytest.mark.slow),
    ],
)
def test_too_little_memory_ends_as_out_of_memory(tmp_path: Path, changes: dict[str, Any], more: int) -> None:
    run = _configure(tmp_path, **changes)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "support"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(run.config), str(more)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == ExitCode.OUT_OF_MEMORY, done.stderr
    end = all_events(run.events)[-1]
    assert (end.kind, end.data["exit_code"]) == (EventKind.FAILED, 12)


def test_a_checkpoint_too_large_for_memory_is_not_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir(tmp_path)
    run.create()
    checkpoint_files.save(run.last_checkpoint, {"model": {}})

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "load", refuse)
        with pytest.raises(RuntimeError, match="allocate"):
            checkpoint_files.newest(run)
    assert checkpoint_files.newest(run) == {"model": {}}
