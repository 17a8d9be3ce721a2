"""A run tells its story, can be stopped and resumed to the same numbers, and survives losses that are not finite."""

import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_features import random_features

from trainer import checkpoint, loop
from trainer.config import TrainerConfig, merge
from trainer.corrections import Action
from trainer.data.batches import Padding, collate, epoch_batches
from trainer.data.features import Features
from trainer.errors import ConfigError, CorpusError
from trainer.exhibits import choose_sentences
from trainer.loop import Training
from trainer.losses import Losses, training_losses
from trainer.model import Tacotron2
from trainer.protocol import Event, EventKind, ExitCode, RunDir, read_events
from trainer.schedules import lr_factor
from trainer.synthesis import frame_limit, speak
from trainer.text import SYMBOLS
from trainer.validation import Validation, rank, settle_batch_norm, validate

CPU = torch.device("cpu")
FLOOR = 1e-5
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
        "attention_dropout": 0.1,
        "decoder_dropout": 0.1,
        "location_filters": 4,
        "location_kernel": 7,
        "decoder_rnn_dim": 16,
        "postnet_dim": 8,
        "postnet_convolutions": 2,
    },
    "batch": {"size": 4},
    "budget": {"frames": 4000, "reports": 4},
    "validation": {"free_running_utterances": 2},
    "logging": {"progress_every_updates": 1, "tensorboard": False, "pictures": False, "samples": False},
    "device": {"name": "cpu", "threads": 1},
}


def _config(folder: Path, **changes: Any) -> TrainerConfig:
    return TrainerConfig.from_mapping(merge(merge(SMALL, changes), {"paths": {"run": str(folder)}}))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def features() -> Features:
    """44 clips of about half a second, two of them for validation."""
    return random_features(_config(Path("unused")), utterances=44, seconds=0.5, seed=1)


class Run:
    """What one call of `Training.run` left behind."""

    def __init__(
        self, config: TrainerConfig, features: Features, stop_reason: Callable[[], str | None] = lambda: None
    ) -> None:
        self.dir = RunDir(Path(config.paths.run))
        seen = read_events(self.dir.events)[1]
        self.training = Training(config, features, stop_reason)
        self.code = self.training.run()
        self.events = read_events(self.dir.events, seen)[0]

    def of(self, kind: EventKind) -> list[Event]:
        return [event for event in self.events if event.kind is kind]

    @property
    def last(self) -> dict[str, Any]:
        return checkpoint.load(self.dir.last_checkpoint)


def _of(run: RunDir, kind: EventKind) -> list[Event]:
    return [event for event in read_events(run.events)[0] if event.kind is kind]


_OF_THE_MACHINE = ("frames_per_second", "memory_bytes")


def _figures(events: list[Event]) -> list[tuple[str, int, int, dict[str, Any]]]:
    """Progress and validation without what depends on the clock."""
    told = (EventKind.PROGRESS, EventKind.VALIDATION)
    return [
        (e.kind, e.frames, e.update, {k: v for k, v in e.data.items() if k not in _OF_THE_MACHINE})
        for e in events
        if e.kind in told
    ]


def _same(a: Any, b: Any) -> bool:
    """Bit-equal, all the way down."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _after(calls: int, reason: str = "enough") -> Callable[[], str | None]:
    """Somebody who asks to stop before update `calls`, counted from 0."""
    asked = iter(range(10**9))
    return lambda: reason if next(asked) >= calls else None


@pytest.fixture(scope="module")
def finished(features: Features, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One uninterrupted run; not to be changed."""
    torch.set_num_threads(1)
    return Run(_config(tmp_path_factory.mktemp("finished")), features)


def test_a_run_tells_its_story_from_started_to_finished(finished: Run, features: Features) -> None:
    assert finished.code is ExitCode.FINISHED
    first, *_, spoken, last = finished.events
    assert (first.kind, first.frames, first.update) == (EventKind.STARTED, 0, 0)
    assert first.data["config"] == asdict(finished.training.config)
    assert first.data["resumed"] is False
    assert first.data["parameters"] == sum(p.numel() for p in finished.training.model.parameters())
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
    run = Run(_config(tmp_path, budget={"frames": 1000, "reports": 50}), features)
    indices = [event.data["index"] for event in run.of(EventKind.VALIDATION)]
    assert indices == sorted(set(indices))
    assert len(indices) < 50
    assert indices[-1] == 50


