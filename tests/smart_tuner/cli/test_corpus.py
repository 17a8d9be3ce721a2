"""`smart-tuner corpus check`: exit codes, the screen, JSON, the page and the copy. The trainer is called in process."""

import html
import json
from functools import partial
from pathlib import Path

import pytest
from commands import Cli, Ended, call_command
from corpus_checks import run_trainer
from rich.console import Console
from spoken_corpus import speech, text_of, write_corpus

from smart_tuner.corpus_check import Finding, Group
from smart_tuner.run import corpus_check
from smart_tuner.terminal.corpus_check import print_short_form
from trainer.corpus_report import Severity

MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setattr(corpus_check, "run_trainer", run_trainer)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return partial(call_command, capsys)


def screen(ended: Ended) -> str:
    """What a person reads: the lines that are no progress, without the breaks between words."""
    lines = [line.strip() for line in ended.out.splitlines() if not line.startswith("{")]
    return " ".join(lines)


def test_the_screen_ends_with_the_verdict_and_what_to_expect(cli: Cli, tmp_path: Path) -> None:
    loud = speech(text_of(2), 2) * 2.4
    corpus = write_corpus(tmp_path / "corpus", 24, {2: loud.clip(-0.8, 0.8)})
    ended = cli("corpus", "check", "corpus", "--set", "corpus.validation_share=0.4")
    said = screen(ended)
    assert ended.code == 1
    assert "24 recordings at 22,050 Hz" in said
    assert f"c000: {text_of(0)}" in said
    assert "warning: 1 clip: clipped c002 (metadata.csv:3): " in said
    assert "usable, with warnings: 0." in said
    assert said.rpartition("usable, with warnings: ")[2].find("Less speech than was measured") > 0
    assert max(map(len, ended.out.splitlines())) <= 80 or ended.out.startswith("{")
    assert not list(corpus.parent.glob("workspace"))  # nothing is made


def test_in_a_file_each_line_is_whole(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "corpus", 24)
    broken = screen(cli("corpus", "check", "corpus"))
    monkeypatch.delenv("COLUMNS")
    ended = cli("corpus", "check", "corpus")
    assert screen(ended).split() == broken.split()
    advice = next(line for line in ended.out.splitlines() if line.startswith("Less speech than was measured"))
    assert len(advice) > 80
    assert broken.count(advice) == 1
    assert all(line == line.rstrip() for line in ended.out.splitlines() if line.startswith("Less"))


def test_rows_that_cannot_be_used_are_exit_code_2_with_their_reasons(cli: Cli, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", 8)
    for number in range(5):
        (corpus / "wavs" / f"c00{number}.wav").write_bytes(b"no audio")
    ended = cli("corpus", "check", "corpus", "--fix", "copy")
    said = screen(ended)
    assert ended.code == 2
    assert "refused: 5 rows of 8 cannot be used" in said
    assert "metadata.csv:1: " in said
    assert "... and 2 more; --json lists all" in said
    assert "The cleaned copy has 3 clips" in said
    assert (tmp_path / "copy" / "metadata.csv").read_text().count("\n") == 3


def test_json_has_everything_and_the_advice(cli: Cli, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", 8)
    ended = cli("corpus", "check", "corpus", "--json")
    report = json.loads(ended.out[ended.out.index("{\n") :])
    assert ended.code == 1
    assert report["amount"]["rows"] == 8
    assert report["state"] == "usable, with warnings"
    assert "Of a person, 3.7 minutes alone were tried" in report["advice"]["expect"]


def test_the_page_has_the_worst_clips_inside(cli: Cli, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", 24, {3: speech(text_of(3), 3, noise=0.2)})
    (corpus / "wavs" / "c003.wav").rename(corpus / "wavs" / f"{MARKUP}.wav")
    metadata = corpus / "metadata.csv"
    metadata.write_text(metadata.read_text().replace("c003|", f"{MARKUP}|"))
    assert cli("corpus", "check", "corpus", "--html", "page.html").code == 1
    page = (tmp_path / "page.html").read_text()
    assert page.count("<audio") == page.count('src="data:audio/wav') == page.count('<img src="data:image/png') == 1
    assert MARKUP not in page
    assert html.escape(MARKUP) in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "budget.frames=3"], "--set budget.frames: a check depends on keys of corpus, audio and text only"),
        (["--set", "corpus.max_seconds=-1"], "corpus.max_seconds"),
        (["--fix", "corpus/copy"], ""),
        (["--fix", ""], "--fix: names the current folder, or is empty"),
        (["--html", "corpus"], "--html corpus: is not a file; name one for the page"),
        (["--html", ""], "is not a file; name one for the page"),
        (["--html", "/dev/full"], "is not a file; name one for the page"),
    ],
)
def test_mistakes_are_exit_code_2_before_anything_is_read(
    cli: Cli, tmp_path: Path, arguments: list[str], message: str
) -> None:
    write_corpus(tmp_path / "corpus", 2)
    ended = cli("corpus", "check", "corpus", *arguments)
    assert (ended.code, message in ended.err) == (2, True)
    assert "reading the recordings" not in ended.out


def test_an_empty_path_is_not_the_current_folder(cli: Cli, tmp_path: Path) -> None:
    write_corpus(tmp_path, 2)
    ended = cli("corpus", "check", "")
    assert (ended.code, "the path of the corpus is empty" in ended.err) == (2, True)


@pytest.mark.parametrize("prefix", ["", "fixed."])
def test_a_setting_may_be_written_as_in_a_study(cli: Cli, tmp_path: Path, prefix: str) -> None:
    write_corpus(tmp_path / "corpus", 2)
    ended = cli("corpus", "check", "corpus", "--json", "--set", f"{prefix}text.language=ru")
    report = json.loads(ended.out[ended.out.index("{\n") :])
    assert report["language"] == "ru"


def test_the_short_form_names_the_first_clips_and_the_command_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    group = Group(
        "noisy", Severity.WARNING, 5, "5 clips: noisy", "It is heard.", "Clean it.", [finding(i) for i in range(3)]
    )
    print_short_form([group], "my voice", Console(width=60))
    assert capsys.readouterr().out.splitlines() == [
        "warning: 5 clips: noisy (c0, c1, c2, ...). It is heard.",
        "more: smart-tuner corpus check 'my voice'",
    ]
    print_short_form([], "my voice", Console())
    assert capsys.readouterr().out == ""


def finding(number: int) -> Finding:
    return Finding(f"c{number}", f"metadata.csv:{number}", "is noisy")
