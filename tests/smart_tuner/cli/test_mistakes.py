"""Mistakes of the user, of the machine, and of ours: one paragraph, an exit code, and no password."""

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from commands import Cli, optimize
from lab import Lab

import smart_tuner.main
import smart_tuner.run.corpus
import smart_tuner.run.studies
from smart_tuner.run.pool import Ending
from smart_tuner.store.storage import open_storage

PREPARE_CORPUS = smart_tuner.run.corpus.prepare_corpus  # which the lab replaces

POSTGRESQL = "postgresql+psycopg://me:hunter2@127.0.0.1:9/db"


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


def test_exit_code_130_means_that_it_was_stopped(cli: Cli, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_tuner.run.studies.Pool, "run", lambda self: Ending.POLITE)
    ended = optimize(cli, lab, "--trials", "2")
    assert ended.code == 130
    assert ended.err.rstrip().endswith("Stopped after 0 of 2 trials; the same command continues it.")


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
        "--name 'my voice': the name of a study must be at most 100 letters, digits",
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


def test_a_submitted_study_of_another_version_is_reported_as_such(cli: Cli, lab: Lab) -> None:
    assert optimize(cli, lab, "--trials", "3", "--name", "mine", "--detach").code == 0
    submitted = optuna.load_study(study_name="mine", storage=lab.url)
    submitted.set_user_attr("definition", {**submitted.user_attrs["definition"], "sampler": {"kind": "of tomorrow"}})
    ended = cli("status", "--study", "mine", "--workspace", str(lab.workspace))
    assert ended.code == 2
    assert "submitted by another version" in ended.err
