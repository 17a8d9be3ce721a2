"""A whole study from Python, with the fake trainer: real processes and a real store."""

import json
from collections import Counter
from typing import Any

import pytest
from lab import FAKE_TRAINER, GUIDED, REPORTS, STUDY, Lab, open_queue
from optuna.samplers import TPESampler
from queues import take

from smart_tuner.errors import SettingsError, StudyError, UserError, WorkerBroken, exit_code
from smart_tuner.executors import Launch
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.machine.admission import FreeAdmission
from smart_tuner.machine.capacity import Capacity, Demand
from smart_tuner.outcome import Cause
from smart_tuner.run.pool import Pool
from smart_tuner.space import suggest
from smart_tuner.spec import load_study
from smart_tuner.store.attributes import Attr, StudyAttr, stored_cause
from smart_tuner.store.storage import open_storage
from smart_tuner.workspace import Workspace
from trainer.config import DeviceConfig, TrainerConfig
from trainer.protocol import EventKind, all_events

THRICE = "failed 3 times; the last time the trainer"


class NoExecutor:
    """Can launch nothing."""

    runs_may_wait = False

    def capacity(self, demand: Demand) -> Capacity:
        return Capacity(1, 1, ("cpu",))

    def admission(self, capacity: Capacity, preset: str) -> FreeAdmission:
        return FreeAdmission()

    def launch(self, launch: Launch) -> Any:
        raise OSError("no process can be started")

    def close(self) -> None:
        pass


def test_a_study_keeps_its_last_requested_number_of_trials(lab: Lab) -> None:
    lab.define(trials=4)
    lab.tuner().submit()
    assert lab.study().user_attrs[StudyAttr.TARGET] == 4
    lab.tuner().submit(2)
    lab.tuner().submit()
    assert lab.study().user_attrs[StudyAttr.TARGET] == 2
    assert sum(lab.tuner().optimize().states.values()) == 2


def test_a_study_ends_with_exactly_the_requested_number_of_trials(lab: Lab) -> None:
    result = lab.tuner(jobs=2).optimize(6)
    trials = lab.study().trials
    assert len(trials) == 6
    assert result.states == Counter(t.state.name for t in trials)
    assert result.states.keys() == {"COMPLETE", "PRUNED"}
    for trial in trials:
        guided = trial.params["guided_attention.enabled"]
        assert trial.state.name == ("COMPLETE" if guided else "PRUNED")
        assert trial.user_attrs[Attr.FEASIBLE] is guided
        assert trial.user_attrs.get(Attr.REASON, "").startswith("" if guided else "attention does not align: alignment")
        assert trial.user_attrs[Attr.RUN_DIR] == f"runs/lab/trial-{trial.number:04d}"
        reports = list(range(1, REPORTS + 1)) if guided else [1, 2]
        assert list(trial.intermediate_values) == (reports if guided else [])  # measured where it aligns
        assert list(trial.user_attrs[Attr.ALIGNMENT]) == [str(index) for index in reports]
        config = json.loads(lab.run_dir(trial.number).config.read_text(encoding="utf-8"))
        assert config["optimizer"]["lr"] == trial.params["optimizer.lr"]
    first = trials[0]
    assert first.params == GUIDED
    metrics = first.user_attrs[Attr.METRICS]
    assert metrics["free_running_distance"] == first.value == min(first.intermediate_values.values())
    assert first.user_attrs[Attr.LOSS][str(REPORTS)] == metrics["validation_loss"]
    assert metrics["alignment"] == pytest.approx(0.95 / 1.1)
    assert metrics["free_running_alignment"] == pytest.approx(0.9 * 0.95 / 1.1)
    assert result.best is not None
    assert result.best.trial == lab.study().best_trial.number
    assert result.best.checkpoint == str(lab.run_dir(result.best.trial).best_checkpoint)
    assert result.nearest is None


def test_a_second_request_returns_at_once_and_a_larger_one_adds_the_difference(lab: Lab) -> None:
    first = lab.tuner().optimize(2)
    assert lab.tuner(executor=NoExecutor()).optimize(2) == first
    assert lab.tuner(executor=NoExecutor()).optimize(1) == first
    assert lab.tuner().result() == first
    more = lab.tuner().optimize(4)
    assert sum(more.states.values()) == 4
    assert [lab.resumed(number) for number in range(4)] == [[False]] * 4


