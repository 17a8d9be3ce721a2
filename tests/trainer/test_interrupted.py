"""One run as a process, stopped by a signal and resumed to its end: its events, pictures, samples and logs."""

import re
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from trainer_process import TIMEOUT, configure, start_trainer, wait_for_event

from trainer import checkpoint_files
from trainer.protocol import Event, EventKind, EventReader, ExitCode, RunDir, all_events


def _of(run: RunDir, kind: EventKind) -> list[Event]:
    return [event for event in all_events(run.events) if event.kind is kind]


class Interrupted:
    """A run that was sent SIGTERM while it trained, and then resumed to its end."""

    def __init__(self, run: RunDir, tensorboard: Path) -> None:
        self.run, self.tensorboard = run, tensorboard
        process = start_trainer(run)
        try:
            wait_for_event(run, process, EventKind.VALIDATION)
            process.send_signal(signal.SIGTERM)
            self.errors = process.communicate(timeout=TIMEOUT)[1]
        finally:
            process.kill()
        self.stopped_with = process.returncode
        record = EventReader(run.events)
        self.first_part = list(record.read())
        self.saved = checkpoint_files.load(run.last_checkpoint)["progress"]
        again = start_trainer(run)
        try:
            self.errors += again.communicate(timeout=TIMEOUT)[1]
        finally:
            again.kill()
        self.finished_with = again.returncode
        self.second_part = list(record.read())


@pytest.fixture(scope="module")
def interrupted(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    folder = tmp_path_factory.mktemp("interrupted")
    config = {"validation": {"alignment_floor": 0.0}}  # in so short a run no report aligns
    return Interrupted(configure(folder, cache, **config), folder / "logs 0")


def test_sigterm_stops_a_run_which_saves_and_reports_it(interrupted: Interrupted) -> None:
    assert interrupted.stopped_with == ExitCode.STOPPED
    end = interrupted.first_part[-1]
    assert (end.kind, end.data) == (EventKind.STOPPED, {"reason": "received SIGTERM", "kernels": "torch"})
    assert (interrupted.saved["frames"], interrupted.saved["update"]) == (end.frames, end.update)
    assert 0 < end.frames < 24_000
    assert "stopped: received SIGTERM" in interrupted.errors, "without a watcher, it logs to standard error"
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


def test_pictures_are_png_files_and_have_events(interrupted: Interrupted) -> None:
    artifacts = _of(interrupted.run, EventKind.ARTIFACT)
    pictures = {event.data["path"] for event in artifacts if event.data["what"] in ("alignment", "mel")}
    numbered = {f"alignments/validation-{index:03d}.png" for index in (1, 2, 3)}
    spoken = {
        event.data["path"] for event in artifacts if event.data["free_running"] and event.data["what"] != "sample"
    }
    assert spoken == {"alignments/free-running.png", "alignments/free-running-mel.png"}
    assert pictures == numbered | {f"alignments/{name}.png" for name in ("mel", "free-running", "free-running-mel")}
    for path in pictures:
        content = (interrupted.run.path / path).read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert content[-8:-4] == b"IEND"
        width, height = struct.unpack(">II", content[16:24])
        assert width == 640
        assert height in (400, 430)
    assert {path.suffix for path in interrupted.run.alignments.iterdir()} == {".png"}  # nothing half written is left
    assert all(event.data["text"] for event in artifacts)


def test_one_sample_is_written_at_the_stop_and_more_at_the_end(
    interrupted: Interrupted,
) -> None:
    stopped, *finished = (e for e in _of(interrupted.run, EventKind.ARTIFACT) if e.data["what"] == "sample")
    assert stopped in interrupted.first_part
    assert [event.data["path"] for event in finished] == ["samples/sample-short.wav", "samples/sample-middle.wav"]
    assert stopped.data == finished[1].data, "the same sentence, for comparison"
    for event in finished:
        samples, rate = soundfile.read(interrupted.run.path / event.data["path"])
        assert rate == 22050
        assert samples.ndim == 1
        assert len(samples) >= 1024
        assert np.abs(samples).max() > 1e-4
        assert event.data["text"]


def test_tensorboard_shows_the_same_numbers_as_the_events(interrupted: Interrupted) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    written = EventAccumulator(str(interrupted.tensorboard)).Reload()
    for kind, tag in (
        (EventKind.PROGRESS, "train/loss"),
        (EventKind.VALIDATION, "validation/loss"),
        (EventKind.VALIDATION, "validation/alignment"),
        (EventKind.FREE_RUNNING, "free_running/duration_error"),
    ):
        logged = [(event.update, event.data[tag.split("/")[1]]) for event in _of(interrupted.run, kind)]
        shown = [(point.step, point.value) for point in written.Scalars(tag)]
        assert [step for step, _ in shown] == [update for update, _ in logged]
        assert [value for _, value in shown] == pytest.approx([value for _, value in logged], rel=1e-6)


def test_tensorboard_shows_the_same_sentences_at_each_validation_and_at_the_end(interrupted: Interrupted) -> None:
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
    texts = {e.data["text"] for e in _of(interrupted.run, EventKind.ARTIFACT) if e.data["what"] == "alignment"}
    (sentences,) = written.Tensors("sentences/text_summary")
    assert len(texts) == 1
    assert f"- **middle**: {texts.pop()}" in sentences.tensor_proto.string_val[0].decode()


def test_the_middle_sentences_files_are_what_tensorboard_shows(interrupted: Interrupted) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    written = EventAccumulator(str(interrupted.tensorboard)).Reload()
    run = interrupted.run
    for tag, path in (
        ("alignment/middle", "validation-003.png"),
        ("mel/middle", "mel.png"),
        ("free_running_alignment/middle", "free-running.png"),
    ):
        assert written.Images(tag)[-1].encoded_image_string == (run.alignments / path).read_bytes()
    *_, sound = written.Audio("sample/middle")  # the first is from the stop
    assert sound.encoded_audio_string == (run.samples / "sample-middle.wav").read_bytes()


def test_the_custom_scalars_page_is_written_once_and_names_existing_curves(interrupted: Interrupted) -> None:
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
