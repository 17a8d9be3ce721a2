"""`smart-tuner optimize`: studies that begin, go on under their names, change and end, with the fake trainer."""

import json

import optuna
import pytest
from commands import Cli, optimize
from lab import GUIDED, UNGUIDED, Lab

import smart_tuner.run.corpus


def test_a_study_is_run_shown_and_continued(cli: Cli, lab: Lab) -> None:
    ended = optimize(cli, lab, "--trials", "2")
    assert ended.code == 0, ended.err
    assert "COMPLETE" in ended.out
    assert "mute; attention does not" in ended.out
    assert "Best of study 'lab': trial 0" in ended.out
    assert f"smart-tuner ui --workspace '{lab.workspace}'" in ended.out
    assert f"To hear the best trials: smart-tuner listen --study lab --workspace '{lab.workspace}'" in ended.out
    assert "trial 1 PRUNED (heard: mute): attention does not align" in ended.err
    synced = cli("sync", "--study", "lab", "--workspace", str(lab.workspace))
    assert "\n\n" not in f"\n{ended.out}", "no empty line in a pipe"
    assert synced.out.startswith("TensorBoard's table and the dashboard's notes are up to date.\n")
    again = optimize(cli, lab, "--trials", "1")
    assert again.code == 0
    assert "started" not in again.err
    assert "study 'lab': the target goes from 2 to 1 trial\n" in again.err


def test_a_study_with_all_its_trials_is_neither_stopped_nor_resumed(cli: Cli, lab: Lab) -> None:
    optimize(cli, lab, "--trials", "2")
    where = ("--study", "lab", "--workspace", str(lab.workspace))
    for command in ("stop", "resume"):
        ended = cli(command, *where)
        assert ended.code == 0
        assert ended.out.startswith("study 'lab' is finished: it has all its 2 trials; for more: ")
    assert "stopped" not in cli("status", *where).out


def test_a_trial_of_ones_own_is_added_to_a_finished_study(cli: Cli, lab: Lab) -> None:
    optimize(cli, lab, "--trials", "2")
    where = ("--workspace", str(lab.workspace))
    added = cli("enqueue", "--set", "optimizer.lr=1e-3", "--like", "0", *where)
    assert (added.code, added.err) == (0, "")
    again = f"smart-tuner optimize --name lab --workspace '{lab.workspace}'"
    assert added.out == (
        "Trial 2 of study 'lab' is next, with guided_attention.enabled = true, optimizer.lr = 0.001.\n"
        f"The study has 3 trials now. Where no worker is at work: {again}\n"
    )
    assert cli("optimize", "--name", "lab", *where).code == 0
    assert lab.study().trials[2].params == {**GUIDED, "optimizer.lr": 1e-3}
    refused = cli("enqueue", "--set", "optimizer.lr=1", *where)
    assert (refused.code, refused.err.count("`optimizer.lr` must be between")) == (2, 1)


def test_settings_of_the_study_are_changed_from_the_command_line(cli: Cli, lab: Lab) -> None:
    ended = optimize(cli, lab, "-n", "1", "--set", "budget.frames=2_000", "--name", "other", "--corpus", "demo:ru")
    assert ended.code == 0, ended.err
    config = json.loads((lab.workspace / "runs/other/trial-0000/config.json").read_text(encoding="utf-8"))
    assert (config["budget"]["frames"], config["corpus"]["source"]) == (2000, "demo:ru")


def test_a_study_is_continued_by_its_name_alone_and_its_changes_are_shown(cli: Cli, lab: Lab) -> None:
    assert optimize(cli, lab, "--name", "my-voice", "--corpus", "demo:en", "--trials", "1").code == 0
    lab.study_file.unlink()
    where = ("--workspace", str(lab.workspace), "--jobs", "1")
    assert cli("optimize", "--name", "my-voice", "--trials", "2", *where).code == 0
    ended = cli("optimize", "--study", "my-voice", "-n", "2", "--set", "search.optimizer.lr.low=1e-3", *where)
    assert ended.code == 0, ended.err
    assert "study 'my-voice' goes on with optimizer.lr: 0.0005..0.005 (log) -> 0.001..0.005 (log)" in ended.err
    ended = cli("optimize", "--name", "my-voice", "--set", "budget.frames=2000", "--corpus", "demo:ru", *where)
    assert ended.code == 2
    assert "\n  corpus: demo:en -> demo:ru\n" in ended.err
    assert "\n  budget.frames: 1000 -> 2000\n" in ended.err
    ended = cli("optimize", "--study", "my-voic", *where)
    assert ended.code == 2
    assert "The store holds `my-voice`." in ended.err