def test_progress_tells_the_parts_of_the_loss_and_the_rate_of_the_schedule(tmp_path: Path, features: Features) -> None:
    run = Run(
        _config(
            tmp_path,
            budget={"frames": 2000},
            schedule={"kind": "cosine", "warmup_updates": 3},
            optimizer={"kind": "adamw", "lr": 4e-3},
            guided_attention={"weight": 2.0},
            loss={"gate_weight": 3.0},
        ),
        features,
    )
    assert isinstance(run.training.optimizer, torch.optim.AdamW)
    frames_before = 0
    for event in run.of(EventKind.PROGRESS):
        data = event.data
        parts = data["mel_loss"] + 3 * data["gate_loss"] + 2 * data["guided_attention_loss"]
        assert data["loss"] == pytest.approx(parts, rel=1e-5)
        share = frames_before / 2000
        assert data["lr"] == pytest.approx(
            4e-3 * lr_factor(run.training.config.schedule, event.update - 1, share), rel=1e-9
        )
        assert data["frames_per_second"] > 0
        frames_before = event.frames


def test_progress_is_the_mean_since_the_last_look(finished: Run, tmp_path: Path, features: Features) -> None:
    run = Run(_config(tmp_path, logging={"progress_every_updates": 5}), features)
    each = [event.data["loss"] for event in finished.of(EventKind.PROGRESS)]
    told = run.of(EventKind.PROGRESS)
    assert [event.update for event in told] == list(range(5, len(each) + 1, 5))
    for event in told:
        assert event.data["loss"] == pytest.approx(sum(each[event.update - 5 : event.update]) / 5)


def test_the_loss_falls(finished: Run) -> None:
    losses = [event.data["loss"] for event in finished.of(EventKind.VALIDATION)]
    assert losses[-1] < 0.9 * losses[0]


def test_the_same_seed_gives_the_same_numbers_to_the_last_bit(
    finished: Run, tmp_path: Path, features: Features
) -> None:
    again = Run(_config(tmp_path), features)
    assert _figures(again.events) == _figures(finished.events)
    assert again.of(EventKind.FREE_RUNNING)[0].data == finished.of(EventKind.FREE_RUNNING)[0].data
    assert _same(again.last["model"], finished.last["model"])


def test_training_equals_a_plain_loop(tmp_path: Path, features: Features) -> None:
    config = _config(tmp_path, optimizer={"gradient_clip": 0.5, "weight_decay": 1e-3}, guided_attention={"weight": 2.0})
    run = Run(config, features, _after(12))

    torch.manual_seed(config.seed)
    model = Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels).train()
    adam = torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=1e-3, fused=True)
    lengths = [int(features.frames[i]) for i in features.train]
    order = epoch_batches(lengths, 4, config.seed, epoch=0) + epoch_batches(lengths, 4, config.seed, epoch=1)
    for numbers in order[:12]:
        batch = collate(features, [features.train[i] for i in numbers], Padding(config.model.reduction), FLOOR)
        output = model(batch.tokens, batch.token_lengths, batch.mels, batch.mel_lengths)
        lengths_of = (batch.mels, batch.mel_lengths, batch.token_lengths)
        losses = training_losses(output, *lengths_of, config.loss, config.guided_attention, 2.0)
        adam.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        adam.step()
    assert _same(dict(model.named_parameters()), dict(run.training.model.named_parameters()))


def test_another_seed_gives_other_numbers(finished: Run, tmp_path: Path, features: Features) -> None:
    other = Run(_config(tmp_path, seed=2, budget={"frames": 500}), features)
    assert other.of(EventKind.PROGRESS)[0].data["loss"] != finished.of(EventKind.PROGRESS)[0].data["loss"]


