"""The commands that show a study, and `sync` and `worker`, which say what they did, with the fake trainer."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import yaml
from commands import BEST_KEYS, Cli, optimize
from lab import GUIDED, UNGUIDED, Lab
from waiting import wait_until

from smart_tuner.preparations import announced
from smart_tuner.store.storage import open_storage
from smart_tuner.workspace import Workspace
from trainer.evaluation.verdict import Heard


def test_the_best_trial_is_printed_as_json_and_yaml(cli: Cli, lab: Lab) -> None:
    optimize(cli, lab, "--trials", "2")
    where = ("--study", "lab.yaml", "--workspace", str(lab.workspace))
    shown = cli("best", *where, "--format", "json")
    assert (shown.code, shown.err) == (0, "")
    best = json.loads(shown.out)
    assert list(best) == BEST_KEYS
    assert best["params"] == GUIDED
    assert (best["study"], best["trial"], best["feasible"]) == ("lab", 0, True)
    assert Path(best["checkpoint"]).is_file()
    assert best["metrics"]["alignment"] > 0.8
    assert yaml.safe_load(cli("best", *where, "--format", "yaml").out) == best
    assert best["heard"] == Heard.PARTS
    table = cli("best", *where).out
    assert "optimizer.lr" in table
    assert Heard.PARTS.advice in " ".join(table.split())


def test_the_status_has_the_outcome_of_each_trial(cli: Cli, lab: Lab) -> None:
    optimize(cli, lab, "--trials", "2")
    shown = cli("status", "--study", "lab.yaml", "--workspace", str(lab.workspace))
    assert shown.code == 0
    rows = [line for line in shown.out.splitlines() if "COMPLETE" in line or "PRUNED" in line]
    assert len(rows) == 2
    assert "best" in rows[0]
    assert "attention does not" in rows[1]


def test_a_worker_reports_the_state_of_each_study_that_it_worked_on(cli: Cli, lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    where = ("--workspace", str(lab.workspace))
    lab.order(t0={"hold_at": 2})
    lab.tuner().submit(1)

    def stop_it() -> None:
        wait_until(lambda: 2 in lab.validated(0))
        lab.tuner().stop()

    stopper = threading.Thread(target=stop_it)
    stopper.start()
    output = cli("worker", *where).out
    stopper.join()
    assert "the study was stopped, the trials save their state" in output
    assert output.endswith(
        "Study 'lab' lacks trials: the study was stopped. `smart-tuner resume --study lab` continues it.\n"
    )
    assert cli("worker", *where).out == "Nothing to do: every study has its trials, or is stopped.\n"
    lab.order()
    lab.tuner().resume()
    assert cli("worker", *where).out.endswith("Study 'lab' has its trials.\n")
    assert "COMPLETE" in cli("status", "--study", "lab", "--all", *where).out


def test_exit_code_3_means_that_no_trial_is_feasible(cli: Cli, lab: Lab) -> None:
    lab.define(enqueue=[UNGUIDED])
    ended = optimize(cli, lab, "--trials", "1")
    assert ended.code == 3
    assert "Nearest to feasible: trial 0 of study 'lab'" in ended.out
    assert "no trial is feasible; pruned 1" in ended.out
    missed = "teacher-forced alignment too low, free-running alignment too low, too many sentences fail"
    said = " ".join(ended.err.split())
    assert f"Nearest is trial 0: {missed}. What is heard: mute. {Heard.MUTE.advice}" in said
    assert "smart-tuner optimize --study lab --name lab-longer --set budget.frames=" in said
    assert "smart-tuner train" not in said
    shown = cli("best", "--study", "lab.yaml", "--workspace", str(lab.workspace), "--format", "json")
    assert shown.code == 3
    assert json.loads(shown.out)["feasible"] is False


def test_without_a_name_commands_that_read_show_the_study_used_last_and_those_that_change_ask(
    cli: Cli, lab: Lab
) -> None:
    where = ("--workspace", str(lab.workspace))
    assert optimize(cli, lab, "--trials", "1").code == 0
    alone = cli("best", *where)
    assert (alone.code, alone.err) == (0, "")
    lab.define(name="newer")
    lab.tuner().submit(1)
    ended = cli("status", *where)
    assert ended.err == "study 'lab' (used last, of 2; --study names another)\n", "the newer one has no trial"
    assert ended.out.startswith("lab: 1 of 1 trial finished")
    assert lab.tuner().optimize().best is not None
    assert cli("status", *where).out.startswith("newer: ")
    for command in (["stop"], ["resume"], ["delete", "--yes"]):
        ended = cli(*command, *where)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == "Which study? The store has `newer`, `lab`. Name one with --study.\n"
    assert cli("delete", "--yes", "--study", "newer", *where).code == 0
    assert cli("delete", "--yes", *where).code == 0, "the only one needs no name"


def test_to_train_longer_the_command_that_works_is_shown(cli: Cli, lab: Lab) -> None:
    ended = optimize(cli, lab, "--trials", "2")
    shown = f"smart-tuner train --study lab --workspace '{lab.workspace}'"
    assert shown in [line.strip() for line in ended.out.splitlines()]
    assert shown in cli("best", "--workspace", str(lab.workspace)).out


def test_the_best_trial_is_shown_with_the_number_of_its_sentences(cli: Cli, lab: Lab) -> None:
    lab.define(fixed={"validation.free_running_utterances": 5})
    shown = optimize(cli, lab, "--trials", "1").out
    assert (
        "Figures of at most 5 sentences, at a report; `smart-tuner evaluate` speaks all: its figures differ." in shown
    )


def test_while_a_corpus_is_prepared_status_says_so(cli: Cli, lab: Lab) -> None:
    where = ("--workspace", str(lab.workspace))
    with announced(Workspace(lab.workspace), "lab", "demo:en"):
        ended = cli("status", *where)
        assert ended.code == 2
        assert "Study 'lab' is about to begin: its corpus, demo:en, is being prepared, for 0 s so far." in ended.err
        assert "is about to begin" not in cli("status", "--study", "other", *where).err
        lab.tuner().submit(1)
        assert "its corpus, demo:en, is being prepared, for" in cli("status", *where).out
    assert "no worker is at work on it" in cli("status", *where).out
    killed = [
        sys.executable,
        "-c",
        "import os, sys; from pathlib import Path\n"
        "from smart_tuner.preparations import announced; from smart_tuner.workspace import Workspace\n"
        "with announced(Workspace(Path(sys.argv[1])), 'lab', 'demo:en'): os.kill(os.getpid(), 9)",
        str(lab.workspace),
    ]
    subprocess.run(killed, check=False, timeout=60)
    assert list((lab.workspace / "preparing").glob("lab-*.json"))
    assert "no worker is at work on it" in cli("status", *where).out


def test_the_studies_of_a_store_are_listed_with_their_state(cli: Cli, lab: Lab) -> None:
    optimize(cli, lab, "--trials", "2")
    for name in ("stopped", "next"):
        lab.define(name=name)
        lab.tuner().submit(3)
    cli("stop", "--study", "stopped", "--workspace", str(lab.workspace))
    optuna.create_study(storage=open_storage(lab.url), study_name="of others")
    where = ("--workspace", str(lab.workspace))
    listed = json.loads(cli("studies", *where, "--format", "json").out)
    states = {"lab": "finished", "stopped": "stopped", "next": "waiting", "of others": "foreign"}
    assert {study["study"]: study["state"] for study in listed} == states
    assert listed[0]["trials"] == {"COMPLETE": 1, "PRUNED": 1}
    assert (listed[0]["best_trial"], listed[0]["target"], listed[0]["corpus"]) == (0, 2, "demo:en")
    shown = cli("studies", *where).out
    assert "2 of 2: 1 complete, 1 pruned" in shown
    assert "trial 0" in shown


def test_a_study_can_be_shown_from_a_read_only_disk(cli: Cli, lab: Lab, disk: Callable[[int], Path]) -> None:
    optimize(cli, lab, "--trials", "2")
    read_only = disk(2**26)
    shutil.copytree(lab.workspace, read_only / "workspace", ignore=shutil.ignore_patterns("logs"))
    subprocess.run(["mount", "-o", "remount,ro", str(read_only)], check=True)
    where = ("--study", "lab", "--workspace", str(read_only / "workspace"))
    assert "2 of 2 trials finished" in cli("status", *where).out
    assert "Best of study 'lab': trial 0" in cli("best", *where).out
    for command in ("report", "listen"):
        page = lab.path / f"{command}.html"
        assert cli(command, *where, "--output", str(page)).code == 0
        assert page.stat().st_size > 1000
    for command in (["stop"], ["resume"], ["sync"], ["delete", "--yes"]):
        ended = cli(*command, *where)
        assert ended.code == 2
        assert "cannot be written to" in ended.err


@pytest.mark.slow
def test_sync_reports_what_it_changed(cli: Cli, lab: Lab, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert optimize(cli, lab, "--trials", "1").code == 0
    assert "MLflow is switched off" in cli("sync", "--study", "lab.yaml", "--workspace", str(lab.workspace)).out
    monkeypatch.setenv("SMART_TUNER_MLFLOW", "true")
    shutil.copy(empty_store, lab.workspace / "mlflow.db")
    where = ["--study", "lab.yaml", "--workspace", str(lab.workspace)]
    assert "'lab': 1 run created, 0 repaired, 0 unchanged." in cli("sync", *where).out
    assert "'lab': 0 runs created, 0 repaired, 1 unchanged." in cli("sync", "--repair", *where).out


def test_a_submitted_study_is_found_by_its_name_without_its_file(cli: Cli, lab: Lab) -> None:
    assert optimize(cli, lab, "--trials", "3", "--name", "mine", "--detach").code == 0
    where = ("--workspace", str(lab.workspace))
    for command in ("status", "stop", "resume"):
        ended = cli(command, "--study", "mine", *where)
        assert ended.code == 0, ended.err
    assert "0 of 3 trials finished" in cli("status", "--study", "mine", *where).out
    assert "`smart-tuner resume --study mine` continues it." in cli("stop", "--study", "mine", *where).out
    assert cli("delete", "--study", "mine", "--yes", *where).code == 0
    assert cli("status", "--study", "mine", *where).code == 2
