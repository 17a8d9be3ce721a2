"""The commands as a user runs them: options, output and exit codes, with the fake trainer."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import optuna
import pytest
import yaml
from commands import BEST_KEYS, Ended, call_command
from lab import GUIDED, UNGUIDED, Lab
from waiting import wait_until

import smart_tuner.executors.local
import smart_tuner.main
import smart_tuner.run.corpus
import smart_tuner.run.studies
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.preparations import announced
from smart_tuner.run.pool import Ending
from smart_tuner.store.storage import open_storage
from smart_tuner.workspace import Workspace
from trainer.evaluation.verdict import Heard

PREPARE_CORPUS = smart_tuner.run.corpus.prepare_corpus  # which the lab replaces
POSTGRESQL = "postgresql+psycopg://me:hunter2@127.0.0.1:9/db"

Cli = Callable[..., Ended]


@pytest.fixture
def cli(lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`smart-tuner ...` in this process, with the fake trainer and without MLflow, in an empty working directory."""
    from lab import FAKE_TRAINER

    monkeypatch.chdir(lab.path)
    monkeypatch.setenv("SMART_TUNER_MLFLOW", "false")
    monkeypatch.setenv("SMART_TUNER_DEVICE", "cpu")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(smart_tuner.executors.local, "from_settings", lambda _: LocalExecutor(5.0, FAKE_TRAINER))

    return partial(call_command, capsys)


def optimize(cli: Cli, lab: Lab, *more: str) -> Ended:
    return cli("optimize", "--study", "lab.yaml", "--workspace", str(lab.workspace), "--jobs", "1", *more)