@pytest.mark.parametrize("calls", [0, 3, 14])
def test_a_stopped_run_goes_on_to_the_same_numbers(
    finished: Run, tmp_path: Path, features: Features, calls: int
) -> None:
    config = _config(tmp_path)
    before = Run(config, features, _after(calls, "received SIGTERM"))
    assert before.code is ExitCode.STOPPED
    assert before.events[-1].kind is EventKind.STOPPED
    assert before.events[-1].data == {"reason": "received SIGTERM"}
    assert before.events[-1].update == calls
    after = Run(config, features)
    assert after.code is ExitCode.FINISHED
    assert after.events[0].data["resumed"] is True
    assert (after.events[0].frames, after.events[0].update) == (before.events[-1].frames, calls)
    assert _figures([*before.events, *after.events]) == _figures(finished.events)
    for key in ("model", "optimizer", "rng", "best"):
        assert _same(after.last[key], finished.last[key]), key
    assert _same(
        checkpoint.load(after.dir.best_checkpoint)["model"], checkpoint.load(finished.dir.best_checkpoint)["model"]
    )


def test_a_killed_run_goes_on_from_its_last_checkpoint(finished: Run, tmp_path: Path, features: Features) -> None:
    config = _config(tmp_path)
    asked = iter(range(10))

    def die() -> None:
        if next(asked) == 9:
            raise KeyboardInterrupt  # nothing is saved on the way out

    with pytest.raises(KeyboardInterrupt):
        Run(config, features, die)
    events = read_events(RunDir(tmp_path).events)[0]
    validation = next(event for event in events if event.kind is EventKind.VALIDATION)
    assert events[-1].update == 9 > validation.update
    after = Run(config, features)
    assert (after.events[0].frames, after.events[0].update) == (validation.frames, validation.update)
    expected = [event for event in finished.events if event.update > validation.update]
    assert _figures(after.events) == _figures(expected)


def test_checkpoints_are_saved_by_the_clock_and_told(tmp_path: Path, features: Features) -> None:
    run = Run(_config(tmp_path, budget={"frames": 1000}, logging={"checkpoint_every_seconds": 0}), features)
    saved = [event for event in run.of(EventKind.CHECKPOINT) if not event.data["best"]]
    assert [event.update for event in saved] == [event.update for event in run.of(EventKind.PROGRESS)]
    assert {event.data["path"] for event in saved} == {"checkpoints/last.pt"}
    rarely = Run(_config(tmp_path / "rarely", budget={"frames": 1000}), features)
    validated = {event.update for event in rarely.of(EventKind.VALIDATION)}
    assert {event.update for event in rarely.of(EventKind.CHECKPOINT)} == validated


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_an_unreadable_checkpoint_is_put_aside_and_training_begins_again(
    finished: Run, tmp_path: Path, features: Features, content: bytes | None
) -> None:
    config = _config(tmp_path, budget={"frames": 1000, "reports": 1})
    last = RunDir(tmp_path).last_checkpoint
    last.parent.mkdir()
    whole = finished.dir.last_checkpoint.read_bytes()
    torn = whole[: len(whole) // 2] if content is None else content
    last.write_bytes(torn)
    run = Run(config, features)
    assert run.code is ExitCode.FINISHED
    assert (run.events[0].data["resumed"], run.events[0].update) == (False, 0)
    assert last.with_suffix(".unreadable").read_bytes() == torn
    assert run.last["progress"]["frames"] >= 1000


@pytest.mark.parametrize("torn", [["last"], ["last", "previous"], ["previous"]])
def test_of_a_torn_checkpoint_the_one_before_serves(
    finished: Run, tmp_path: Path, features: Features, torn: list[str]
) -> None:
    """The numbers are the same; what was trained since is trained again."""
    config = _config(tmp_path)
    Run(config, features, _after(20))
    run = RunDir(tmp_path)
    states = {path: path.read_bytes() for path in (run.last_checkpoint, run.previous_checkpoint)}
    updates = [checkpoint.load(path)["progress"]["update"] for path in states]
    assert updates[0] == 20 > updates[1] > 0
    for path, whole in states.items():
        if path.stem in torn:
            path.write_bytes(whole[: len(whole) // 2])
    after = Run(config, features)
    begun = 0 if len(torn) == 2 else updates["last" in torn]
    assert (after.events[0].data["resumed"], after.events[0].update) == (begun > 0, begun)
    assert after.code is ExitCode.FINISHED
    expected = [event for event in finished.events if event.update > begun]
    assert _figures(after.events) == _figures(expected)
    assert _same(after.last["model"], finished.last["model"])
    read = torn if "last" in torn else []  # what nobody needed is not looked at
    assert {path.stem for path in run.last_checkpoint.parent.glob("*.unreadable")} == set(read)
    before = checkpoint.load(run.previous_checkpoint)["progress"]["update"]
    assert before < after.last["progress"]["update"]


def test_a_checkpoint_without_a_model_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"progress": {}})
    with pytest.raises(checkpoint.CheckpointError, match="holds no model"):
        checkpoint.load(path)
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "none.pt")


