"""The events of a run, and the same seed gives the same ones, to the last bit."""

import math
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from short_run import FLOOR, Run, figures_of, same, small_config, stop_after

from trainer.data.batches import Padding, collate, epoch_batches
from trainer.data.features import Features
from trainer.errors import ConfigError
from trainer.losses import training_losses
from trainer.model import Tacotron2
from trainer.protocol import EventKind, ExitCode
from trainer.resuming import open_state
from trainer.schedules import lr_factor
from trainer.text import SYMBOLS

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_run_writes_events_from_started_to_finished(finished: Run, features: Features) -> None:
    assert finished.code is ExitCode.FINISHED
    first, *_, spoken, last = finished.events
    assert (first.kind, first.frames, first.update) == (EventKind.STARTED, 0, 0)
    assert first.data["config"] == asdict(finished.state.config)
    assert first.data["resumed"] is False
    assert first.data["parameters"] == sum(p.numel() for p in finished.state.model.parameters())
    assert (first.data["train_utterances"], first.data["validation_utterances"]) == (42, 2)
    assert (first.data["torch"], first.data["device"]) == (torch.__version__, "cpu")
    assert all(isinstance(first.data[name], str) for name in ("numpy", "python", "system"))
    assert (spoken.kind, last.kind) == (EventKind.FREE_RUNNING, EventKind.FINISHED)
    assert last.data["seconds"] > 0
    assert last.data["best"]["index"] in (1, 2, 3, 4)
    assert not finished.of(EventKind.CORRECTION)
    times = [event.time for event in finished.events]
    assert times == sorted(times)


def test_frames_count_the_speech_seen_and_end_with_the_budget(finished: Run, features: Features) -> None:
    progress = finished.of(EventKind.PROGRESS)
    assert [event.update for event in progress] == list(range(1, len(progress) + 1))
    frames = [event.frames for event in finished.events]
    assert frames == sorted(frames)
    assert progress[-2].frames < 4000 <= progress[-1].frames == frames[-1]
    epoch = sum(int(features.frames[i]) for i in features.train)
    assert progress[10].frames == epoch  # 42 clips in batches of 4: the eleventh ends the first epoch


def test_validation_comes_at_fixed_fractions_of_the_budget(finished: Run) -> None:
    validations = finished.of(EventKind.VALIDATION)
    seen = [event.frames for event in finished.of(EventKind.PROGRESS)]
    assert [event.data["index"] for event in validations] == [1, 2, 3, 4]
    for index, event in enumerate(validations, start=1):
        assert event.frames == min(frames for frames in seen if frames >= index * 1000)
        assert math.isfinite(event.data["loss"])
        assert {"alignment", "diagonality", "focus", "coverage", "monotonicity", "gate_f1"} <= set(event.data)


def test_a_batch_longer_than_a_fraction_skips_validations_but_never_the_last(
    tmp_path: Path, features: Features
) -> None:
    run = Run(small_config(tmp_path, budget={"frames": 1000, "reports": 50}), features)
    indices = [event.data["index"] for event in run.of(EventKind.VALIDATION)]
    assert indices == sorted(set(indices))
    assert len(indices) < 50
    assert indices[-1] == 50


def test_progress_has_the_parts_of_the_loss_and_the_scheduled_rate(tmp_path: Path, features: Features) -> None:
    run = Run(
        small_config(
            tmp_path,
            budget={"frames": 2000},
            schedule={"kind": "cosine", "warmup_updates": 3},
            optimizer={"kind": "adamw", "lr": 4e-3},
            guided_attention={"weight": 2.0},
            loss={"gate_weight": 3.0},
        ),
        features,
    )
    assert isinstance(run.state.optimizer, torch.optim.AdamW)
    frames_before = 0
    for event in run.of(EventKind.PROGRESS):
        data = event.data
        parts = data["mel_loss"] + 3 * data["gate_loss"] + 2 * data["guided_attention_loss"]
        assert data["loss"] == pytest.approx(parts, rel=1e-5)
        share = frames_before / 2000
        assert data["lr"] == pytest.approx(
            4e-3 * lr_factor(run.state.config.schedule, event.update - 1, share), rel=1e-9
        )
        assert data["frames_per_second"] > 0
        frames_before = event.frames


