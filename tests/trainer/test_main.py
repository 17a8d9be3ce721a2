"""`python -m trainer` as a process: what it prints, what it leaves behind, and how it ends.

Real processes where signals, standard input or exit codes of the interpreter matter; the rest calls `main` directly.
"""

import fcntl
import json
import logging
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import soundfile
import torch

from trainer import __main__ as door
from trainer import checkpoint
from trainer.config import TrainerConfig, merge
from trainer.faults import is_out_of_memory
from trainer.loop import Training
from trainer.protocol import Event, EventKind, ExitCode, RunDir, read_events
from trainer.stopping import LEAVE_AT_LATEST

PATIENCE = 60.0  # seconds until a process that does not do what it should is given up on
SMALL: dict[str, Any] = {
    "preset": "tiny",
    "corpus": {"source": "demo:en:24", "validation_share": 0.1},
    "model": {
        "embedding_dim": 16,
        "encoder_dim": 16,
        "prenet_dim": 16,
        "attention_rnn_dim": 16,
        "attention_dim": 16,
        "decoder_rnn_dim": 16,
        "postnet_dim": 16,
    },
    "batch": {"size": 8},
    "budget": {"frames": 24_000, "reports": 3},
    "logging": {"progress_every_updates": 2},
    "device": {"name": "cpu", "threads": 1},
}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded corpus and its features, made once."""
    folder = tmp_path_factory.mktemp("cache")
    config = folder / "config.json"
    config.write_text(json.dumps(merge(SMALL, {"paths": {"cache": str(folder)}})))
    assert _main("--config", str(config), "--prepare") == ExitCode.FINISHED
    return folder


def _main(*arguments: str) -> int:
    """Call `main`, and undo what it does to the process that it believes to be its own."""
    handlers, level = logging.root.handlers[:], logging.root.level
    caught = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    logging.root.handlers.clear()
    try:
        return door.main(list(arguments))
    finally:
        for handler in logging.root.handlers:
            handler.close()
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
        for number, action in caught.items():
            signal.signal(number, action)


@pytest.fixture
def signals() -> Iterator[None]:
    """Put back what is done on SIGTERM and Ctrl-C."""
    caught = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, action in caught.items():
        signal.signal(number, action)


def _configure(folder: Path, cache: Path, **changes: Any) -> RunDir:
    """Write config.json of a run whose folder has an awkward name."""
    run = RunDir(folder / "a'; echo foo")
    run.create()
    paths = {"run": str(run.path), "tensorboard": str(folder / "logs 0"), "cache": str(cache)}
    run.config.write_text(json.dumps(merge(merge(SMALL, {"paths": paths}), changes)))
    return run


def _start(run: RunDir, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", "--config", str(run.config), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for(run: RunDir, process: "subprocess.Popen[str]", kind: EventKind, count: int = 1) -> None:
    deadline = time.monotonic() + PATIENCE
    while _kinds(run).count(kind) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"no {kind} event"
        time.sleep(0.05)


def _kinds(run: RunDir) -> list[EventKind]:
    return [event.kind for event in read_events(run.events)[0]]


def _of(run: RunDir, kind: EventKind) -> list[Event]:
    return [event for event in read_events(run.events)[0] if event.kind is kind]


class Interrupted:
    """A run that was sent SIGTERM while it trained, and then resumed to its end."""

    def __init__(self, run: RunDir, tensorboard: Path) -> None:
        self.run, self.tensorboard = run, tensorboard
        process = _start(run)
        try:
            _wait_for(run, process, EventKind.VALIDATION)
            process.send_signal(signal.SIGTERM)
            self.errors = process.communicate(timeout=PATIENCE)[1]
        finally:
            process.kill()
        self.stopped_with = process.returncode
        self.first_part, offset = read_events(run.events)
        self.saved = checkpoint.load(run.last_checkpoint)["progress"]
        again = _start(run)
        try:
            self.errors += again.communicate(timeout=PATIENCE)[1]
        finally:
            again.kill()
        self.finished_with = again.returncode
        self.second_part = read_events(run.events, offset)[0]


@pytest.fixture(scope="module")
def interrupted(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    folder = tmp_path_factory.mktemp("interrupted")
    return Interrupted(_configure(folder, cache), folder / "logs 0")


def test_sigterm_stops_a_run_which_saves_and_says_so(interrupted: Interrupted) -> None:
    assert interrupted.stopped_with == ExitCode.STOPPED
    end = interrupted.first_part[-1]
    assert (end.kind, end.data) == (EventKind.STOPPED, {"reason": "received SIGTERM"})
    assert (interrupted.saved["frames"], interrupted.saved["update"]) == (end.frames, end.update)
    assert 0 < end.frames < 24_000
    assert "stopped: received SIGTERM" in interrupted.errors, "run alone, it says what it does"
    assert "Traceback" not in interrupted.errors


def test_a_run_stopped_by_a_signal_is_resumed_to_its_end(interrupted: Interrupted) -> None:
    assert interrupted.finished_with == ExitCode.FINISHED
    start, end = interrupted.second_part[0], interrupted.second_part[-1]
    assert (start.kind, start.data["resumed"]) == (EventKind.STARTED, True)
    assert (start.frames, start.update) == (interrupted.first_part[-1].frames, interrupted.first_part[-1].update)
    assert end.kind is EventKind.FINISHED
    assert [event.data["index"] for event in _of(interrupted.run, EventKind.VALIDATION)] == [1, 2, 3]
    log = interrupted.run.log.read_text()
    assert "stopped: received SIGTERM" in log
    assert "Traceback" not in log


def test_pictures_of_the_alignment_are_png_files_and_announced(interrupted: Interrupted) -> None:
    told = _of(interrupted.run, EventKind.ARTIFACT)
    pictures = {event.data["path"] for event in told if event.data["what"] in ("alignment", "mel")}
    numbered = {f"alignments/validation-{index:03d}.png" for index in (1, 2, 3)}
    assert pictures == numbered | {f"alignments/{name}.png" for name in ("mel", "free-running", "free-running-mel")}
    for path in pictures:
        content = (interrupted.run.path / path).read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert content[-8:-4] == b"IEND"
        width, height = struct.unpack(">II", content[16:24])
        assert width == 640
        assert height in (400, 430)
    assert {path.suffix for path in interrupted.run.alignments.iterdir()} == {".png"}  # nothing half written is left
    assert all(event.data["text"] for event in told)


def test_samples_are_sound_of_the_announced_texts_one_where_it_was_stopped_and_more_in_the_end(
    interrupted: Interrupted,
) -> None:
    stopped, *finished = (e for e in _of(interrupted.run, EventKind.ARTIFACT) if e.data["what"] == "sample")
    assert stopped in interrupted.first_part
    assert [told.data["path"] for told in finished] == ["samples/sample-short.wav", "samples/sample-middle.wav"]
    assert stopped.data == finished[1].data, "the same sentence, for comparison"
    for told in finished:
        samples, rate = soundfile.read(interrupted.run.path / told.data["path"])
        assert rate == 22050
        assert samples.ndim == 1
        assert len(samples) >= 1024
        assert np.abs(samples).max() > 1e-4
        assert told.data["text"]


def test_tensorboard_shows_the_same_numbers_as_the_events(interrupted: Interrupted) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    written = EventAccumulator(str(interrupted.tensorboard)).Reload()
    for kind, tag in (
        (EventKind.PROGRESS, "train/loss"),
        (EventKind.VALIDATION, "validation/loss"),
        (EventKind.VALIDATION, "validation/alignment"),
        (EventKind.FREE_RUNNING, "free_running/duration_error"),
    ):
        told = [(event.update, event.data[tag.split("/")[1]]) for event in _of(interrupted.run, kind)]
        shown = [(point.step, point.value) for point in written.Scalars(tag)]
        assert [step for step, _ in shown] == [update for update, _ in told]
        assert [value for _, value in shown] == pytest.approx([value for _, value in told], rel=1e-6)


def test_tensorboard_shows_the_same_sentences_at_each_validation_and_in_the_end(interrupted: Interrupted) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    written = EventAccumulator(str(interrupted.tensorboard), size_guidance={"images": 0}).Reload()
    validated = [event.update for event in _of(interrupted.run, EventKind.VALIDATION)]
    end = interrupted.second_part[-1].update
    for what, steps in (
        ("alignment", validated),
        ("mel", validated),
        ("free_running_alignment", [end]),
        ("free_running_mel", [end]),
    ):
        for sentence in ("short", "middle"):  # two clips are for validation
            pictures = written.Images(f"{what}/{sentence}")
            assert [picture.step for picture in pictures] == steps
            assert all(picture.encoded_image_string[:4] == b"\x89PNG" for picture in pictures)
    assert sorted(written.Tags()["audio"]) == ["sample/middle", "sample/short"]
    told = {e.data["text"] for e in _of(interrupted.run, EventKind.ARTIFACT) if e.data["what"] == "alignment"}
    (sentences,) = written.Tensors("sentences/text_summary")
    assert len(told) == 1
    assert f"- **middle**: {told.pop()}" in sentences.tensor_proto.string_val[0].decode()


def test_of_the_middle_sentence_the_file_is_what_tensorboard_shows(interrupted: Interrupted) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    written = EventAccumulator(str(interrupted.tensorboard)).Reload()
    run = interrupted.run
    for tag, path in (
        ("alignment/middle", "validation-003.png"),
        ("mel/middle", "mel.png"),
        ("free_running_alignment/middle", "free-running.png"),
    ):
        assert written.Images(tag)[-1].encoded_image_string == (run.alignments / path).read_bytes()
    *_, sound = written.Audio("sample/middle")  # the first is what it said when it was stopped
    assert sound.encoded_audio_string == (run.samples / "sample-middle.wav").read_bytes()


def test_the_page_to_watch_is_laid_out_once_and_names_curves_that_there_are(interrupted: Interrupted) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

    written = EventAccumulator(str(interrupted.tensorboard)).Reload()
    (layout,) = written.Tensors("custom_scalars__config__")
    charts = [
        chart for category in Layout.FromString(layout.tensor_proto.string_val[0]).category for chart in category.chart
    ]
    assert len(charts) > 5
    curves = written.Tags()["scalars"]
    for chart in charts:
        for pattern in chart.multiline.tag:
            assert [curve for curve in curves if re.match(pattern, curve)] == [pattern.strip("^$")]


def test_a_tied_run_stops_when_its_watcher_is_gone_and_a_killed_one_leaves_readable_events(
    cache: Path, tmp_path: Path
) -> None:
    plain = {"tensorboard": False, "pictures": False, "samples": False}
    long = {"frames": 10_000_000, "reports": 1000}
    runs = [_configure(tmp_path / name, cache, logging=plain, budget=long) for name in ("tied", "killed")]
    processes = [_start(run, "--tied") for run in runs]
    try:
        for run, process in zip(runs, processes, strict=True):
            _wait_for(run, process, EventKind.CHECKPOINT, count=2)  # the first is best.pt, the second last.pt
            assert process.poll() is None, "an open standard input is no reason to stop"
        watched, killed = processes
        assert watched.stdin is not None
        watched.stdin.close()
        killed.kill()
        assert watched.wait(LEAVE_AT_LATEST / 2) == ExitCode.STOPPED
        assert killed.wait(PATIENCE) == -signal.SIGKILL
    finally:
        for process in processes:
            process.kill()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
            process.wait()
    end = read_events(runs[0].events)[0][-1]
    assert end.kind is EventKind.STOPPED
    assert "watched" in end.data["reason"]
    assert checkpoint.load(runs[0].last_checkpoint)["progress"]["update"] == end.update
    left = _kinds(runs[1])
    assert left[0] is EventKind.STARTED
    assert not {EventKind.STOPPED, EventKind.FAILED, EventKind.FINISHED} & set(left)
    assert checkpoint.load(runs[1].last_checkpoint)["progress"]["update"] > 0


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ('{"preset": "tiny"}', 0, "fine"),
        ('{"optimizer": {"learning_rate": 1}}', 2, "`optimizer.learning_rate` is no known key"),
        ("{", 2, "is not valid JSON"),
    ],
)
def test_a_configuration_is_checked_without_training(tmp_path: Path, content: str, code: int, words: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "trainer", "--check", "--config", str(path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(door.__file__).parents[1])},
        check=False,
    )
    errors = [line for line in result.stderr.splitlines() if not line.startswith("import time:")]
    said = result.stdout.splitlines() + errors
    assert result.returncode == code
    assert len(said) == 1  # one paragraph, no traceback
    assert said[0].startswith(str(path))
    assert words in said[0]
    assert "torch" not in result.stderr.replace(str(path), "")  # nobody waits for it
    assert list(tmp_path.iterdir()) == [path]


def test_a_configuration_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main("--config", str(tmp_path / "none.json")) == ExitCode.BAD_INPUT
    assert capsys.readouterr().err == f"{tmp_path}/none.json: cannot be read (No such file or directory).\n"


@pytest.mark.parametrize("arguments", [[], ["--config"], ["--config", "x", "--check", "--prepare"], ["--dance"]])
def test_wrong_arguments_end_as_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        door.main(arguments)
    assert left.value.code == ExitCode.BAD_INPUT
    assert "usage: python -m trainer" in capsys.readouterr().err


def test_preparing_again_computes_nothing_and_sums_up(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _configure(tmp_path, cache)
    assert _main("--config", str(run.config), "--prepare", "--progress", "json") == ExitCode.FINISHED
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (summary,) = (line["prepared"] for line in said if "prepared" in line)
    assert summary["train"] + summary["validation"] == 24
    assert summary["minutes"] == pytest.approx(summary["frames"] * 256 / 22050 / 60, abs=0.01)
    assert not any("done" in line for line in said)
    assert _main("--config", str(run.config), "--prepare") == ExitCode.FINISHED
    assert capsys.readouterr().out == f"ready: {summary}\n"
    assert not run.events.exists()


def test_preparing_shows_its_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("json", "text"):
        run = _configure(tmp_path / form, tmp_path / form, corpus={"source": "demo:en:2", "validation_share": 0.5})
        assert _main("--config", str(run.config), "--prepare", "--progress", form) == ExitCode.FINISHED
        out, err = capsys.readouterr()
        if form == "json":
            steps = [json.loads(line) for line in out.splitlines()][:-1]
            assert {"done": 2, "total": 2, "what": "log-mel features"} in steps
        else:
            assert "log-mel features: 2/2\n" in err


def test_a_corpus_that_is_not_there_ends_as_bad_input_and_as_an_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _configure(tmp_path, tmp_path, corpus={"source": str(tmp_path / "no such corpus")})
    assert _main("--config", str(run.config)) == ExitCode.BAD_INPUT
    said = capsys.readouterr().err
    assert "no such corpus" in said
    assert "Traceback" not in said
    (event,) = read_events(run.events)[0]
    assert (event.kind, event.data) == (EventKind.FAILED, {"reason": said.strip(), "exit_code": 2})
    assert _main("--config", str(run.config), "--prepare") == ExitCode.BAD_INPUT


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
def test_an_error_within_the_run_is_logged_and_told(
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
    run = _configure(tmp_path, cache)
    assert _main("--config", str(run.config)) == code
    said = capsys.readouterr().err.strip()
    reason = f"{type(error).__name__}: {error}".strip()
    assert said.endswith(reason)
    end = read_events(run.events)[0][-1]
    assert (end.kind, end.data["exit_code"]) == (EventKind.FAILED, int(code))
    assert end.data["reason"].strip() == reason
    assert "Traceback (most recent call last)" in run.log.read_text()


def test_a_memory_that_does_not_suffice_is_recognised_as_torch_says_it() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)
    assert not is_out_of_memory(RuntimeError("shapes differ"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_becomes_the_reason_to_stop(number: signal.Signals, signals: None) -> None:
    stop = door.StopRequest()
    stop.listen()
    assert stop.reason is None
    signal.raise_signal(number)
    assert stop.reason == f"received {number.name}"


def test_a_second_ctrl_c_ends_at_once(signals: None) -> None:
    stop = door.StopRequest()
    stop.listen()
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_run_in_this_process_leaves_its_configuration_in_the_first_event(cache: Path, tmp_path: Path) -> None:
    run = _configure(tmp_path, cache, budget={"frames": 2000, "reports": 1})
    assert _main("--config", str(run.config)) == ExitCode.FINISHED
    start = read_events(run.events)[0][0]
    assert TrainerConfig.from_mapping(start.data["config"]) == TrainerConfig.load(run.config)
    assert "first text as the model sees it" in run.log.read_text()


def test_torch_and_numpy_are_enough_to_train(cache: Path, tmp_path: Path) -> None:
    others = ("librosa", "soundfile", "num2words", "espeakng_loader", "matplotlib", "tensorboard", "pydantic")
    others += ("yaml", "rich", "psutil", "optuna", "mlflow")
    run = _configure(tmp_path, cache, logging={"tensorboard": False, "pictures": False, "samples": False})
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({others!r}));"
        f"from trainer.__main__ import main; sys.exit(main(['--config', {str(run.config)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.FINISHED, done.stderr
    assert _kinds(run)[-1] == EventKind.FINISHED


@pytest.mark.parametrize("arguments", [[], ["--prepare"]])
def test_asked_to_stop_while_the_corpus_is_prepared_it_leaves(tmp_path: Path, arguments: list[str]) -> None:
    run = _configure(tmp_path, tmp_path / "cache", corpus={"source": "demo:en:1000"})
    process = _start(run, *arguments)
    try:
        _wait_for_speech(tmp_path / "cache", process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == ExitCode.STOPPED
    assert said == "received SIGINT; what is prepared is kept, and the same command goes on\n"
    told = [(event.kind, event.data) for event in read_events(run.events)[0]]
    assert told == ([] if arguments else [(EventKind.STOPPED, {"reason": "received SIGINT"})])


def test_preparation_ends_when_the_process_that_watches_is_gone(tmp_path: Path) -> None:
    run = _configure(tmp_path, tmp_path / "cache", corpus={"source": "demo:en:1000"})
    with _start(run, "--prepare", "--tied") as process:
        try:
            _wait_for_speech(tmp_path / "cache", process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(PATIENCE) == ExitCode.STOPPED
        finally:
            process.kill()
    assert not list((tmp_path / "cache" / "corpora").iterdir())


def _wait_for_speech(cache: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE
    while not list(cache.rglob("*.wav")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_trainers_are_kept_apart(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _configure(tmp_path, cache, budget={"frames": 10**9, "reports": 3})
    process = _start(run)
    try:
        _wait_for(run, process, EventKind.PROGRESS)
        assert _main("--config", str(run.config)) == ExitCode.BAD_INPUT
        assert "another trainer is at work there" in capsys.readouterr().err
    finally:
        process.kill()
        process.communicate()
    assert EventKind.FAILED not in _kinds(run)


@pytest.fixture
def occupied(tmp_path: Path) -> Iterator[tuple[RunDir, IO[str]]]:
    """A run in whose folder another trainer is at work, and that one's lock."""
    run = _configure(tmp_path, tmp_path / "cache", corpus={"source": str(tmp_path / "none")})
    with (run.path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield run, lock


def test_a_watched_trainer_waits_for_the_one_before_it(occupied: tuple[RunDir, IO[str]]) -> None:
    run, lock = occupied
    with _start(run, "--tied") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        assert not run.events.exists()
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert process.wait(PATIENCE) == ExitCode.BAD_INPUT  # it began, and found no corpus
    assert _kinds(run) == [EventKind.FAILED]


def test_a_watched_trainer_that_waits_can_be_stopped(occupied: tuple[RunDir, IO[str]]) -> None:
    run, _ = occupied
    with _start(run, "--tied") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(door.LOCK_PATIENCE / 3) == ExitCode.STOPPED
    assert not run.events.exists()


def test_a_watched_trainer_that_waits_in_vain_leaves_the_record_alone(occupied: tuple[RunDir, IO[str]]) -> None:
    run, _ = occupied
    script = (
        "import sys; from trainer import __main__ as door; door.LOCK_PATIENCE = 0.3;"
        f"sys.exit(door.main(['--config', {str(run.config)!r}, '--tied']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.wait(PATIENCE) == ExitCode.STOPPED
        assert process.stderr is not None
        assert f"another trainer is at work in {run.path}" in process.stderr.read()
    assert not run.events.exists()
    assert not run.log.exists()


@pytest.mark.parametrize("key", ["run", "cache", "tensorboard"])
def test_a_folder_that_cannot_be_made_is_told(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    (tmp_path / "file").touch()
    run = _configure(tmp_path, cache, paths={key: str(tmp_path / "file" / "below")})
    assert _main("--config", str(run.config)) == ExitCode.BAD_INPUT
    said = capsys.readouterr().err
    assert said.startswith(f"`paths.{key}`: ")
    assert "no such folder can be made (Not a directory)" in said


@pytest.mark.parametrize("order", ["\n", "nonsense\n", '{"konfig": 3}\n', "3\n", "[" * 100_000 + "\n"])
def test_an_order_that_is_none_is_refused(tmp_path: Path, order: str) -> None:
    command = [sys.executable, "-m", "trainer", "--standby"]
    done = subprocess.run(command, input=order, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr.startswith('Standard input must say {"config": "FILE"} in one line, but got ')
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["none/config.json", "file/config.json", "zero\0byte/config.json", "x" * 300 + "/c"])
def test_an_order_to_train_where_no_folder_is_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "trainer", "--standby"]
    order = json.dumps({"config": f"{tmp_path}/{name}"}) + "\n"
    done = subprocess.run(command, input=order, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == ExitCode.BAD_INPUT
    assert "trainer.log: cannot be written (" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [None, "[" * 100_000, "[]"])
def test_an_order_whose_configuration_cannot_be_used_is_told_in_its_log(tmp_path: Path, content: str | None) -> None:
    run = RunDir(tmp_path)
    if content is None:
        run.config.mkdir()
    else:
        run.config.write_text(content)
    command = [sys.executable, "-m", "trainer", "--standby"]
    order = json.dumps({"config": str(run.config)}) + "\n"
    done = subprocess.run(command, input=order, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == ExitCode.BAD_INPUT
    assert run.log.read_text().startswith(str(run.config))
    assert "Traceback" not in run.log.read_text()
