"""Runs with `corrections.kind: all`: what is done, told and kept, and that a kill at any update changes nothing."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from short_run import Run, same, small_config

from trainer import checkpoint_files, reports, updates
from trainer.checkpoint import TrainingState
from trainer.config import TrainerConfig
from trainer.corrections import policy
from trainer.corrections.gradients import LAST_NORMS
from trainer.data.features import Features
from trainer.evaluation.evaluator import Evaluation, Evaluator
from trainer.loop import train_on
from trainer.losses import Losses, training_losses
from trainer.model import Tacotron2
from trainer.protocol import Event, EventKind, ExitCode, RunDir, all_events
from trainer.resuming import open_state
from trainer.validation import validate

pytestmark = pytest.mark.usefixtures("one_thread")


def config_of(folder: Path, **changes: Any) -> TrainerConfig:
    given = {
        "corrections": {"kind": "all"},
        "batch": {"size": 2},
        "budget": {"frames": 4000, "reports": 12},
        "validation": {"free_running_utterances": 0},
    }
    return small_config(folder, **{**given, **changes})


class Killed(BaseException):
    """Ends a run without a save, as SIGKILL does."""


class Scripted:
    """A run whose alignments, and the factors of whose losses, are given, so that corrections have a cause."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        config: TrainerConfig,
        features: Features,
        alignments: Mapping[int, float] | None = None,  # by report; else those measured
        heard: Mapping[int, float] | None = None,  # as `alignments`, without a teacher
        factors: Mapping[int, float] | None = None,  # of the loss, by update, each time the update comes
    ) -> None:
        self.config = config
        self.features = features
        self.dir = RunDir(Path(config.paths.run))
        self.state: TrainingState | None = None
        self._alignments = alignments or {}
        self._heard = heard or {}
        self._factors = factors or {}
        monkeypatch.setattr(reports, "validate", self._validate)
        self._evaluate = Evaluator.evaluate
        monkeypatch.setattr(Evaluator, "evaluate", lambda evaluator, model: self._listen(evaluator, model))
        monkeypatch.setattr(updates, "training_losses", self._losses)

    def run(self, killed_before: int | None = None) -> ExitCode:
        """killed_before: an update; the run ends before it, without a save."""
        state = self.state = open_state(self.config, self.features)

        def kill() -> None:
            if state.progress.update == killed_before:
                raise Killed

        return train_on(state, kill)

    def _listen(self, evaluator: Evaluator, model: Tacotron2) -> Evaluation:
        assert self.state is not None
        found = self._evaluate(evaluator, model)
        if (alignment := self._heard.get(self.state.due())) is None:
            return found
        return replace(found, figures=found.figures | {"alignment": alignment, "distance": 5 / alignment})

    def _validate(self, *arguments: Any) -> Any:
        assert self.state is not None
        result = validate(*arguments)
        if (alignment := self._alignments.get(self.state.due())) is None:
            return result
        loss = result.figures["loss"] / alignment  # a model that does not align predicts worse
        return replace(result, figures=result.figures | {"alignment": alignment, "loss": loss})

    def _losses(self, *arguments: Any) -> Losses:
        assert self.state is not None
        good = training_losses(*arguments)
        factor = self._factors.get(self.state.progress.update + 1, 1.0)
        if self.state.progress.rollbacks and math.isnan(factor):
            return good  # it was an accident
        return replace(good, total=good.total * factor)

    def of(self, kind: EventKind) -> list[Event]:
        return [event for event in all_events(self.dir.events) if event.kind is kind]

    @property
    def corrections(self) -> list[tuple[int, str, str]]:
        return [(e.update, e.data["what"], e.data["cause"]) for e in self.of(EventKind.CORRECTION)]

    @property
    def last(self) -> dict[str, Any]:
        return checkpoint_files.load(self.dir.last_checkpoint)


Make = Callable[..., Scripted]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, features: Features, tmp_path: Path) -> Make:
    monkeypatch.setattr(policy, "LATE_UPDATES", 10)  # so that short runs are enough

    def make(folder: str = "run", *, changes: Mapping[str, Any] | None = None, **script: Any) -> Scripted:
        return Scripted(monkeypatch, config_of(tmp_path / folder, **(changes or {})), features, **script)

    return make


