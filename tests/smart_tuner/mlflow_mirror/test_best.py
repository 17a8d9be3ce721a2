"""The run of the best trial has a tag in MLflow, and its checkpoint."""

import mlflow
import pytest
from mirror_lab import Lab, sync


def test_best_parameters_are_readable_with_plain_mlflow(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lr = 0.1 + 0.2 - 0.29  # no short decimal fraction
    for rate, value in ((3e-4, 0.9), (lr, 0.4), (5e-5, 0.7)):
        lab.finish(lab.begin(rate), value)
    lab.mirror().sync_study()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", lab.uri)
    table = mlflow.search_runs(experiment_names=["quickstart"], filter_string="tags.best = 'true'")
    assert len(table) == 1
    assert float(table["params.optimizer.lr"][0]) == lr
    params = {name.removeprefix("params."): table[name][0] for name in table if name.startswith("params.")}
    assert params == {name: str(value) for name, value in lab.study.best_params.items()}


def test_exactly_one_run_is_marked_as_best_and_the_mark_moves(lab: Lab) -> None:
    mirror = lab.mirror()
    for value, feasible, best in (
        (0.1, False, []),
        (0.9, True, ["trial-0001"]),
        (0.5, True, ["trial-0002"]),
        (0.7, True, ["trial-0002"]),
    ):
        trial = lab.begin()
        lab.finish(trial, value, feasible)
        sync(mirror, trial.number)
        assert lab.best() == best
    lab.client.set_tag(lab.run(0).info.run_id, "best", "true")
    lab.client.set_tag(lab.run(3).info.run_id, "best", "true")
    lab.mirror().sync_study()
    assert lab.best() == ["trial-0002"]


def test_the_run_of_the_study_has_the_best_trial_and_its_parameters(lab: Lab) -> None:
    def best_tags() -> dict[str, str]:
        (parent,) = [run for run in lab.runs() if "mlflow.parentRunId" not in run.data.tags]
        return {name: value for name, value in parent.data.tags.items() if name.startswith("best.")}

    mirror = lab.mirror()
    params = {
        "best.batch.size": "16",
        "best.guided_attention.enabled": "True",
        "best.verdict": "not measured",
    }
    for lr, value, feasible, expected in (
        (3e-4, 0.1, False, {}),
        (1e-3, 0.9, True, {"best.trial": "1", "best.value": "0.9", "best.optimizer.lr": "0.001", **params}),
        (5e-5, 0.4, True, {"best.trial": "2", "best.value": "0.4", "best.optimizer.lr": "5e-05", **params}),
    ):
        trial = lab.begin(lr)
        lab.finish(trial, value, feasible)
        sync(mirror, trial.number)
        assert best_tags() == expected
    (parent,) = [run for run in lab.runs() if "mlflow.parentRunId" not in run.data.tags]
    lab.client.set_tag(parent.info.run_id, "best.schedule.kind", "of an earlier best trial")
    lab.client.delete_tag(parent.info.run_id, "best.trial")
    lab.mirror().sync_study()
    assert best_tags() == expected


def test_the_note_of_the_experiment_explains_it_and_a_persons_edit_stays(lab: Lab) -> None:
    lab.finish(lab.begin(), 0.5)
    lab.mirror().sync_study()
    experiment = lab.client.get_experiment_by_name("quickstart")
    assert experiment is not None
    assert "best.*" in experiment.tags["mlflow.note.content"]
    lab.client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "mine")
    lab.mirror().sync_study(repair=True)
    assert lab.client.get_experiment(experiment.experiment_id).tags["mlflow.note.content"] == "mine"


def test_a_best_trial_that_another_worker_finished_is_mirrored_too(lab: Lab) -> None:
    lab.finish(lab.begin(), 0.1)
    lab.finish(lab.begin(), 0.9)
    sync(lab.mirror(), 1)
    assert lab.best() == ["trial-0000"]


def test_the_best_trials_have_their_checkpoints(lab: Lab) -> None:
    def holding() -> list[int]:
        runs = [(int(run.data.tags["trial"]), run) for run in lab.runs() if "trial" in run.data.tags]
        paths = {number: lab.client.list_artifacts(run.info.run_id, "checkpoints") for number, run in runs}
        return sorted(number for number, files in paths.items() if [f.path for f in files] == ["checkpoints/best.pt"])

    one, two = lab.mirror(), lab.mirror(checkpoints=2)
    for value, feasible, expected in ((0.5, True, [0]), (0.1, False, [0]), (0.4, True, [2]), (0.3, True, [3])):
        trial = lab.begin()
        lab.record(trial.number).best_checkpoint.write_bytes(b"weights")
        lab.finish(trial, value, feasible)
        sync(one, trial.number)
        assert holding() == expected
    two.sync_study()
    assert holding() == [2, 3]
    lab.mirror(checkpoints=0).sync_study()
    assert holding() == []
    assert lab.best() == ["trial-0003"]