@pytest.mark.parametrize("arguments", [["--help"], ["optimize", "--help"], ["best", "--help"], ["listen", "--help"]])
def test_help_loads_no_heavy_package(arguments: list[str]) -> None:
    code = (
        "import sys, atexit\n"
        "heavy = {'torch', 'mlflow', 'optuna', 'sqlalchemy', 'librosa', 'pandas', 'plotly', 'jinja2'}\n"
        "atexit.register(lambda: print('loaded:', sorted(heavy & sys.modules.keys())))\n"
        f"sys.argv = ['smart-tuner', *{arguments!r}]\n"
        "from smart_tuner.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "Usage" in done.stdout
    assert done.stdout.rstrip().endswith("loaded: []")


def test_help_breaks_lines_where_the_terminal_ends_alone(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.strip() for line in cli("optimize", "--help").out.splitlines()]
    begin = next(number for number, line in enumerate(lines) if line.startswith("With --hours or --frames"))
    paragraph = lines[begin : lines.index("", begin)]
    assert len(paragraph) > 2
    assert all(len(f"{one} {other.split()[0]}") > 77 for one, other in itertools.pairwise(paragraph))


@pytest.mark.parametrize(
    ("command", "defaults"),
    [
        ("optimize", ["auto, one per GPU", "sqlite:///WORKSPACE/studies.db", "the number of the last request"]),
        ("worker", ["all that have trials to do", "workspace)", "RAY_ADDRESS, else this machine"]),
        ("report", ["WORKSPACE/reports/STUDY.html or .md", "by the ending of --output"]),
    ],
)
def test_help_shows_the_defaults(cli: Cli, command: str, defaults: list[str]) -> None:
    """rich takes words in square brackets for its markup, and drops them."""
    text = " ".join(cli(command, "--help").out.replace("│", " ").split())
    assert [default for default in defaults if f"(default: {default}" not in text] == []


def test_a_warning_of_ours_has_no_name_of_a_module() -> None:
    code = (
        "import logging, sys; from smart_tuner.cli.app import main; sys.argv = ['smart-tuner', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "logging.getLogger('smart_tuner.x').warning('ours'); logging.getLogger('lib.x').warning('theirs')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "WARNING: ours\nWARNING lib.x: theirs\n"


def test_the_package_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "smart_tuner", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "optimize" in done.stdout


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


def test_without_any_study_a_command_shows_how_to_begin(cli: Cli, lab: Lab) -> None:
    begin = "`smart-tuner optimize` starts one."
    ended = cli("worker", "--workspace", "typo")
    assert (ended.code, ended.out) == (2, "")
    assert f"no study was ever run with it; {begin}" in " ".join(ended.err.split())
    assert not (lab.path / "typo").exists()
    open_storage(lab.url)
    for command in ("worker", "sync", "delete", "status"):
        ended = cli(command, "--workspace", str(lab.workspace))
        assert (ended.code, ended.out) == (2, "")
        assert f"holds no study yet; {begin}" in " ".join(ended.err.split())


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


def test_exit_code_130_means_that_it_was_stopped(cli: Cli, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_tuner.run.studies.Pool, "run", lambda self: Ending.POLITE)
    ended = optimize(cli, lab, "--trials", "2")
    assert ended.code == 130
    assert ended.err.rstrip().endswith("Stopped after 0 of 2 trials; the same command continues it.")


def test_settings_of_the_study_are_changed_from_the_command_line(cli: Cli, lab: Lab) -> None:
    ended = optimize(cli, lab, "-n", "1", "--set", "budget.frames=2_000", "--name", "other", "--corpus", "demo:ru")
    assert ended.code == 0, ended.err
    config = json.loads((lab.workspace / "runs/other/trial-0000/config.json").read_text(encoding="utf-8"))
    assert (config["budget"]["frames"], config["corpus"]["source"]) == (2000, "demo:ru")


def test_a_definition_is_checked_without_running_anything(cli: Cli, lab: Lab) -> None:
    fine = cli("validate", "lab.yaml")
    assert (fine.code, fine.err) == (0, "")
    assert "lab.yaml: fine. Its keys and values were checked; 2 parameters searched." in fine.out
    assert not lab.workspace.exists()
    assert cli("validate", "lab.yaml", "--set", "budget.frames=0").code == 2


def test_the_corpus_is_checked_before_a_study_is_submitted(cli: Cli, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_tuner.run.corpus, "prepare_corpus", PREPARE_CORPUS)
    (lab.path / "clips" / "wavs").mkdir(parents=True)
    (lab.path / "clips" / "wavs" / "a.wav").touch()
    (lab.path / "clips" / "wavs" / "b.wav").touch()
    metadata = lab.path / "clips" / "metadata.csv"
    metadata.write_text("a|Good morning.\nb|Good night.\nc|Who is it?\n", encoding="utf-8")
    submit = ("optimize", "--study", "lab.yaml", "--detach", "--workspace", str(lab.workspace), "--corpus", "clips")
    for ended in (cli("validate", "lab.yaml", "--corpus", "clips"), cli(*submit)):
        assert ended.code == 2
        assert "metadata.csv:3" in ended.err
    assert cli("studies", "--workspace", str(lab.workspace), "-f", "json").out == "[]\n"
    assert cli(*submit, "--no-check-corpus").code == 0
    metadata.write_text("a|Good morning.\nb|Good night.\n", encoding="utf-8")
    fine = cli("validate", "lab.yaml", "--corpus", "clips").out
    assert "1 clip to train and 1 to validate" in fine
    assert "not their sound: smart-tuner corpus check clips" in fine


WRONG: dict[str, tuple[list[str], str]] = {
    "no trials": (["optimize", "--study", "lab.yaml", "--trials", "0"], "`trials` must be at least 1, but got 0"),
    "no study of this name": (["optimize", "--study", "quickstrat"], "nearest: `quickstart`"),
    "no such file": (["validate", "nowhere/s.yaml"], "there is no such file"),
    "unknown key": (["validate", "lab.yaml", "--set", "budget.frame=1"], "budget.frames"),
    "a name that no study can have": (
        ["optimize", "--study", "lab.yaml", "--name", "my voice", "--set", "trials=2"],
        "--name 'my voice': the name of a study must be at most 100 ASCII letters",
    ),
    "an option beside --set": (
        ["optimize", "--study", "lab.yaml", "--corpus", "", "--set", "trials=2"],
        "lab.yaml with --set trials, --corpus: `corpus`",
    ),
    "jobs in words": (["optimize", "--study", "lab.yaml", "--jobs", "many"], "`jobs` must be `auto` or a whole number"),
    "workspace below a file": (
        ["optimize", "--study", "lab.yaml", "-w", "lab.yaml/w", "-n", "1"],
        "workspace 'lab.yaml/w': 'lab.yaml' is a file, not a folder. Give a folder with --workspace.",
    ),
    **{
        f"workspace is a file, {command}": (
            [command, "--study", "lab", "-w", "lab.yaml"],
            "workspace 'lab.yaml': is a file, not a folder. Give a folder with --workspace.",
        )
        for command in ("worker", "status")
    },
    "storage does not answer": (
        ["optimize", "--study", "lab.yaml", "-n", "1", "--storage", POSTGRESQL],
        "storage 'postgresql+psycopg://me:***@127.0.0.1:9/db': cannot be opened",
    ),
    "storage is no URL": (["best", "--study", "lab.yaml", "--storage", "studies.db"], "must be a URL"),
    "never started": (["best", "--study", "lab.yaml"], "no study was ever run with it"),
    "nothing to show": (["status", "--study", "lab.yaml"], "no study was ever run with it"),
    "nothing to stop": (["stop", "--study", "lab"], "no study was ever run with it"),
    "no answer to status": (["status", "--study", "mine", "--storage", POSTGRESQL], "connection refused"),
    "no answer to stop": (["stop", "--study", "mine", "--storage", POSTGRESQL], "connection refused"),
    "no database": (["best", "--study", "mine", "--storage", "sqlite:///lab.yaml"], "is not a SQLite database"),
    "no workspace to report": (["report", "--study", "mine", "-w", "lab.yaml"], "is a file, not a folder"),
    "no workspace to hear": (["listen", "--study", "mine", "-w", "lab.yaml"], "is a file, not a folder"),
}


@pytest.mark.parametrize(("arguments", "complaint"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_one_paragraph_and_exit_code_2(cli: Cli, arguments: list[str], complaint: str) -> None:
    ended = cli(*arguments)
    assert ended.code == 2
    assert complaint.lower() in " ".join(ended.err.split()).lower()
    assert "Traceback" not in ended.err
    assert "is new" not in ended.err
    assert "hunter2" not in ended.err + ended.out
    assert "\n\n" not in ended.err.strip()
    assert ended.out == ""


def test_for_an_unknown_name_the_studies_of_the_store_are_listed_nearest_first(cli: Cli, lab: Lab) -> None:
    for name in ("ljspeech", "my-voice", "other"):
        lab.define(name=name)
        lab.tuner().submit(1)
    ended = cli("best", "--study", "my-voic", "--workspace", str(lab.workspace))
    assert ended.code == 2
    assert "holds no study 'my-voic'; it holds `my-voice`, " in ended.err
    assert "quickstart" not in ended.err


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


def test_a_mistyped_name_begins_no_study(cli: Cli, lab: Lab) -> None:
    assert optimize(cli, lab, "--name", "my-voice", "--trials", "1", "--detach").code == 0
    where = ("--workspace", str(lab.workspace), "--detach")
    ended = cli("optimize", "--name", "my-voic", *where)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("There is no study 'my-voic', but there is 'my-voice': did you mean it?")
    for way in ("`--name my-voice`", "`--name my-voic --corpus PATH`", "`--name my-voic --study my-voice`"):
        assert way in ended.err
    assert optuna.get_all_study_names(lab.url) == ["my-voice"]
    assert cli("optimize", "--name", "my-voic", "--study", "my-voice", *where).code == 0
    assert cli("optimize", "--name", "my-voices", "--corpus", "demo:ru", "--no-check-corpus", *where).code == 0
    assert optuna.get_all_study_names(lab.url) == ["my-voice", "my-voic", "my-voices"]


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


@pytest.mark.parametrize("arguments", [["optimize", "--trails", "3"], ["optimise"], ["best", "--format", "xml"]])
def test_an_unknown_option_is_exit_code_2(cli: Cli, arguments: list[str]) -> None:
    ended = cli(*arguments)
    assert ended.code == 2
    assert "Usage" in ended.err
    assert "Traceback" not in ended.err


def test_a_password_is_shown_and_stored_nowhere(cli: Cli, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_TUNER_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
    ended = optimize(cli, lab, "--trials", "1")
    assert ended.code == 0, ended.err
    assert "hunter2" not in ended.out + ended.err
    written = [path.read_bytes() for path in lab.workspace.rglob("*") if path.is_file()]
    assert written
    assert not any(b"hunter2" in content for content in written)


def test_a_mistake_of_ours_keeps_its_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("our fault: postgresql://me:hunter2@host")

    monkeypatch.setattr(smart_tuner.main.SmartTunerMain, "stored", broken)
    ended = cli("status", "--study", "lab.yaml")
    assert ended.code == 1
    assert "Traceback" in ended.err
    assert "our fault: postgresql://me:***@host" in ended.err
    assert "hunter2" not in ended.err


def test_ctrl_c_before_the_first_trial_is_exit_code_130(tmp_path: Path) -> None:
    code = (
        "import signal\n"
        "from smart_tuner.cli import app, status\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job inherits it ignored
        "status.existing_tuner = lambda *a, **k: signal.raise_signal(signal.SIGINT)\n"
        "app.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "status"], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_the_installed_command_is_the_same_program() -> None:
    command = shutil.which("smart-tuner", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert command is not None
    done = subprocess.run([command, "validate", "quickstart"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("quickstart: fine.")


def test_sync_reports_an_unreachable_mlflow_in_one_paragraph(
    cli: Cli, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert optimize(cli, lab, "--trials", "1").code == 0
    monkeypatch.setenv("SMART_TUNER_MLFLOW", "true")
    where = ["--study", "lab.yaml", "--workspace", str(lab.workspace)]
    ended = cli("sync", *where, "--tracking-uri", "http://me:hunter2@127.0.0.1:9")
    assert ended.code == 1
    assert "MLflow at http://me:***@127.0.0.1:9 does not answer (connection refused). Nothing is lost" in ended.err
    assert "Traceback" not in ended.err
    assert "hunter2" not in ended.out + ended.err


def test_sync_reports_what_it_changed(cli: Cli, lab: Lab, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert optimize(cli, lab, "--trials", "1").code == 0
    assert "MLflow is switched off" in cli("sync", "--study", "lab.yaml", "--workspace", str(lab.workspace)).out
    monkeypatch.setenv("SMART_TUNER_MLFLOW", "true")
    shutil.copy(empty_store, lab.workspace / "mlflow.db")
    where = ["--study", "lab.yaml", "--workspace", str(lab.workspace)]
    assert "'lab': 1 run created, 0 repaired, 0 unchanged." in cli("sync", *where).out
    assert "'lab': 0 runs created, 0 repaired, 1 unchanged." in cli("sync", "--repair", *where).out


def test_a_submitted_study_of_another_version_is_reported_as_such(cli: Cli, lab: Lab) -> None:
    assert optimize(cli, lab, "--trials", "3", "--name", "mine", "--detach").code == 0
    submitted = optuna.load_study(study_name="mine", storage=lab.url)
    submitted.set_user_attr("definition", {**submitted.user_attrs["definition"], "sampler": {"kind": "of tomorrow"}})
    ended = cli("status", "--study", "mine", "--workspace", str(lab.workspace))
    assert ended.code == 2
    assert "submitted by another version" in ended.err


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