def test_a_finished_run_started_again_only_says_goodbye_again(tmp_path: Path, features: Features) -> None:
    config = _config(tmp_path, budget={"frames": 1000})
    first = Run(config, features)
    saved = first.dir.last_checkpoint.read_bytes()
    again = Run(config, features)
    assert again.code is ExitCode.FINISHED
    assert [event.kind for event in again.events] == [EventKind.STARTED, EventKind.FREE_RUNNING, EventKind.FINISHED]
    assert again.of(EventKind.FREE_RUNNING)[0].data == first.of(EventKind.FREE_RUNNING)[0].data
    assert again.events[-1].data == first.events[-1].data
    assert first.dir.last_checkpoint.read_bytes() == saved


def _bad_updates(monkeypatch: pytest.MonkeyPatch, bad: Callable[[int], bool], value: float = math.nan) -> None:
    """Make the loss of those updates `value`, counted from 1 over the whole life of the process."""
    calls = iter(range(1, 10**9))

    def losses(*arguments: Any) -> Losses:
        good = training_losses(*arguments)
        return replace(good, total=good.total * value) if bad(next(calls)) else good

    monkeypatch.setattr(loop, "training_losses", losses)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, features: Features, value: float
) -> None:
    _bad_updates(monkeypatch, lambda call: call in (2, 3, 4, 5, 7, 8), value)
    run = Run(_config(tmp_path, budget={"frames": 2000}), features)
    assert run.code is ExitCode.FINISHED
    assert [(e.update, e.data["what"]) for e in run.of(EventKind.CORRECTION)] == [
        (update, "skip") for update in (2, 3, 4, 5, 7, 8)
    ]
    assert all(tensor.isfinite().all() for tensor in run.last["model"].values())
    assert math.isfinite(run.of(EventKind.VALIDATION)[-1].data["loss"])


def test_a_skipped_update_leaves_the_weights_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, features: Features
) -> None:
    _bad_updates(monkeypatch, lambda call: True)
    training = Training(_config(tmp_path), features)
    before = {name: parameter.clone() for name, parameter in training.model.named_parameters()}
    training.stop_reason = _after(3)
    training.run()
    assert _same(before, dict(training.model.named_parameters()))
    assert training.progress.bad_updates_in_a_row == 3


def test_bad_updates_in_a_row_lead_back_to_the_last_checkpoint_at_half_the_rate(
    monkeypatch: pytest.MonkeyPatch, finished: Run, tmp_path: Path, features: Features
) -> None:
    saved = finished.of(EventKind.VALIDATION)[0]
    _bad_updates(monkeypatch, lambda call: saved.update + 2 <= call < saved.update + 7)
    run = Run(_config(tmp_path), features)
    assert run.code is ExitCode.FINISHED
    corrections = run.of(EventKind.CORRECTION)
    assert [event.data["what"] for event in corrections] == ["skip"] * 4 + ["roll_back"]
    assert (corrections[-1].data["before"], corrections[-1].data["after"]) == (1.0, 0.5)
    rest = run.events[run.events.index(corrections[-1]) + 1 :]
    progress = [event for event in rest if event.kind is EventKind.PROGRESS and event.update > saved.update]
    assert progress[0].update == saved.update + 1
    assert {event.data["lr"] for event in progress} == {0.5 * finished.training.config.optimizer.lr}
    assert progress[0].data["mel_loss"] == finished.of(EventKind.PROGRESS)[saved.update].data["mel_loss"]
    assert [e.data["index"] for e in run.of(EventKind.VALIDATION)] == [1, 2, 3, 4]
    assert run.last["progress"]["rollbacks"] == 1