def test_a_lower_loss_without_alignment_is_never_the_best(lab: Lab) -> None:
    lab.order(any={})
    result = lab.tuner(overrides={"pruner.kind": "none"}).optimize(2)
    guided, unguided = lab.study().trials
    assert unguided.state.name == "COMPLETE"
    assert unguided.value < guided.value
    assert result.best is not None
    assert result.best.trial == lab.study().best_trial.number == guided.number


def test_without_a_feasible_trial_none_is_the_best_and_the_nearest_is_named(lab: Lab) -> None:
    result = lab.tuner(overrides={"constraints.alignment.at_least": 0.99}).optimize(2)
    assert result.best is None
    assert result.nearest is not None
    assert (result.nearest.trial, result.nearest.feasible) == (0, False)
    with pytest.raises(ValueError, match="No feasible trials"):
        _ = lab.study().best_trial


@pytest.mark.parametrize(
    ("order", "state", "cause", "reason"),
    [
        ({"act": ["nan"], "hold_at": 2}, "PRUNED", Cause.DIVERGED, "diverged: validation loss nan at 50%"),
        ({"act": ["diverged"]}, "PRUNED", Cause.DIVERGED, "diverged: as ordered: diverged"),
        ({"act": ["out of memory"]}, "PRUNED", Cause.MEMORY, "out of memory: as ordered: out of memory"),
        ({"act": ["crash"]}, "FAIL", Cause.CRASHED, f"{THRICE} crashed (exit code 1): see the log\nfake"),
        ({"act": ["killed"]}, "FAIL", Cause.KILLED, f"{THRICE} was killed by SIGKILL\nfake trainer at work"),
        ({"act": ["leave"]}, "FAIL", Cause.CRASHED, f"{THRICE} ended with exit code 0 but did not finish\nfake"),
        ({"act": ["bad input"]}, "FAIL", Cause.BAD_INPUT, "the trainer refused its input (exit code 2): as ordered"),
        ({"act": ["crash"], "at": 1}, "FAIL", Cause.CRASHED, f"{THRICE} crashed (exit code 1)"),
    ],
    ids=["nan", "diverged", "out of memory", "crash", "killed", "leave", "bad input", "crash before any report"],
)
def test_a_trial_that_goes_wrong_is_stored_with_its_reason_and_the_study_goes_on(
    lab: Lab, order: dict[str, Any], state: str, cause: Cause, reason: str
) -> None:
    lab.order(t0=order)
    result = lab.tuner().optimize(2)
    wrong = lab.study().trials[0]
    assert (wrong.state.name, wrong.user_attrs[Attr.CAUSE], stored_cause(wrong)) == (state, cause.value, cause)
    assert wrong.user_attrs[Attr.REASON].startswith(reason)
    assert result.best is None
    if state == "FAIL":
        assert wrong.value is None
        assert Attr.FEASIBLE not in wrong.user_attrs
    assert sum(result.states.values()) == 2


def test_a_report_that_is_not_finite_is_not_the_value_of_a_trial(lab: Lab) -> None:
    lab.order(t0={"act": ["nan"], "at": 1})  # it goes on, and finishes before it can be stopped
    lab.tuner(overrides={"budget.reports": 1, "pruner.kind": "none"}).optimize(1)
    (trial,) = lab.study().trials
    assert (trial.state.name, trial.value) in (("FAIL", None), ("PRUNED", None))
    assert trial.user_attrs[Attr.REASON]


@pytest.mark.parametrize("trials", [0, -1])
def test_fewer_trials_than_one_are_refused_before_anything_is_made(lab: Lab, trials: int) -> None:
    with pytest.raises(UserError, match=f"`trials` must be at least 1, but got {trials}"):
        lab.tuner().optimize(trials)
    assert not lab.workspace.exists()


def test_a_waiting_trial_with_a_rounded_step_of_a_range_runs_at_the_next_start(lab: Lab) -> None:
    step = 0.2 + 0.1  # 0.30000000000000004, as Optuna makes it of low and step
    dropout = {"type": "float", "low": 0.2, "high": 0.4, "step": 0.1}
    search = STUDY["search"] | {"model.decoder_dropout": dropout}
    lab.define(search=search, enqueue=[GUIDED | {"model.decoder_dropout": step}])
    spec = load_study(str(lab.study_file))
    lab.workspace.mkdir()
    _, _, queue = open_queue(lab.url, 1, spec)
    trial = take(queue)
    assert suggest(trial, spec.search)["model.decoder_dropout"] == step
    queue.give_back(trial)  # as the tuner did, before it had written a configuration
    queue.close()
    lab.tuner().optimize(trials=1)
    assert lab.states() == ["COMPLETE"]
    assert TrainerConfig.load(lab.run_dir(0).config).model.decoder_dropout == step


