"""Training on a GPU: a real one where there is one, else a fake one that refuses what torch refuses."""

import math
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_cuda import FakeCuda
from fake_cuda_api import install
from lively_voice import lively_voice
from short_run import FLOOR, Run, figures_of, same, small_config, stop_after
from torch.utils._pytree import tree_map_only

from trainer.audio import Samples, griffin_lim, log_mel
from trainer.config import AudioConfig, DeviceConfig, TrainerConfig
from trainer.data.batches import Batch, Padding, collate
from trainer.data.features import Features
from trainer.device import choose_device, default_device, warm_up
from trainer.errors import ConfigError
from trainer.exit_codes import exit_code_of
from trainer.loop import Training, train_on
from trainer.model import Tacotron2, Tacotron2Output
from trainer.model.cuda_graphs import CudaCapture
from trainer.model.encoder import Encoder
from trainer.model.layers import length_mask
from trainer.protocol import EventKind, ExitCode, all_events
from trainer.resuming import open_state
from trainer.speed import measure_speed
from trainer.stopping import StopRequest
from trainer.synthesis import Synthesizer
from trainer.text import SYMBOLS
from trainer.updates import Updates
from trainer.validation import validate
from trainer.vocoder.vocoders import GriffinLim

REAL = torch.cuda.is_available()
FLOAT32 = {"name": "cuda", "precision": "float32"}
TOLERANCE = 0.01 if REAL else 1e-5  # a real GPU sums in any order


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda | None]:
    """Two fake devices; None where there are real ones."""
    if REAL:
        yield None
        return
    with install(monkeypatch, count=2) as made:
        yield made


@pytest.fixture
def only_fake(fake: FakeCuda | None) -> FakeCuda:
    if fake is None:
        pytest.skip("needs the fake device")
    return fake