@pytest.mark.parametrize("torn", [["last"], ["last", "previous"]])
def test_a_rollback_bears_a_torn_checkpoint(
    monkeypatch: pytest.MonkeyPatch, finished: Run, tmp_path: Path, features: Features, torn: list[str]
) -> None:
    first, second = finished.of(EventKind.VALIDATION)[:2]
    _bad_updates(monkeypatch, lambda call: second.update + 2 <= call < second.update + 7)
    tear = RunDir(tmp_path)

    def tear_in_time() -> None:
        if len(_of(tear, EventKind.CORRECTION)) == 4:
            for name in torn:
                tear.last_checkpoint.with_stem(name).write_bytes(b"torn")

    run = Run(_config(tmp_path), features, tear_in_time)
    assert run.code is ExitCode.FINISHED
    (back,) = (i for i, e in enumerate(run.events) if e.data.get("what") == "roll_back")
    progress = [event for event in run.events[back:] if event.kind is EventKind.PROGRESS]
    went_on_from = first.update if torn == ["last"] else second.update + 6
    assert progress[1].update in (went_on_from + 1, went_on_from + 2)
    assert progress[-1].data["lr"] == 0.5 * finished.training.config.optimizer.lr
    assert {path.stem for path in tear.last_checkpoint.parent.glob("*.unreadable")} == set(torn)
    assert run.last["progress"]["rollbacks"] == 1


def test_training_that_does_not_recover_ends_as_diverged_with_a_good_checkpoint(
    monkeypatch: pytest.MonkeyPatch, finished: Run, tmp_path: Path, features: Features
) -> None:
    saved = finished.of(EventKind.VALIDATION)[0]
    _bad_updates(monkeypatch, lambda call: call > saved.update)
    run = Run(_config(tmp_path), features)
    assert run.code is ExitCode.DIVERGED
    what = [event.data["what"] for event in run.of(EventKind.CORRECTION)]
    assert what == (["skip"] * 4 + [Action.ROLL_BACK]) * 2 + ["skip"] * 4 + [Action.GIVE_UP]
    assert [e.data["after"] for e in run.of(EventKind.CORRECTION) if e.data["what"] != "skip"] == [0.5, 0.25, 0.25]
    end = run.events[-1]
    assert (end.kind, end.data["exit_code"]) == (EventKind.FAILED, 11)
    assert "not finite" in end.data["reason"]
    assert run.last["progress"]["update"] == saved.update
    assert all(tensor.isfinite().all() for tensor in run.last["model"].values())


def test_weights_that_are_not_finite_before_the_first_checkpoint_end_as_diverged(
    tmp_path: Path, features: Features
) -> None:
    training = Training(_config(tmp_path), features)
    with torch.no_grad():
        training.model.decoder.mel.weight[0, 0] = math.inf
    assert training.run() is ExitCode.DIVERGED
    assert not training.run_dir.last_checkpoint.exists()
    assert read_events(training.run_dir.events)[0][-1].kind is EventKind.FAILED


