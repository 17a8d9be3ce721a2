"""`smart-tuner init`: what it finds in a corpus, the study that it writes, and the commands that take that study."""

from functools import partial
from pathlib import Path

import optuna
import pytest
from commands import Cli, call_command
from corpus_checks import run_trainer
from spoken_corpus import write_corpus

from smart_tuner.run import corpus_check
from smart_tuner.spec import load_study
from smart_tuner.training import new_study

FILE = Path("studies/my-voice.yaml")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Beside recordings of eight sentences, on a machine without a GPU that trains 10,000 frames a second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMART_TUNER_MLFLOW", "false")
    monkeypatch.setenv("SMART_TUNER_DEVICE", "cpu")
    monkeypatch.setattr(corpus_check, "run_trainer", run_trainer)
    monkeypatch.setattr(new_study, "frames_per_second", lambda *_: 10_000.0)
    prepared = {"minutes": 0.2, "language": "en", "train": 7, "validation": 1}
    monkeypatch.setattr(new_study, "prepare_corpus", lambda *_: prepared)
    monkeypatch.setattr(new_study, "busy_processors", lambda: 0.0)
    write_corpus(tmp_path / "my voice", 8)
    return partial(call_command, capsys)


def test_the_study_fits_the_corpus_and_other_commands_take_it(cli: Cli, tmp_path: Path) -> None:
    ended = cli("init", "my voice", "--set", "text.language=en")
    assert ended.code == 0, ended.err
    assert "8 sentences, 0.2 minutes of speech, language en." in ended.out
    assert "Trials run on the CPU: the small model" in ended.out
    assert f"{FILE}: written, with 7 parameters to search" in ended.out
    assert f"\n  smart-tuner optimize --study {FILE}\n" in ended.out
    study = load_study(str(FILE))
    assert (study.name, study.preset, study.corpus) == ("my-voice", "tiny", str(tmp_path / "my voice"))
    assert study.fixed == {"text.language": "en", "corpus.validation_share": 0.2}
    written = FILE.read_text(encoding="utf-8")
    assert "written by `smart-tuner init`" in written
    assert "# 8 sentences, 0.2 minutes of speech" in written
    assert "for the rest" not in written
    assert "trials are left. Nothing is trained after it: `smart-tuner train` does that.\nhours:" in written
    assert cli("validate", "my-voice", "--no-check-corpus").code == 0
    submitted = cli("optimize", "--study", str(FILE), "--detach", "--no-check-corpus")
    assert submitted.code == 0, submitted.err
    assert optuna.get_all_study_names("sqlite:///workspace/studies.db") == ["my-voice"]
    FILE.unlink()
    taken = cli("init", "my voice")
    assert (taken.code, "there is a study 'my-voice' already" in taken.err) == (2, True)


def test_a_file_is_overwritten_by_force_alone_and_not_for_a_corpus_that_cannot_be_used(
    cli: Cli, tmp_path: Path
) -> None:
    FILE.parent.mkdir()
    FILE.write_text("mine", encoding="utf-8")
    refused = cli("init", "my voice")
    assert (refused.code, FILE.read_text()) == (2, "mine")
    assert "--force overwrites it, --output names another file" in refused.err
    for name in ("c000", "c001", "c002", "c003", "c004"):
        (tmp_path / "my voice" / "wavs" / f"{name}.wav").write_bytes(b"no audio")
    unusable = cli("init", "my voice", "--force")
    assert (unusable.code, FILE.read_text()) == (2, "mine")
    assert "smart-tuner corpus check" in unusable.err
    write_corpus(tmp_path / "whole", 8)
    assert cli("init", "whole", "--force", "-o", str(FILE), "--minutes", "40").code == 0
    assert load_study(str(FILE)).name == "whole"
    wrong = cli("init", "whole", "-o", "study.txt")
    assert (wrong.code, "a study is a .yaml file" in wrong.err) == (2, True)