def test_it_is_said_which_study_is_new_and_on_what(cli: Cli, lab: Lab) -> None:
    new = "is new: on demo:en (synthetic speech; --corpus names recordings), defined as"
    submit = ("--detach", "--no-check-corpus", "--workspace", str(lab.workspace))
    assert optimize(cli, lab, "--detach").err == f"study 'lab' {new} lab.yaml\n"
    assert optimize(cli, lab, "--detach").err == ""
    assert cli("optimize", "--name", "mine", *submit).err == f"study 'mine' {new} quickstart; the store has `lab`\n"
    said = cli("optimize", "--study", "lab", "--name", "lab-longer", "--set", "budget.frames=4_000", *submit).err
    assert said == f"study 'lab-longer' {new} lab; the store has `lab`, `mine`\n"
    definition = optuna.load_study(study_name="lab-longer", storage=lab.url).user_attrs["definition"]
    assert (definition["budget"]["frames"], definition["search"].keys()) == (4000, GUIDED.keys())


def test_a_study_that_has_its_trials_is_not_run_again(cli: Cli, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert optimize(cli, lab, "--trials", "2").code == 0

    def read(*_: object, **__: object) -> None:
        raise AssertionError("the corpus was read")

    monkeypatch.setattr(smart_tuner.run.corpus, "prepare_corpus", read)
    more = f"smart-tuner optimize --name lab --trials N --workspace '{lab.workspace}'"
    finished = f"study 'lab' is finished: it has all its 2 trials; for more: {more}\n"
    for again in (optimize(cli, lab, "--trials", "2"), optimize(cli, lab, "--detach")):
        assert (again.code, again.out, again.err) == (0, finished, "")
    with pytest.raises(AssertionError, match="the corpus was read"):
        lab.tuner().optimize(3)


def test_a_finished_study_without_a_feasible_trial_keeps_its_exit_code(cli: Cli, lab: Lab) -> None:
    lab.define(enqueue=[UNGUIDED])
    assert optimize(cli, lab, "--trials", "1").code == 3
    again = optimize(cli, lab, "--trials", "1")
    assert again.code == 3
    assert again.out.startswith("study 'lab' is finished: it has all its 1 trial; for more: ")
    assert "No trial of study 'lab' is feasible" in again.err


def test_a_narrowed_range_leaves_out_known_good_settings_that_were_tried(cli: Cli, lab: Lab) -> None:
    lab.define(enqueue=[{"optimizer.lr": 1e-3}, {"optimizer.lr": 2e-3}])
    narrow = ("optimize", "--name", "lab", "-w", str(lab.workspace), "--jobs", "1", "--set")
    assert optimize(cli, lab, "--trials", "1").code == 0
    ended = cli(*narrow, "search.optimizer.lr.low=1.5e-3", "-n", "2")
    assert ended.code == 2  # the second entry has no trial yet, and its index is that of its trial
    assert "`enqueue[0].optimizer.lr` must be between 0.0015 and 0.005" in ended.err
    assert optimize(cli, lab, "--trials", "2").code == 0
    ended = cli(*narrow, "search.optimizer.lr.low=1.5e-3", "-n", "2")
    assert ended.code == 0, ended.err
    assert 'enqueue[0]: {"optimizer.lr": 0.001} -> left out, since it is outside the new range' in ended.err
    definition = optuna.load_study(study_name="lab", storage=lab.url).user_attrs["definition"]
    assert definition["enqueue"] == [{"optimizer.lr": 2e-3}]
