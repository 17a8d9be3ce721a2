"""The runs of a study's trials in MLflow, read with plain MLflow and compared with the study."""

import json
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from mirror_lab import T0, Lab, progress, sync, validation
from optuna.trial import TrialState

from trainer.protocol import Event, EventKind


def test_every_point_of_every_curve(lab: Lab) -> None:
    trial = lab.begin()
    events = [progress(update, loss=1 / update) for update in range(1, 1205)]  # more than one request holds
    events += [validation(index, 300 * index, 1 / index) for index in (1, 2, 3)]
    free = {"alignment": 0.5, "reached_limit": 0.25, "converged": True, "text": "hello"}
    events.append(Event(EventKind.FREE_RUNNING, 120_000, 1204, free, T0 + 2000))
    lab.write(trial.number, events)
    lab.finish(trial, 0.3)
    lab.mirror().sync_study()

    expected = defaultdict(list)
    folders = {"progress": "train", "validation": "validation", "free_running": "free_running"}
    for event in events:
        at = round(event.time * 1000)
        expected["frames"].append((event.update, float(event.frames), at))
        for name, value in event.data.items():
            if isinstance(value, float):
                expected[f"{folders[event.kind]}/{name}"].append((event.update, value, at))
    finished = lab.study.get_trials()[0].datetime_complete
    assert finished is not None
    expected["value"] = [(0, 0.3, round(finished.timestamp() * 1000))]
    assert {name: lab.curve(0, name) for name in lab.run(0).data.metrics} == {
        name: sorted(set(points)) for name, points in expected.items()
    }


def test_states_times_reasons_and_the_parent(lab: Lab) -> None:
    complete, pruned, failed, running = (lab.begin(started=started) for started in (True, True, False, True))
    lab.begin(started=False)  # runs, without events yet
    lab.study.enqueue_trial({"optimizer.lr": 0.01})  # waits, never started
    complete.set_constraint("alignment", -0.25)
    lab.finish(complete, 0.5)
    pruned.report(2.0, 1)
    pruned.set_user_attr("alignment", {"1": 0.03})
    pruned.set_user_attr("reason", "alignment 0.03 after 4 reports, floor 0.2; " + "x" * 6000)
    lab.study.tell(pruned, state=TrialState.PRUNED)
    failed.set_user_attr("reason", "killed by SIGKILL")
    lab.study.tell(failed, state=TrialState.FAIL)
    lab.mirror().sync_study()

    trials = lab.study.get_trials()
    runs = [lab.run(number) for number in range(4)]
    assert [run.info.status for run in runs] == ["FINISHED", "KILLED", "FAILED", "RUNNING"]
    assert [run.data.tags["state"] for run in runs] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert [run.info.run_name for run in runs] == ["trial-0000", "trial-0001", "trial-0002", "trial-0003"]
    for run, trial in zip(runs, trials, strict=False):
        silent = trial.datetime_start if trial.number == 2 else None
        assert run.info.start_time == round(1000 * (silent.timestamp() if silent else T0))
        end = trial.datetime_complete and round(trial.datetime_complete.timestamp() * 1000)
        assert run.info.end_time == end
    assert runs[1].data.tags["reason"].startswith("alignment 0.03 after 4 reports")
    assert runs[2].data.tags["reason"] == "killed by SIGKILL"
    pruned_at = {name: value for name, value in runs[1].data.tags.items() if name.startswith("pruned.")}
    assert pruned_at == {"pruned.report": "1", "pruned.loss": "2.0", "pruned.alignment": "0.03"}
    assert runs[0].data.tags["constraint.alignment"] == "-0.25"
    environment = {name: value for name, value in runs[0].data.tags.items() if name.startswith("environment.")}
    reported = {"device": "cpu", "torch": "2.9", "threads": "2", "seed": "7"}
    assert environment == {f"environment.{name}": value for name, value in reported.items()}
    assert runs[0].data.tags["feasible"] == "true"
    assert runs[0].data.tags["figure.alignment"] == "0.75"
    assert runs[0].data.tags["verdict"] == "not measured"
    assert runs[0].data.tags["run_dir"] == "runs/quickstart/trial-0000"
    assert "reason" not in runs[3].data.tags

    (parent,) = [run for run in lab.runs() if "trial" not in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent.info.run_id}
    assert (parent.info.run_name, parent.info.status) == ("quickstart", "RUNNING")
    assert parent.data.tags["study"] == "quickstart"
    assert parent.data.tags["direction"] == "minimize"
    assert parent.data.tags["trials.complete"] == "1"
    assert len(lab.runs()) == 5
    assert running.number == 3