LATE = {i: 0.05 for i in range(1, 13)}
LOST = {1: 0.2, 2: 0.6, 3: 0.9, 4: 0.9, 5: 0.1, 6: 0.1, 7: 0.9, 8: 0.9, 9: 0.9, 10: 0.9, 11: 0.9, 12: 0.9}
WELL = {i: 0.9 for i in range(1, 13)}


def _guided_weight(progress: Event) -> float:
    data = progress.data
    return float((data["loss"] - data["mel_loss"] - data["gate_loss"]) / data["guided_attention_loss"])


def test_a_run_that_goes_well_is_not_touched(scripted: Make, tmp_path: Path, features: Features) -> None:
    run = scripted(alignments=WELL)
    assert run.run() is ExitCode.FINISHED
    assert run.corrections == []
    plain = Run(config_of(tmp_path / "plain", corrections={"kind": "safety"}), features)
    assert same(run.last["model"], plain.last["model"])
    assert same(run.last["optimizer"], plain.last["optimizer"])


def test_trials_are_corrected_for_safety_alone(scripted: Make) -> None:
    run = scripted(alignments=LATE, changes={"corrections": {}})
    assert run.config.corrections.kind == "safety"
    assert run.run() is ExitCode.FINISHED
    assert run.corrections == []
    assert not run.dir.reported_checkpoint.exists()
    assert "history" not in run.last


def test_late_alignment_raises_guided_attention_and_gives_it_back(scripted: Make) -> None:
    rises = {i: 0.05 if i < 5 else 0.8 for i in range(1, 15)}
    run = scripted(alignments=rises, changes={"budget": {"frames": 4600, "reports": 14}})
    assert run.run() is ExitCode.FINISHED
    reported = {e.data["index"]: e.update for e in run.of(EventKind.VALIDATION)}
    raised, kept, *less, back = told = run.of(EventKind.CORRECTION)
    assert [event.data["what"] for event in told] == ["guide", "keep", "lessen", "lessen", "give_back"]
    assert {event.data["cause"] for event in told} == {"alignment_late"}
    assert raised.update in reported.values()
    weights = {e.update: _guided_weight(e) for e in run.of(EventKind.PROGRESS)}
    assert {round(weights[u], 2) for u in weights if u <= raised.update} == {0.1}
    assert {round(weights[u], 2) for u in weights if raised.update < u <= less[0].update} == {10.0}
    assert {round(weights[u], 2) for u in weights if less[0].update < u <= less[1].update} == {3.33}
    assert {round(weights[u], 2) for u in weights if u > back.update} == {0.1}
    assert f"after {kept.update - raised.update} updates; kept" in kept.data["reason"]


