"""Reports: which voices are kept, and when training ends before its budget is spent."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from short_run import Run, small_config, stop_after

from trainer import checkpoint_files, voice_format
from trainer.checkpoint import TrainingState
from trainer.data.features import Features
from trainer.previews import Previews
from trainer.protocol import EventKind, ExitCode
from trainer.reports import Reports
from trainer.resuming import open_state
from trainer.summaries import Summaries
from trainer.validation import rank

pytestmark = pytest.mark.usefixtures("one_thread")
# At such a rate the loss does not fall any more after the first reports.
UNSTEADY = {"optimizer": {"lr": 0.2}, "budget": {"frames": 8000, "reports": 8}, "validation": {"alignment_floor": 0.0}}


def test_the_best_reports_are_kept_and_no_others(tmp_path: Path, features: Features) -> None:
    run = Run(small_config(tmp_path, **UNSTEADY, checkpoints={"best": 3}), features)
    reports = [event.data for event in run.of(EventKind.VALIDATION)]
    ranked = sorted(reports, key=lambda report: rank(report, 0.0, "free_running_distance"))
    kept = sorted(file.name for file in run.dir.best_checkpoint.parent.glob("report-*.pt"))
    assert kept == sorted(f"report-{report['index']:04d}.pt" for report in ranked[:3])
    best = voice_format.load(run.dir.best_checkpoint)
    assert best.figures is not None
    assert best.figures["index"] == ranked[0]["index"]
    for name in kept:
        voice = voice_format.load(run.dir.best_checkpoint.with_name(name))
        assert voice.figures is not None
        assert f"report-{voice.figures['index']:04.0f}.pt" == name


def test_a_single_best_report_is_best_pt_alone(finished: Run) -> None:
    assert not list(finished.dir.best_checkpoint.parent.glob("report-*.pt"))


def test_training_ends_when_patience_is_over(tmp_path: Path, features: Features) -> None:
    changes = {**UNSTEADY, "validation": {"alignment_floor": 0.0, "patience": 1, "free_running_share": 1.0}}
    run = Run(small_config(tmp_path, **changes), features)
    assert run.code is ExitCode.FINISHED
    reports = run.of(EventKind.VALIDATION)
    assert len(reports) < 8
    best = max(event.data["index"] for event in reports if event.data["best"])
    assert reports[-1].data["index"] - best == 1
    reason = run.events[-1].data["reason"]
    assert reason == f"the last report was not better than report {best}"


def test_patience_counts_what_is_heard(tmp_path: Path, features: Features) -> None:
    """Of 8 reports the last one alone is heard, so that none before it could be better."""
    rarely = {"alignment_floor": 0.0, "patience": 1, "free_running_share": 0.001}
    run = Run(small_config(tmp_path, **{**UNSTEADY, "validation": rarely}), features)
    assert len(run.of(EventKind.VALIDATION)) == 8


@pytest.mark.slow
def test_patience_waits_for_an_alignment(tmp_path: Path, features: Features) -> None:
    changes = {**UNSTEADY, "validation": {"alignment_floor": 1.0, "patience": 1}}
    run = Run(small_config(tmp_path, **changes), features)
    assert len(run.of(EventKind.VALIDATION)) == 8
    assert run.events[-1].data["reason"] == "the budget is spent"


def test_a_training_that_ended_by_patience_is_not_resumed(tmp_path: Path, features: Features) -> None:
    changes = {**UNSTEADY, "validation": {"alignment_floor": 0.0, "patience": 2}}
    first = Run(small_config(tmp_path, **changes), features)
    again = Run(small_config(tmp_path, **changes), features)
    assert again.events[-1].update == first.events[-1].update
    assert again.code is ExitCode.FINISHED


@pytest.mark.slow
def test_voices_are_kept_by_the_hour_within_the_limit(tmp_path: Path, features: Features) -> None:
    every = {"every_hours": 1e-6}  # 4 ms: at each look
    run = Run(small_config(tmp_path / "all", checkpoints={**every, "most_gib": 1}), features)
    assert len(_by_the_hour(run.state)) > 1
    few = Run(small_config(tmp_path / "few", checkpoints={**every, "most_gib": 0}), features)
    assert len(_by_the_hour(few.state)) == 1


def _by_the_hour(state: TrainingState) -> list[str]:
    return sorted(file.name for file in state.run_dir.best_checkpoint.parent.glob("hours-*.pt"))


def _keep_by_the_hour(state: TrainingState, hours: Iterable[float]) -> None:
    def emit(*_: object) -> None:
        pytest.fail("there is no event to write")

    with Summaries(None, None) as summaries:
        reports = Reports(
            state, None, Previews(state.config, state.features, summaries, emit, state.device), summaries, emit
        )
        for trained in hours:
            state.progress = replace(state.progress, seconds=3600 * trained)
            reports.keep_by_the_hour()


def test_each_voice_by_the_hour_has_a_number_and_is_written_once(tmp_path: Path, features: Features) -> None:
    state = open_state(small_config(tmp_path, checkpoints={"every_hours": 0.02}), features)
    _keep_by_the_hour(state, [0.01, 0.021, 0.039])
    first = (state.run_dir.best_checkpoint.with_name("hours-0001.pt")).read_bytes()
    state.best = {"loss": 0.5, "index": 1.0}
    with torch.no_grad():
        state.model.decoder.mel.weight.add_(1.0)
    _keep_by_the_hour(state, [0.041, 0.03, 0.061, 0.03, 0.07])  # with two rollbacks
    assert _by_the_hour(state) == ["hours-0001.pt", "hours-0002.pt", "hours-0003.pt"]
    assert (state.run_dir.best_checkpoint.with_name("hours-0001.pt")).read_bytes() == first


def test_the_oldest_voices_by_the_hour_are_deleted_and_no_other_file(tmp_path: Path, features: Features) -> None:
    state = open_state(small_config(tmp_path, checkpoints={"every_hours": 1, "most_gib": 0}), features)
    state.run_dir.best_checkpoint.with_name("hours-of-mine.pt").write_bytes(b"")
    _keep_by_the_hour(state, [0, 9999, 10000])
    assert _by_the_hour(state) == ["hours-10000.pt", "hours-of-mine.pt"]


def test_a_voice_by_the_hour_has_settled_batch_norms_and_no_figures(tmp_path: Path, features: Features) -> None:
    state = open_state(small_config(tmp_path, checkpoints={"every_hours": 1}), features)
    state.best = {"loss": 0.5, "index": 1.0}  # of an earlier report
    _keep_by_the_hour(state, [0, 1])
    voice = voice_format.load(state.run_dir.best_checkpoint.with_name("hours-0001.pt"))
    assert voice.figures is None
    means = [weight for name, weight in voice.weights.items() if name.endswith("running_mean")]
    assert means
    assert all(mean.abs().max() > 0 for mean in means)


@pytest.mark.slow
def test_the_kept_reports_survive_a_stop(tmp_path: Path, features: Features) -> None:
    changes = {**UNSTEADY, "checkpoints": {"best": 3}}
    whole = Run(small_config(tmp_path / "whole", **changes), features)
    Run(small_config(tmp_path / "parts", **changes), features, stop_after(17))
    parts = Run(small_config(tmp_path / "parts", **changes), features)
    assert parts.state.kept == whole.state.kept
    names = [sorted(f.name for f in run.dir.best_checkpoint.parent.glob("report-*.pt")) for run in (whole, parts)]
    assert names[0] == names[1]
    assert checkpoint_files.load(parts.dir.last_checkpoint)["kept"] == whole.state.kept