def test_progress_is_the_mean_since_the_last_report(finished: Run, tmp_path: Path, features: Features) -> None:
    run = Run(small_config(tmp_path, logging={"progress_every_updates": 5}), features)
    losses = [event.data["loss"] for event in finished.of(EventKind.PROGRESS)]
    reports = run.of(EventKind.PROGRESS)
    assert [event.update for event in reports] == list(range(5, len(losses) + 1, 5))
    for event in reports:
        assert event.data["loss"] == pytest.approx(sum(losses[event.update - 5 : event.update]) / 5)


def test_the_loss_falls(finished: Run) -> None:
    losses = [event.data["loss"] for event in finished.of(EventKind.VALIDATION)]
    assert losses[-1] < 0.9 * losses[0]


def test_the_same_seed_gives_the_same_numbers_to_the_last_bit(
    finished: Run, tmp_path: Path, features: Features
) -> None:
    again = Run(small_config(tmp_path), features)
    assert figures_of(again.events) == figures_of(finished.events)
    assert again.of(EventKind.FREE_RUNNING)[0].data == finished.of(EventKind.FREE_RUNNING)[0].data
    assert same(again.last["model"], finished.last["model"])


def test_training_equals_a_plain_loop(tmp_path: Path, features: Features) -> None:
    config = small_config(
        tmp_path, optimizer={"gradient_clip": 0.5, "weight_decay": 1e-3}, guided_attention={"weight": 2.0}
    )
    run = Run(config, features, stop_after(12))

    torch.manual_seed(config.seed)
    model = Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels).train()
    adam = torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=1e-3, fused=True)
    lengths = [int(features.frames[i]) for i in features.train]
    order = epoch_batches(lengths, 4, config.seed, epoch=0) + epoch_batches(lengths, 4, config.seed, epoch=1)
    padding = Padding(config.model.reduction, tail=config.loss.gate_tail * config.model.reduction)
    for numbers in order[:12]:
        batch = collate(features, [features.train[i] for i in numbers], padding, FLOOR)
        output = model(batch.tokens, batch.token_lengths, batch.mels, batch.mel_lengths)
        lengths_of = (batch.mels, batch.mel_lengths, batch.token_lengths)
        losses = training_losses(output, *lengths_of, config.loss, config.guided_attention, 2.0)
        adam.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        adam.step()
    assert same(dict(model.named_parameters()), dict(run.state.model.named_parameters()))


def test_another_seed_gives_other_numbers(finished: Run, tmp_path: Path, features: Features) -> None:
    other = Run(small_config(tmp_path, seed=2, budget={"frames": 500}), features)
    assert other.of(EventKind.PROGRESS)[0].data["loss"] != finished.of(EventKind.PROGRESS)[0].data["loss"]


def test_bf16_trains_and_stays_finite(finished: Run, tmp_path: Path, features: Features) -> None:
    run = Run(small_config(tmp_path, device={"precision": "bf16"}, budget={"frames": 2000}), features)
    assert run.code is ExitCode.FINISHED
    assert not run.of(EventKind.CORRECTION)
    lowered, exact = (r.of(EventKind.PROGRESS)[0].data["loss"] for r in (run, finished))
    assert lowered != exact
    assert lowered == pytest.approx(exact, rel=0.05)
    assert run.state.model.decoder.mel.weight.dtype == torch.float32
    assert math.isfinite(run.of(EventKind.VALIDATION)[-1].data["loss"])


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "mps", "cpu:1"])
def test_a_missing_device_is_refused(tmp_path: Path, features: Features, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"`device.name` .*{name}"):
        open_state(small_config(tmp_path, device={"name": name}), features)