def test_a_workspace_that_is_a_file_is_refused(lab: Lab) -> None:
    lab.workspace.write_text("a file")
    with pytest.raises(SettingsError, match=r"is a file, not a folder\. Give a folder with --workspace"):
        lab.tuner().optimize(1)


def test_another_definition_under_the_same_name_is_refused(lab: Lab) -> None:
    lab.tuner().optimize(1)
    with pytest.raises(StudyError, match=r"budget\.frames: 1000 -> 2000"):
        lab.tuner(overrides={"budget.frames": 2000}).optimize(2)


@pytest.mark.parametrize("configured", [False, True])
def test_a_waiting_trial_keeps_its_parameters_when_the_search_changes(lab: Lab, configured: bool) -> None:
    spec = load_study(str(lab.study_file))
    lab.workspace.mkdir()
    _, _, queue = open_queue(lab.url, 1, spec)
    trial = take(queue)
    assert suggest(trial, spec.search) == GUIDED
    if configured:
        paths = Workspace(lab.workspace).paths("lab", 0)
        config = spec.trainer_config(GUIDED, seed=1, paths=paths, device=DeviceConfig("cpu", 1))
        lab.run_dir(0).config.parent.mkdir(parents=True)
        lab.run_dir(0).config.write_text(config.to_json(), encoding="utf-8")
    queue.give_back(trial)
    queue.close()
    narrow = {"optimizer.lr": {"type": "float", "low": 3e-3, "high": 5e-3, "log": True}}
    more = {"model.reduction": {"type": "int", "low": 5, "high": 6}} if configured else {}
    lab.define(search=STUDY["search"] | narrow | more, enqueue=[])
    lab.tuner().optimize(trials=1)
    assert lab.states() == ["COMPLETE"]
    assert lab.study().trials[0].params == GUIDED
    assert TrainerConfig.load(lab.run_dir(0).config).optimizer.lr == GUIDED["optimizer.lr"]


def test_a_study_that_never_started_is_named(lab: Lab) -> None:
    lab.workspace.mkdir()
    with pytest.raises(UserError, match="no study was ever run with it"):
        lab.tuner().result()
    assert not list(lab.workspace.iterdir()), "reading makes nothing"
    open_storage(lab.url)
    with pytest.raises(UserError, match="holds no study yet"):
        lab.tuner().result()


def test_a_worker_stops_after_five_failures_in_a_row_and_leaves_the_rest_to_others(lab: Lab) -> None:
    with pytest.raises(WorkerBroken, match=r"(?s)5 attempts in a row failed here.*no process can be started") as broken:
        lab.tuner(executor=NoExecutor()).optimize(4)
    assert exit_code(broken.value) == 4
    assert lab.states() == ["FAIL", "WAITING"]  # three attempts, and two
    states = lab.tuner().optimize(4).states
    assert (states["FAIL"], sum(states.values())) == (1, 4)


def test_an_error_in_our_code_stops_the_work_and_the_trial_waits(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NoExecutor, "launch", lambda self, launch: {}["a mistake"])
    with pytest.raises(KeyError, match="a mistake"):
        lab.tuner(jobs=2, executor=NoExecutor()).optimize(3)
    assert set(lab.states()) == {"WAITING"}
    assert sum(lab.tuner().optimize(3).states.values()) == 3


def test_a_trial_whose_trainer_crashed_is_continued_from_its_checkpoint(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"act_once": ["killed"], "at": 3})
    result = lab.tuner().optimize(1)
    assert dict(result.states) == {"COMPLETE": 1}
    assert lab.resumed(0) == [False, True]
    assert lab.validated(0) == [1, 2, 3, 4]
    (failed,) = lab.study().trials[0].user_attrs[Attr.FAILURES]
    assert (failed["cause"], failed["reason"].partition("\n")[0]) == ("killed", "the trainer was killed by SIGKILL")
    assert Attr.REASON not in lab.study().trials[0].user_attrs
    attrs = lab.study().trials[0].user_attrs
    worked = attrs[Attr.WORKED]
    assert attrs["cost.seconds"] == pytest.approx(sum(end - begin for begin, end, _ in worked), abs=0.01)
    assert attrs["cost.gpu_hours"] == 0  # on a CPU
    starts = [event.time for event in all_events(lab.run_dir(0).events) if event.kind is EventKind.STARTED]
    assert [begin for begin, _, _ in worked] == [pytest.approx(start, abs=1e-3) for start in starts]