def test_lost_alignment_returns_the_weights_and_not_the_budget(scripted: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    returned = []

    def restore_weights(state: TrainingState, content: dict[str, Any]) -> None:
        before = state.progress
        original(state, content)
        aligned = checkpoint_files.load(state.run_dir.aligned_checkpoint)
        assert same(dict(state.model.state_dict()), aligned["model"])
        assert state.progress == before
        returned.append(aligned["progress"]["update"])

    original = TrainingState.restore_weights
    monkeypatch.setattr(TrainingState, "restore_weights", restore_weights)
    run = scripted(alignments=LOST)
    assert run.run() is ExitCode.FINISHED
    reported = {e.data["index"]: e.update for e in run.of(EventKind.VALIDATION)}
    assert list(reported) == list(range(1, 13)), "no report comes twice"
    assert run.corrections == [
        (reported[6], "roll_back", "alignment_lost"),
        (reported[8], "keep", "alignment_lost"),
    ]
    assert returned == [reported[4]]
    reason = run.of(EventKind.CORRECTION)[0].data["reason"]
    assert reason.endswith(f"learning rate x 0.5; back to the weights of update {reported[4]}")
    rates = {e.update: e.data["lr"] for e in run.of(EventKind.PROGRESS)}
    assert {rates[u] for u in rates if u > reported[6]} == {0.5 * run.config.optimizer.lr}
    assert run.last["progress"]["lr_scale"] == 0.5


@pytest.mark.slow
def test_a_rate_that_is_lowered_meanwhile_is_not_raised_by_keeping_a_correction(scripted: Make) -> None:
    first = scripted("first", alignments=LOST)
    assert first.run() is ExitCode.FINISHED
    returned = first.corrections[0][0]
    run = scripted(alignments=LOST, factors={update: math.nan for update in range(returned + 1, returned + 6)})
    assert run.run() is ExitCode.FINISHED
    done = [(what, cause) for _, what, cause in run.corrections if what != "skip"]
    assert done == [("roll_back", "alignment_lost"), ("roll_back", "not_finite"), ("keep", "alignment_lost")]
    assert run.last["progress"]["lr_scale"] == 0.25


def test_lost_alignment_without_a_checkpoint_to_return_to_lowers_the_rate(
    scripted: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_files, "save_again", _not_aligned(checkpoint_files.save_again))
    run = scripted(alignments=LOST)
    assert run.run() is ExitCode.FINISHED
    assert run.last["progress"]["lr_scale"] == 0.5
    lowered = run.of(EventKind.CORRECTION)[0].data
    assert (lowered["what"], lowered["cause"]) == ("lower_rate", "alignment_lost")
    assert lowered["reason"].endswith("learning rate x 0.5; no state to return to is kept")


def test_a_return_to_an_older_aligned_state_is_recorded_with_its_update(
    scripted: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a copy of the run's folder without its newest files."""
    save_again, saved = checkpoint_files.save_again, []

    def save_first(path: Path, name: Path, keep: Path | None = None) -> None:
        if name.stem != "aligned" or not saved:
            save_again(path, name, keep)
        if name.stem == "aligned" and not saved:
            saved.append(checkpoint_files.load(name)["progress"]["update"])

    monkeypatch.setattr(checkpoint_files, "save_again", save_first)
    run = scripted(alignments=LOST)
    assert run.run() is ExitCode.FINISHED
    assert run.of(EventKind.CORRECTION)[0].data["reason"].endswith(f"; back to the weights of update {saved[0]}")


def _not_aligned(save_again: Callable[..., None]) -> Callable[..., None]:
    def save(path: Path, name: Path, keep: Path | None = None) -> None:
        if name.stem == "aligned":
            name.write_bytes(b"torn")
        else:
            save_again(path, name, keep)

    return save


def test_an_exploding_update_is_clipped_where_it_happens(scripted: Make, features: Features) -> None:
    script = {LAST_NORMS + 20: 1e6}
    changes = {"optimizer": {"gradient_clip": 1e6}, "budget": {"frames": 8000, "reports": 4}}
    bad = scripted("bad", factors=script, changes=changes | {"corrections": {"kind": "safety"}})
    assert bad.run() is ExitCode.FINISHED
    run = scripted("run", factors=script, alignments=WELL, changes=changes)
    assert run.run() is ExitCode.FINISHED
    told = run.of(EventKind.CORRECTION)[0]
    assert (told.update, told.data["what"], told.data["cause"]) == (LAST_NORMS + 20, "clip", "gradient")
    assert told.data["before"] > 1000 * told.data["after"]
    norms = {e.update: e.data["gradient_norm"] for e in run.of(EventKind.PROGRESS)}
    assert min(norms.values()) <= told.data["after"] <= max(norms[u] for u in range(1, LAST_NORMS + 20))
    moment = max(state["exp_avg_sq"].max() for state in run.last["optimizer"]["state"].values())
    spoiled = max(state["exp_avg_sq"].max() for state in bad.last["optimizer"]["state"].values())
    assert moment < 1e-3 * spoiled, "Adam does not remember it"


def test_updates_that_are_not_finite_go_back_to_the_last_report_wherever_it_was_saved_since(scripted: Make) -> None:
    """`last.pt` is newer, and depends on the clock and on kills."""
    bad = {update: math.nan for update in range(34, 39)}
    changes = {"logging": {"checkpoint_every_seconds": 0}}
    run = scripted(alignments=WELL, factors=bad, changes=changes)
    assert run.run() is ExitCode.FINISHED
    reported = max(e.update for e in run.of(EventKind.VALIDATION) if e.update < 34)
    events = all_events(run.dir.events)
    (back,) = (i for i, e in enumerate(events) if e.data.get("what") == "roll_back")
    assert reported < 33
    assert next(e.update for e in events[back:] if e.kind is EventKind.PROGRESS) == reported


@pytest.mark.slow
def test_updates_that_are_not_finite_before_the_first_report_begin_again_at_half_the_rate(scripted: Make) -> None:
    changes = {"budget": {"reports": 4}}
    run = scripted(alignments=WELL, factors={update: math.nan for update in range(3, 8)}, changes=changes)
    assert run.run() is ExitCode.FINISHED
    assert run.corrections[-1] == (7, "roll_back", "not_finite")
    assert min(e.update for e in run.of(EventKind.VALIDATION)) > 7
    slow = scripted("slow", alignments=WELL, changes=changes | {"optimizer": {"lr": run.config.optimizer.lr / 2}})
    assert slow.run() is ExitCode.FINISHED
    assert same(run.last["model"], slow.last["model"])


# A rollback of each kind, guided attention raised and undone, an exploding update.
EVENTFUL = {
    "lost": {"alignments": LOST, "factors": {update: math.nan for update in range(60, 65)}},
    "late": {"alignments": LATE, "factors": {LAST_NORMS + 4: 1e6, 10: math.nan}},
}


@pytest.mark.parametrize(
    ("script", "every_update"),
    [
        ("lost", True),
        ("lost", False),
        ("late", True),
        ("late", False),
    ],
)
@pytest.mark.slow
def test_a_run_killed_anywhere_resumes_to_the_same_weights(script: str, every_update: bool, scripted: Make) -> None:
    """every_update: checkpoints are also saved between reports, as the clock may have it."""
    changes = {
        "optimizer": {"gradient_clip": 1e6},
        "budget": {"frames": 9000, "reports": 12},
    }
    whole = scripted("whole", changes=changes, **EVENTFUL[script])
    assert whole.run() is ExitCode.FINISHED
    assert {what for _, what, _ in whole.corrections} >= (
        {"roll_back", "keep", "skip"} if script == "lost" else {"guide", "undo", "clip", "skip"}
    )
    end = whole.last["progress"]["update"]
    logging = {"checkpoint_every_seconds": 0 if every_update else 3600}
    run = scripted("killed", changes=changes | {"logging": logging}, **EVENTFUL[script])
    for update in range(4, end, 13):
        with pytest.raises(Killed):
            run.run(killed_before=update)
    assert run.run() is ExitCode.FINISHED
    for key in ("model", "optimizer", "rng", "norms"):
        assert same(run.last[key], whole.last[key]), key
    for key in ("history", "clips"):  # in which NaN is a value
        assert repr(run.last[key]) == repr(whole.last[key]), key
    before, after = (replace_seconds(each.last["progress"]) for each in (whole, run))
    assert before == after


def replace_seconds(progress: Mapping[str, Any]) -> dict[str, Any]:
    return {**progress, "seconds": 0.0}


def test_a_voice_whose_alignment_is_lost_is_returned_to_from_the_first_report_on(
    scripted: Make, finished: Run, tmp_path: Path
) -> None:
    """Fine-tuning at too high a rate."""
    changes = {"warm_start": str(finished.dir.best_checkpoint)}
    run = scripted(alignments={0: 0.9, 1: 0.1, 2: 0.1} | {i: 0.9 for i in range(3, 13)}, changes=changes)
    assert run.run() is ExitCode.FINISHED
    back, kept = run.of(EventKind.CORRECTION)
    assert (back.data["what"], kept.data["what"]) == ("roll_back", "keep")
    assert back.data["reason"].endswith("back to the weights of update 0")


@pytest.mark.slow
def test_a_voice_that_is_lost_without_a_teacher_alone_is_returned_to(scripted: Make, finished: Run) -> None:
    changes = {
        "warm_start": str(finished.dir.best_checkpoint),
        "validation": {"free_running_utterances": 2, "free_running_share": 1.0},
    }
    lost = dict.fromkeys(range(13), 0.9) | {4: 0.1, 5: 0.1}
    run = scripted(alignments=dict.fromkeys(range(13), 0.9), heard=lost, changes=changes)
    assert run.run() is ExitCode.FINISHED
    assert run.of(EventKind.STARTED)[0].data["start"]["free_running_alignment"] == 0.9
    reported = {event.data["index"]: event.update for event in run.of(EventKind.VALIDATION)}
    assert run.corrections == [(reported[5], "roll_back", "speech_lost"), (reported[7], "keep", "speech_lost")]
    back = run.of(EventKind.CORRECTION)[0]
    assert back.data["reason"].endswith(f"back to the weights of update {reported[3]}")


@pytest.mark.slow
@pytest.mark.parametrize(("before", "now"), [(0.9, 0.1), (0.1, 0.9)])
def test_a_continued_run_counts_with_its_own_start_not_with_that_of_the_run_before(
    before: float, now: float, scripted: Make, finished: Run
) -> None:
    changes = {"warm_start": str(finished.dir.best_checkpoint), "corrections": {"kind": "safety"}}
    first = scripted("first", alignments={0: before}, changes=changes)
    with pytest.raises(Killed):
        first.run(killed_before=30)
    seen = len(first.of(EventKind.VALIDATION))
    alignments = {i: 0.1 if i in (seen + 1, seen + 2) else 0.9 for i in range(13)} | {seen: now}
    run = scripted(alignments=alignments, changes={"continue_from": str(first.dir.last_checkpoint)})
    assert run.run() is ExitCode.FINISHED
    started = run.of(EventKind.STARTED)[0]
    assert started.data["start"]["alignment"] == now
    back = [event.data["reason"] for event in run.of(EventKind.CORRECTION) if event.data["what"] == "roll_back"]
    assert len(back) == (now > before)
    assert all(reason.endswith(f"back to the weights of update {started.update}") for reason in back)


@pytest.mark.slow
def test_corrections_may_be_switched_off_and_on_when_a_run_is_resumed(scripted: Make) -> None:
    run = scripted(alignments=LATE)
    with pytest.raises(Killed):
        run.run(killed_before=20)
    assert run.corrections[0][1] == "guide"
    off = scripted(alignments=LATE, changes={"corrections": {"kind": "safety"}})
    assert off.run() is ExitCode.FINISHED
    assert _guided_weight(off.of(EventKind.PROGRESS)[-1]) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.slow
def test_a_checkpoint_of_an_earlier_version_gets_corrections(scripted: Make, tmp_path: Path) -> None:
    run = scripted(alignments=LATE)
    with pytest.raises(Killed):
        run.run(killed_before=20)
    content = run.last
    for key in ("history", "norms", "clips"):
        del content[key]
    content["settings"].pop("corrections")
    torch.save(content, run.dir.last_checkpoint)
    run.dir.reported_checkpoint.unlink()
    assert run.run() is ExitCode.FINISHED
    assert run.corrections


@pytest.mark.slow
def test_corrections_are_shown_in_tensorboard(scripted: Make, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = tmp_path / "logs"
    changes = {"logging": {"tensorboard": True}, "paths": {"tensorboard": str(logs)}}
    run = scripted(alignments=LOST, changes=changes)
    run.run()
    shown = EventAccumulator(str(logs)).Reload().Tensors("corrections/text_summary")
    texts = [point.tensor_proto.string_val[0].decode() for point in shown]
    assert [point.step for point in shown] == [update for update, _, _ in run.corrections]
    for text, event in zip(texts, run.of(EventKind.CORRECTION), strict=True):
        assert text == f"update {event.update:,}: {event.data['reason']}"