def test_parent_ends_with_its_last_trial(lab: Lab) -> None:
    trial = lab.begin()
    mirror = lab.mirror()
    sync(mirror, 0)
    lab.finish(trial, 0.5)
    mirror.sync_study()
    (parent,) = [run for run in lab.runs() if "trial" not in run.data.tags]
    assert (parent.info.status, parent.info.end_time) == ("FINISHED", lab.run(0).info.end_time)


def test_of_a_repeated_validation_the_later_counts(lab: Lab) -> None:
    lab.begin()
    lab.write(0, [validation(1, 10, 3.0), validation(1, 10, 2.5, at=5)])
    sync(lab.mirror(), 0)
    assert lab.run(0).data.metrics["validation/loss"] == 2.5


def test_infinity_is_a_gap_in_the_curve(lab: Lab) -> None:
    lab.begin()
    lab.write(0, [progress(1, 2.0), progress(2, math.inf), progress(3, math.nan)])
    sync(lab.mirror(), 0)
    values = {step: value for step, value, _ in lab.curve(0, "train/loss")}
    assert values[1] == 2.0
    assert math.isnan(values[2])
    assert math.isnan(values[3])


def test_more_tags_than_one_request_takes_are_sent_and_stale_ones_removed(lab: Lab) -> None:
    trial = lab.begin()
    trial.set_user_attr("metrics", {f"figure_{n}": n / 7 for n in range(150)})
    mirror = lab.mirror()
    sync(mirror, 0)
    lab.client.set_tag(lab.run(0).info.run_id, "mine", "kept")
    assert float(lab.run(0).data.tags["figure.figure_149"]) == 149 / 7
    trial.set_user_attr("metrics", {"alignment": 0.5})
    sync(mirror, 0)
    figures = {tag for tag in lab.run(0).data.tags if tag.startswith("figure.")}
    assert figures == {"figure.alignment"}
    assert lab.run(0).data.tags["mine"] == "kept"


def test_artifacts(lab: Lab) -> None:
    trial = lab.begin()
    record = lab.record(0)
    names = ["alignments/report-01.png", "alignments/report-02.png", "samples/one.wav", "../../../stolen.txt"]
    for name in names:
        (record.path / name).write_bytes(name.encode())
    kinds = ["alignment", "alignment", "sample", "sample"]
    events = [
        Event(EventKind.ARTIFACT, 1, 1, {"path": path, "what": what}, T0)
        for path, what in zip([*names, "samples/lost.wav"], [*kinds, "sample"], strict=True)
    ]
    lab.write(0, events)
    mirror = lab.mirror()

    def files() -> set[str]:
        root = lab.workspace / "mlartifacts" / lab.run(0).info.run_id / "artifacts"
        return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}

    sync(mirror, 0)
    assert files() == {"config.json"}
    lab.finish(trial, 0.5)
    sync(mirror, 0)
    assert files() == {"config.json", "trainer.log", "alignments/report-02.png", "samples/one.wav"}
    config = lab.client.download_artifacts(lab.run(0).info.run_id, "config.json")
    assert json.loads(Path(config).read_text())["optimizer"] == {"lr": 1e-3}


def test_a_name_that_mlflow_refuses_does_not_block_the_rest(lab: Lab) -> None:
    lab.begin()
    event = progress(1)
    lab.write(0, [replace(event, data={**event.data, "50 % off!": 1.0, "../up": 2.0, "": 3.0})])
    sync(lab.mirror(), 0)
    assert [step for step, *_ in lab.curve(0, "train/loss")] == [1]
    assert len(lab.run(0).data.metrics) == 6