@pytest.fixture(scope="module")
def by_default(features: Features, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in float32 with graphs and resident batches; read-only."""
    config = config_of(tmp_path_factory.mktemp("default"), FLOAT32)
    if REAL:
        return Run(config, features)
    with pytest.MonkeyPatch.context() as patch, install(patch, count=2):
        return Run(config, features)


def config_of(folder: Path, device: dict[str, str], **changes: Any) -> TrainerConfig:
    return small_config(folder, device=device, **{"budget": {"frames": 1300, "reports": 2}, **changes})


def losses(run: Run) -> list[float]:
    return [event.data["loss"] for event in run.of(EventKind.PROGRESS)]


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_a_device_has_an_index(name: str) -> None:
    assert choose_device(DeviceConfig(name=name)) == torch.device("cuda", 0)
    assert default_device() == torch.device("cuda", 0)


def test_a_missing_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="cuda:99"):
        choose_device(DeviceConfig(name="cuda:99"))


def test_choosing_a_device_does_not_start_cuda(only_fake: FakeCuda) -> None:
    choose_device(DeviceConfig(name="auto"))
    assert not torch.cuda.is_initialized()


class Counted(CudaCapture):
    """Counts what is captured."""

    count = 0

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        Counted.count += 1
        return super().__call__(function)


def test_a_run_trains_with_graphs(
    tmp_path: Path, features: Features, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.updates.CudaCapture", Counted)
    monkeypatch.setattr(Counted, "count", 0)
    run = Run(config_of(tmp_path, {"name": "cuda"}), features)
    assert run.code is ExitCode.FINISHED
    (started,) = run.of(EventKind.STARTED)
    assert started.data["device"] == "cuda:0"
    assert started.data["device_name"]
    validations = run.of(EventKind.VALIDATION)
    assert len(validations) == 2
    assert all(math.isfinite(event.data["loss"]) for event in validations)
    assert not run.of(EventKind.CORRECTION)
    assert run.of(EventKind.PROGRESS)[-1].data["memory_bytes"] > 0
    assert run.of(EventKind.FREE_RUNNING)
    assert "no CUDA graph" not in caplog.text
    assert Counted.count
    state = run.state
    seen = validate(state.model, features, 16, FLOOR, state.device, show=features.validation)
    assert all(np.isfinite(utterance.mel).all() for utterance in seen.shown.values())


def test_everything_is_on_the_named_device(only_fake: FakeCuda, tmp_path: Path, features: Features) -> None:
    assert Run(config_of(tmp_path, {"name": "cuda:1"}), features).code is ExitCode.FINISHED
    assert only_fake.used == {1}


def test_graphs_and_streamed_batches_do_not_change_the_numbers(
    by_default: Run, tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.updates._Graphs.run", lambda graphs, key, inputs, update: update(inputs))
    monkeypatch.setattr("trainer.data.loading.RESIDENT_SHARE", 0)
    plain = Run(config_of(tmp_path / "plain", FLOAT32), features)
    assert losses(by_default) == pytest.approx(losses(plain), rel=TOLERANCE)


def test_an_update_that_cannot_be_captured_has_graphs_of_its_loops(
    by_default: Run,
    tmp_path: Path,
    features: Features,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(function: Callable[[], None]) -> Callable[[], None]:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr("trainer.updates.CudaCapture", lambda: refuse)
    run = Run(config_of(tmp_path / "loops", FLOAT32), features)
    assert [record.message for record in caplog.records if "no CUDA graph" in record.message] == [
        "no CUDA graph for whole updates, which run slower: operation not permitted when stream is capturing"
    ]
    assert run.state.model.decoder.lstm_runner.graphs
    assert losses(run) == pytest.approx(losses(by_default), rel=TOLERANCE)


def test_graphs_are_captured_again_for_an_optimiser_that_was_loaded(tmp_path: Path, features: Features) -> None:
    """As at a rollback: its tensors are others then."""

    def trained(folder: Path, *, graphs: bool) -> list[torch.Tensor]:
        state = open_state(config_of(folder, FLOAT32), features)
        batch = collate(features, [0, 1], Padding(4, 4), FLOOR).to(state.device)
        updates = Updates(state.model.train(), state.optimizer, state.config)
        if not graphs:
            updates._graphs = None
        for turn in range(6):
            if turn == 1:
                early = tree_map_only(torch.Tensor, torch.clone, state.optimizer.state_dict())
            if turn == 4:
                state.optimizer.load_state_dict(early)
            updates(batch, 1e-3, 1.0)
        assert updates.captured == graphs
        return [parameter.detach().cpu() for parameter in state.model.parameters()]

    pairs = zip(trained(tmp_path / "graphs", graphs=True), trained(tmp_path / "plain", graphs=False), strict=True)
    assert all(torch.allclose(a, b, atol=TOLERANCE) for a, b in pairs)


def test_a_run_resumes(by_default: Run, tmp_path: Path, features: Features) -> None:
    """The random state of the device, which dropout uses, is restored, too."""
    config = config_of(tmp_path / "parts", FLOAT32)
    stopped = Run(config, features, stop_after(3))
    resumed = Run(config, features)
    assert [stopped.code, resumed.code] == [ExitCode.STOPPED, ExitCode.FINISHED]
    if REAL:
        assert losses(stopped) + losses(resumed) == pytest.approx(losses(by_default), rel=TOLERANCE)
    else:
        assert figures_of(stopped.events) + figures_of(resumed.events) == figures_of(by_default.events)
        assert same(by_default.last["model"], resumed.last["model"])


# What `smart-tuner train` switches on, and no trial does.
OF_A_VOICE: dict[str, Any] = {
    "averaging": {"share": 0.1},
    "corrections": {"kind": "all"},
    "schedule": {"kind": "wsd", "final_factor": 0.03},
    "checkpoints": {"best": 3, "every_hours": 1e-6},
    "validation": {"alignment_floor": 0.0, "free_running_utterances": 2, "patience": 13},
}


def test_a_training_to_a_voice_runs_and_resumes(tmp_path: Path, features: Features) -> None:
    uninterrupted = Run(config_of(tmp_path / "whole", FLOAT32, **OF_A_VOICE), features)
    assert uninterrupted.code is ExitCode.FINISHED
    assert {event.data["averaged"] for event in uninterrupted.of(EventKind.VALIDATION)} <= {0.0, 1.0}
    config = config_of(tmp_path / "parts", FLOAT32, **OF_A_VOICE)
    assert Run(config, features, stop_after(3)).code is ExitCode.STOPPED
    resumed = Run(config, features)
    assert resumed.code is ExitCode.FINISHED
    if not REAL:
        for key in ("model", "average"):
            assert same(resumed.last[key], uninterrupted.last[key]), key


@pytest.mark.slow
def test_another_run_is_continued(tmp_path: Path, features: Features) -> None:
    trial = Run(config_of(tmp_path / "trial", FLOAT32), features, stop_after(3))
    changes = {**OF_A_VOICE, "continue_from": str(trial.dir.last_checkpoint)}
    voice = Run(config_of(tmp_path / "voice", FLOAT32, **changes), features)
    assert voice.code is ExitCode.FINISHED
    assert voice.events[0].update == 3


def test_the_speed_of_a_device_is_measured(tmp_path: Path, features: Features) -> None:
    config = config_of(tmp_path, {"name": "cuda"}, **OF_A_VOICE)
    assert measure_speed(config, features, 0.1, StopRequest()) > 0


def speech(model: Tacotron2, *lengths: int) -> list[Tacotron2Output]:
    """What it says of texts of these lengths, one after the other, with the same random numbers."""
    device = model.decoder.mel.weight.device
    said = []
    for length in lengths:
        tokens = (torch.arange(length) % 20 + 1).repeat(2, 1).to(device)
        torch.manual_seed(length)
        said.append(model.infer(tokens, torch.tensor([length, length - 1]), torch.tensor([90, 70], device=device), 1.0))
    return said


def spoken_alike(a: list[Tacotron2Output], b: list[Tacotron2Output]) -> bool:
    return all(
        x.steps.tolist() == y.steps.tolist()
        and torch.allclose(x.mel.cpu(), y.mel.cpu(), atol=TOLERANCE)
        and torch.allclose(x.attention.cpu(), y.attention.cpu(), atol=TOLERANCE)
        for x, y in zip(a, b, strict=True)
    )


def speaker(**changes: Any) -> Tacotron2:
    torch.manual_seed(1)
    config = TrainerConfig.from_mapping({"preset": "tiny", "model": changes}).model
    return Tacotron2(config, len(SYMBOLS), 8).eval()


def test_speech_is_replayed_and_sounds_as_on_a_cpu(caplog: pytest.LogCaptureFixture) -> None:
    expected = speech(speaker(prenet_dropout=0.0), 7, 40, 9)
    model = speaker(prenet_dropout=0.0).to("cuda")
    assert spoken_alike(speech(model, 7, 40, 9), expected)
    assert model.decoder.free_running.captured == 2, "7 and 9 share a graph"
    assert not caplog.records


def test_a_replayed_step_draws_the_same_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = speech(speaker().to("cuda"), 7, 9)
    monkeypatch.setattr("trainer.model.free_running.FreeRunning._capture", lambda steps: None)
    assert spoken_alike(replayed, speech(speaker().to("cuda"), 7, 9))


def test_replayed_steps_use_the_present_weights() -> None:
    model = speaker(prenet_dropout=0.0).to("cuda")
    before = speech(model, 7)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(1.5)
    fresh = speaker(prenet_dropout=0.0).to("cuda")
    fresh.load_state_dict(model.state_dict())
    after = speech(model, 7)
    assert spoken_alike(after, speech(fresh, 7))
    assert not spoken_alike(after, before)


def test_a_text_is_spoken_on_the_device() -> None:
    voice = lively_voice(model={"prenet_dropout": 0.0})
    vocoder = GriffinLim(voice.config.audio)
    on_cpu, on_device = (Synthesizer(voice, vocoder, device).speak("hello there.") for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_device.mel, on_cpu.mel, atol=TOLERANCE)
    assert on_device.alignment == pytest.approx(on_cpu.alignment, abs=TOLERANCE)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("operation not permitted when stream is capturing"), torch.cuda.OutOfMemoryError("too little")],
)
def test_speech_that_cannot_be_captured_is_spoken(
    error: RuntimeError, only_fake: FakeCuda, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(function: Callable[[], None]) -> Callable[[], None]:
        raise error

    expected = speech(speaker().to("cuda"), 7, 9)
    monkeypatch.setattr("trainer.model.free_running.CudaCapture", lambda: refuse)
    assert spoken_alike(speech(speaker().to("cuda"), 7, 9), expected)
    assert len(caplog.records) == 1
    assert "no CUDA graph" in caplog.text


SETTINGS = [
    AudioConfig(),
    AudioConfig(n_fft=1000, win_length=900, hop_length=230),
    AudioConfig(n_fft=1001, win_length=900),
]


def chirp(audio: AudioConfig) -> Samples:
    """The log-mel of a second of a rising tone."""
    at = np.arange(audio.sample_rate) / audio.sample_rate
    return log_mel(0.3 * np.sin(2 * np.pi * (200 + 900 * at) * at), audio)


@pytest.mark.parametrize("audio", SETTINGS, ids=["default", "no power of two", "odd"])
def test_griffin_lim_on_the_device_is_that_on_the_cpu(audio: AudioConfig, caplog: pytest.LogCaptureFixture) -> None:
    mel = chirp(audio)
    on_cpu, on_device = (griffin_lim(mel, audio, 5, device) for device in (None, default_device()))
    np.testing.assert_allclose(on_device, on_cpu, atol=2e-5)
    assert not caplog.records


def test_sixty_iterations_on_the_device_sound_as_on_the_cpu() -> None:
    """Rounding grows with the iterations."""
    audio = AudioConfig()
    mel = chirp(audio)
    wanted, found = (log_mel(griffin_lim(mel, audio, device=device), audio) for device in (None, default_device()))
    audible = mel > np.log(1e-2)
    assert np.abs(found - wanted)[audible].mean() < 0.05


def test_griffin_lim_runs_on_the_cpu_where_the_device_cannot(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: Any) -> Samples:
        raise RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED")

    monkeypatch.setattr("trainer.griffin_lim_on_gpu.iterated", refuse)
    mel = chirp(AudioConfig())
    np.testing.assert_array_equal(
        griffin_lim(mel, AudioConfig(), device=default_device()), griffin_lim(mel, AudioConfig())
    )
    assert "CUFFT_ALLOC_FAILED" in caplog.text


class Watched(Training):
    """Raises RuntimeError where the loop waits for the device: for a batch, or in an update of a captured size."""

    watched = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._seen = Counter[tuple[torch.Size, torch.Size]]()

    def _batches(self) -> Iterator[Batch]:
        batches = super()._batches()
        while (batch := not_waiting(lambda: next(batches, None))) is not None:
            yield batch

    def _update(self, batch: Batch) -> None:
        size = (batch.mels.shape, batch.tokens.shape)
        self._seen[size] += 1
        if self._seen[size] <= 2:  # the second one is captured
            return super()._update(batch)
        Watched.watched += 1
        return not_waiting(lambda: super(Watched, self)._update(batch))


def not_waiting(function: Callable[[], Any]) -> Any:
    torch.cuda.set_sync_debug_mode("error")
    try:
        return function()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("changes", [{}, OF_A_VOICE], ids=["trial", "voice"])
@pytest.mark.parametrize("resident", [1, 0])
def test_an_update_does_not_wait_for_the_device(
    resident: int, changes: dict[str, Any], tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.data.loading.RESIDENT_SHARE", resident)
    monkeypatch.setattr("trainer.loop.Training", Watched)
    monkeypatch.setattr(Watched, "watched", 0)
    assert Run(config_of(tmp_path, {"name": "cuda"}, **changes), features).code is ExitCode.FINISHED
    assert Watched.watched


def test_updates_that_are_not_finite_are_skipped_and_counted(tmp_path: Path, features: Features) -> None:
    """Although the device reports them late."""
    calls = iter(range(10**9))
    state = open_state(config_of(tmp_path, FLOAT32), features)

    def break_some() -> None:
        state.model.decoder.gate.bias.data.fill_(torch.nan if next(calls) in (2, 3) else 0.0)

    assert train_on(state, break_some) is ExitCode.FINISHED
    events = all_events(state.run_dir.events)
    corrections = [event for event in events if event.kind is EventKind.CORRECTION]
    assert [event.data["what"] for event in corrections] == ["skip", "skip"]
    assert all(x.isfinite().all() for x in state.model.parameters())


def test_running_out_of_memory_has_its_exit_code(only_fake: FakeCuda, tmp_path: Path, features: Features) -> None:
    state = open_state(config_of(tmp_path, FLOAT32), features)

    def fail() -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")

    only_fake.fails = fail
    with pytest.raises(torch.cuda.OutOfMemoryError) as error:
        train_on(state)
    assert exit_code_of(error.value) is ExitCode.OUT_OF_MEMORY


def of_clips(features: Features, *lengths: int) -> list[Batch]:
    """Two clips each, the first of them the one nearest to that many frames."""
    frames = np.asarray(features.frames)
    first = [int(np.abs(frames - length).argmin()) for length in lengths]
    return [collate(features, [i, i], Padding(4, 4), FLOOR) for i in first]


def test_a_size_that_lacks_memory_for_its_graph_is_trained_without_one(
    only_fake: FakeCuda, tmp_path: Path, features: Features, caplog: pytest.LogCaptureFixture
) -> None:
    """And so are larger ones, which are not tried; the memory of all graphs is free then."""
    shortest, longest = int(features.frames.min()), int(features.frames.max())
    batches = of_clips(features, shortest, (shortest + longest) // 2, longest)
    assert len({batch.mels.shape for batch in batches}) == 3
    failures = 0
    operations = 0

    def lack() -> None:
        nonlocal failures, operations
        operations = operations + 1 if only_fake.capture else 0
        if operations == 200:  # within the forward pass
            failures += 1
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def trained(folder: Path, *, lacks: bool) -> list[torch.Tensor]:
        state = open_state(config_of(folder, FLOAT32), features)
        small, *larger = [batch.to(state.device) for batch in batches]
        updates = Updates(state.model.train(), state.optimizer, state.config)
        if not lacks:
            updates._graphs = None
        updates(small, 1e-3, 1.0)
        replayed = weakref.ref(updates(small, 1e-3, 1.0).means)
        assert updates.captured == (replayed() is not None) == lacks
        for batch in (*larger, *larger, *larger):
            only_fake.fails = lack if lacks else None
            updates(batch, 1e-3, 1.0)
        only_fake.fails = None
        assert updates.captured == 0
        assert replayed() is None
        updates(small, 1e-3, 1.0)
        assert updates.captured == lacks
        return [parameter.detach().cpu() for parameter in state.model.parameters()]

    pairs = zip(trained(tmp_path / "lacks", lacks=True), trained(tmp_path / "plain", lacks=False), strict=True)
    assert all(torch.allclose(a, b, atol=TOLERANCE) for a, b in pairs)
    assert failures == 1
    (said,) = [record.message for record in caplog.records if "no CUDA graph" in record.message]
    assert "2.00 GiB" in said


def test_a_capture_that_fails_leaves_the_default_stream_current(
    only_fake: FakeCuda,
    tmp_path: Path,
    features: Features,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = open_state(config_of(tmp_path, FLOAT32, budget={"frames": 300, "reports": 1}), features)
    end = torch.cuda.CUDAGraph.capture_end

    def invalidated(graph: torch.cuda.CUDAGraph) -> None:
        end(graph)
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    monkeypatch.setattr(torch.cuda.CUDAGraph, "capture_end", invalidated)
    assert train_on(state) is ExitCode.FINISHED
    assert "no CUDA graph" in caplog.text
    assert torch.cuda.current_stream() == torch.cuda.default_stream()


def test_a_standby_process_warms_up_the_device(
    only_fake: FakeCuda, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trainer.device.import_module", lambda name: None)
    monkeypatch.setattr("gc.freeze", lambda: None)
    warm_up()
    assert only_fake.used == {0}
    assert not caplog.records


def test_lengths_on_a_device_do_not_change_what_the_encoder_says() -> None:
    """There each direction reads all tokens, and on a CPU only those of the text."""
    torch.manual_seed(1)
    config = TrainerConfig.from_mapping({"preset": "tiny"}).model
    encoder = Encoder(config, len(SYMBOLS)).eval()
    tokens, lengths = torch.arange(21).view(3, 7) + 1, torch.tensor([4, 7, 1])
    mask = length_mask(lengths, 7)
    expected = encoder(tokens, lengths, mask)
    expected.square().sum().backward()
    gradients = [p.grad for p in encoder.parameters()]
    encoder.zero_grad()
    moved = encoder.to("cuda")
    found = moved(tokens.to("cuda"), lengths.to("cuda"), mask.to("cuda"))
    found.square().sum().backward()
    assert torch.allclose(found.detach().cpu(), expected.detach(), atol=TOLERANCE)
    for parameter, gradient in zip(moved.parameters(), gradients, strict=True):
        assert parameter.grad is not None
        assert gradient is not None
        assert torch.allclose(parameter.grad.cpu(), gradient, atol=10 * TOLERANCE)