@pytest.mark.parametrize(
    ("curve", "crowned", "best"),
    [
        ([(0.2, 1.0), (0.8, 3.0), (0.9, 2.0), (0.9, 2.5)], [True, True, True, False], 3),
        ([(0.5, 3.0), (0.4, 1.0), (0.5, 2.9), (0.0, 0.1)], [True, False, True, False], 3),
        ([(0.1, 3.0), (0.4, 2.0), (0.3, 1.0), (0.3, 1.5)], [True, True, True, False], 3),  # none can speak: the nearest
        ([(0.1, math.nan), (0.1, 3.0), (0.1, math.nan), (0.1, 2.0)], [True, True, False, True], 4),
        ([(0.9, math.nan), (0.9, 3.0), (math.nan, 1.0), (0.9, 4.0)], [True, True, False, False], 2),
    ],
)
def test_the_best_checkpoint_is_the_one_of_least_loss_that_can_speak(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    features: Features,
    curve: list[tuple[float, float]],
    crowned: list[bool],
    best: int,
) -> None:
    points = iter(curve)

    def scripted(*arguments: Any) -> Validation:
        alignment, loss = next(points)
        real = validate(*arguments)
        return replace(real, figures=real.figures | {"alignment": alignment, "loss": loss})

    monkeypatch.setattr(loop, "validate", scripted)
    run = Run(_config(tmp_path, validation={"alignment_floor": 0.5, "free_running_utterances": 0}), features)
    assert [event.data["best"] for event in run.of(EventKind.VALIDATION)] == crowned
    saved = [event.update for event in run.of(EventKind.CHECKPOINT) if event.data["best"]]
    assert saved == [event.update for event in run.of(EventKind.VALIDATION) if event.data["best"]]
    kept = checkpoint.load(run.dir.best_checkpoint)
    assert (kept["figures"]["index"], kept["figures"]["loss"]) == (best, curve[best - 1][1])
    assert kept["symbols"] == list(SYMBOLS)
    config = run.training.config
    told = replace(config, corpus=replace(config.corpus, language="en"))  # which was found out by its texts
    assert TrainerConfig.from_mapping(kept["config"]) == told != config
    assert run.events[-1].data["best"]["index"] == best
    assert not run.of(EventKind.FREE_RUNNING)


def test_a_model_that_cannot_speak_never_precedes_one_that_can() -> None:
    order = [(0.5, 1.0), (0.9, 2.0), (0.7, math.inf), (0.49, 0.1), (math.nan, 0.2), (0.0, math.nan)]
    ranks = [rank({"alignment": alignment, "loss": loss}, floor=0.5) for alignment, loss in order]
    assert ranks == sorted(ranks)


def test_bf16_trains_and_stays_finite(finished: Run, tmp_path: Path, features: Features) -> None:
    run = Run(_config(tmp_path, device={"precision": "bf16"}, budget={"frames": 2000}), features)
    assert run.code is ExitCode.FINISHED
    assert not run.of(EventKind.CORRECTION)
    lowered, exact = (r.of(EventKind.PROGRESS)[0].data["loss"] for r in (run, finished))
    assert lowered != exact
    assert lowered == pytest.approx(exact, rel=0.05)
    assert run.training.model.decoder.mel.weight.dtype == torch.float32
    assert math.isfinite(run.of(EventKind.VALIDATION)[-1].data["loss"])


def _model(seed: int = 3, **changes: Any) -> Tacotron2:
    torch.manual_seed(seed)
    config = _config(Path("unused"), model=changes)
    return Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels)