def test_parameters_that_need_too_much_memory_are_a_constraint_for_the_sampler_and_not_retried(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED, GUIDED])
    lab.order(t0={"act": ["out of memory"]})
    lab.tuner().optimize(2)
    too_large, fitting = lab.study().trials
    assert lab.resumed(0) == [False]
    figures = too_large.user_attrs[Attr.METRICS]  # of its first report
    assert too_large.constraints == {
        "alignment": pytest.approx(0.5 - figures["alignment"]),
        "free_running_alignment": pytest.approx(0.5 - figures["free_running_alignment"]),
        "failed": -0.25,
        "memory": 1,
    }
    assert too_large.user_attrs[Attr.FEASIBLE] is False
    assert fitting.constraints["memory"] == 0


def test_a_trial_that_hangs_is_ended_and_retried(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED], limits={"silent_minutes": 0.01})
    lab.order(t0={"hold_at": 2, "act": ["deaf"]})
    (lab.path / "go").touch()
    tuner = lab.tuner(executor=LocalExecutor(0.2, FAKE_TRAINER))
    assert dict(tuner.optimize(1).states) == {"FAIL": 1}
    (trial,) = lab.study().trials
    assert trial.user_attrs[Attr.REASON].startswith(f"{THRICE} was silent for 0.01 minutes")
    assert len(lab.resumed(0)) == 3


def test_a_trial_that_takes_too_long_is_pruned_over_all_its_starts(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED], limits={"trial_hours": 0.5 / 3600})
    lab.order(t0={"hold_at": 2})
    lab.tuner().optimize(1)
    (trial,) = lab.study().trials
    assert trial.state.name == "PRUNED"
    assert trial.user_attrs[Attr.REASON] == "took longer than 0.000138889 hours (`limits.trial_hours`)"


def test_a_worker_waits_while_the_disk_is_full_and_no_trial_fails(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smart_tuner.run.pool.SPACE_SECONDS", 0.05)
    obstacles = iter(["workspace 'w': cannot be written to (No space left on device)"] * 2)
    monkeypatch.setattr(
        Workspace, "obstacle", lambda self: next(obstacles, None) if lab.run_dir(0).log.exists() else None
    )
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"act_once": ["disk full"], "at": 3})
    assert dict(lab.tuner().optimize(1).states) == {"COMPLETE": 1}
    assert lab.resumed(0) == [False, True]
    assert Attr.FAILURES not in lab.study().trials[0].user_attrs
    assert next(obstacles, None) is None


def test_a_trial_for_which_a_nearly_full_disk_does_not_suffice_is_tried_again_later_each_time(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the check of the workspace writes fits each time."""
    checks = []
    has_work = Pool._has_work

    def checked(pool: Pool) -> bool:
        checks.append(len(lab.resumed(0)))
        if checks[-1] == 3:
            lab.order(t0={})
        return has_work(pool)

    monkeypatch.setattr("smart_tuner.run.pool.SPACE_SECONDS", 0.01)
    monkeypatch.setattr(Pool, "_has_work", checked)
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"act": ["disk full"], "at": 3})
    assert dict(lab.tuner().optimize(1).states) == {"COMPLETE": 1}
    assert [tries for tries in checks if tries <= 3] == [1, 2, 2, 3, 3, 3, 3]


def test_the_sampler_learns_from_finished_trials(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the random startup trials, TPE's model draws every trial, in every thread."""
    modelled = []
    sample = TPESampler._sample
    monkeypatch.setattr(TPESampler, "_sample", lambda *call: modelled.append(call[2].number) or sample(*call))
    lab.define(enqueue=[], sampler={"seed": 1, "startup_trials": 3})
    lab.order(any={})
    lab.tuner(jobs=2, overrides={"pruner.kind": "none"}).optimize(10)
    assert set(modelled) >= set(range(5, 10))
