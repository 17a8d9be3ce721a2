"""What is kept with the figures of benchmarks, and how the site lists it."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.provenance import page

MACHINE = {"commit": "abc1234", "cores": 2, "processor": "CPU", "torch": "2.13", "python": "3.11"}


def rows(folder: Path) -> list[list[str]]:
    lines = page(folder).splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]


def write_trainings(folder: Path, *trainings: dict[str, Any]) -> None:
    (folder / "curves").mkdir()
    text = "".join(json.dumps(training) + "\n" for training in trainings)
    (folder / "curves" / "en.jsonl").write_text(text, encoding="utf-8")


def test_figures_are_listed_with_what_was_written_down(tmp_path: Path) -> None:
    (tmp_path / "race.json").write_text(json.dumps({"date": "2026-11-28", "machine": MACHINE}), encoding="utf-8")
    (tmp_path / "old.json").write_text("{}", encoding="utf-8")
    assert rows(tmp_path) == [
        ["`race.json`", "2026-11-28", "`abc1234`", "2 cores of CPU", "2.13", "3.11"],
        ["`old.json`", *["not recorded"] * 5],
    ]


def test_trainings_of_one_file_are_counted_by_what_was_written_down(tmp_path: Path) -> None:
    made = {"reports": [{"report": 1, "seconds": 3.0}], "made": {"date": "2026-11-28", **MACHINE}}
    older = {"reports": [{"report": 1, "time": 1795691680.0}]}
    write_trainings(tmp_path, older, made, made)
    name, date, commit, machine, *_ = rows(tmp_path)[0]
    assert name == "`curves/en.jsonl`"
    assert date == "2026-11-26 (1); 2026-11-28 (2)"
    assert commit == "not recorded (1); `abc1234` (2)"
    assert machine == "not recorded (1); 2 cores of CPU (2)"


def test_trainings_without_a_date_have_none(tmp_path: Path) -> None:
    write_trainings(tmp_path, {"reports": [{"report": 1, "seconds": 3.0}]})
    assert rows(tmp_path) == [["`curves/en.jsonl`", *["not recorded"] * 5]]


@pytest.mark.parametrize(("commit", "words"), [("abc1234-dirty", "a tree with changes"), ("", "git does not know")])
def test_figures_that_cannot_be_measured_again_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], commit: str, words: str
) -> None:
    monkeypatch.setattr(report, "machine", lambda: {"commit": commit})
    report.write_results(tmp_path / "a.json", {"figures": 1}, {})
    assert words in capsys.readouterr().err
    monkeypatch.setattr(report, "machine", lambda: MACHINE)
    report.write_results(tmp_path / "a.json", {"figures": 1}, {})
    assert capsys.readouterr().err == ""
    assert json.loads((tmp_path / "a.json").read_text())["machine"] == MACHINE