def test_validation_is_repeatable_and_leaves_the_random_state_alone(features: Features) -> None:
    model = _model()
    state = torch.get_rng_state()
    settle_batch_norm(model, features, 4, FLOOR, CPU)
    shown = features.validation[-2:]
    first = validate(model, features, 4, FLOOR, CPU, shown)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    settle_batch_norm(model, features, 4, FLOOR, CPU)
    assert validate(model, features, 4, FLOOR, CPU).figures == first.figures
    assert not model.training
    assert sorted(first.shown) == sorted(shown)
    for clip, seen in first.shown.items():
        frames = int(features.frames[clip])
        assert seen.mel.shape == (frames, features.n_mels)
        assert seen.attention.shape == (-(-frames // model.reduction), len(features.tokens(clip)))
        np.testing.assert_allclose(seen.attention.sum(1), 1, rtol=1e-4)


def test_a_short_a_middle_and_a_long_sentence_are_shown_or_fewer_where_there_are_fewer() -> None:
    features = random_features(_config(Path("unused")), 200, 0.2, seed=5)  # ten for validation
    chosen = choose_sentences(features, 0)
    assert list(chosen) == ["short", "middle", "long"]
    frames = sorted(features.frames[features.validation])
    assert [features.frames[clip] for clip in chosen.values()] == [frames[0], frames[5], frames[-1]]
    assert set(choose_sentences(features, 4).values()) <= set(features.validation[:4])
    assert list(choose_sentences(features, 2)) == ["short", "middle"]
    assert list(choose_sentences(features, 1)) == ["middle"]


def test_validation_does_not_depend_on_its_batches(features: Features) -> None:
    model = _model(prenet_dropout=0.0).eval()
    together, alone = (validate(model, features, size, FLOOR, CPU).figures for size in (2, 1))
    assert together == pytest.approx(alone, rel=1e-4)


def test_settling_measures_the_batch_norms_and_restores_how_they_learn(features: Features) -> None:
    model = _model()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.fill_(math.nan)
    weights = {name: parameter.clone() for name, parameter in model.named_parameters()}
    settle_batch_norm(model, features, 4, FLOOR, CPU)
    assert all(norm.running_mean.isfinite().all() and norm.momentum == 0.1 for norm in norms)
    assert not any(norm.training for norm in norms)
    assert _same(weights, dict(model.named_parameters()))


@pytest.mark.parametrize(("gate_bias", "reached_limit", "stopped_early"), [(-20.0, 1.0, 0.0), (20.0, 0.0, 1.0)])
def test_speaking_tells_whether_sentences_end(
    features: Features, gate_bias: float, reached_limit: float, stopped_early: float
) -> None:
    model = _model()
    with torch.no_grad():
        model.decoder.gate.weight.zero_()
        model.decoder.gate.bias.fill_(gate_bias)
    spoken = speak(model, features, features.validation, FLOOR, CPU)
    assert spoken.figures["reached_limit"] == reached_limit
    assert spoken.figures["stopped_early"] == stopped_early
    frames = spoken.output.steps * model.reduction
    true = spoken.batch.mel_lengths
    assert spoken.figures["duration_error"] == pytest.approx(((frames - true).abs() / true).mean().item())
    assert spoken.shown(1).mel.shape == (int(frames[1]), features.n_mels)


def test_nobody_may_speak_much_longer_than_the_corpus_does(features: Features) -> None:
    per_token = sum(int(features.frames[i]) for i in features.train) / sum(
        len(features.tokens(i)) for i in features.train
    )
    assert frame_limit(features, torch.tensor([0, 10])).tolist() == [40, int(40 + 20 * per_token)]


def test_a_run_whose_corpus_has_changed_is_refused(tmp_path: Path, features: Features) -> None:
    config = _config(tmp_path)
    assert Training(config, features, _after(3)).run() is ExitCode.STOPPED
    other = random_features(config, utterances=44, seconds=0.5, seed=2)
    with pytest.raises(CorpusError, match=r"the corpus has changed since the run in .* began"):
        Training(config, other)
    assert Training(config, features).resumed


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "mps", "cpu:1"])
def test_a_device_that_is_not_there_is_refused(tmp_path: Path, features: Features, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"`device.name` .*{name}"):
        Training(_config(tmp_path, device={"name": name}), features)


def test_a_run_that_has_ended_goes_on_with_a_larger_budget(tmp_path: Path, features: Features) -> None:
    assert Run(_config(tmp_path), features).code is ExitCode.FINISHED
    longer = Run(_config(tmp_path, budget={"frames": 8000, "reports": 4}), features)
    assert longer.code is ExitCode.FINISHED
    assert [event.data["index"] for event in longer.of(EventKind.VALIDATION)] == [3, 4]
    assert longer.last["progress"]["frames"] == longer.events[-1].frames >= 8000


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("optimizer.lr", {"optimizer": {"lr": 1e-3}}),
        ("model.prenet_dim", {"model": {"prenet_dim": 4}}),
        ("seed", {"seed": 9}),
    ],
)
def test_a_run_is_not_continued_with_settings_that_change_its_numbers(
    finished: Run, tmp_path: Path, features: Features, key: str, changes: dict[str, Any]
) -> None:
    shutil.copytree(finished.dir.path, tmp_path / "run")
    with pytest.raises(ConfigError, match=rf"^`{key}` was .* when the run in .* began, and is .* now"):
        Training(_config(tmp_path / "run", **changes), features)
    assert Training(_config(tmp_path / "run", logging={"pictures": True}), features).resumed
