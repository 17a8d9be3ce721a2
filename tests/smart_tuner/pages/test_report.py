"""The files of a report: what a person, a browser and the trainer read in them."""

import base64
import json
import os
import sys
from dataclasses import dataclass, replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from finished_study import HUM, NASTY, PNG, SENTENCE, TOO_HIGH, UNALIGNED, WAV, FinishedStudy
from plotly.graph_objects import Figure, Scatter

from smart_tuner.cli.app import main
from smart_tuner.config import SecretUrl
from smart_tuner.errors import UserError
from smart_tuner.outcome import Cause
from smart_tuner.pages import report_text
from smart_tuner.pages.charts import charts, figure_json
from smart_tuner.pages.facts import facts_of
from smart_tuner.pages.page_files import write_page
from smart_tuner.pages.ratings import rate
from smart_tuner.pages.report import Form, report
from trainer.__main__ import main as trainer
from trainer.config import TrainerConfig
from trainer.evaluation.verdict import Heard
from trainer.protocol import EventWriter

NOW = datetime(2026, 1, 31, 12, 0)
_EMPTY = {"meta", "link", "img", "input", "br", "wbr", "hr"}


class Page(HTMLParser):
    """Text, elements and what they refer to. Scripts and styles are not text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def references(self) -> list[str]:
        found = [attrs.get(key) for _, attrs in self.tags for key in ("src", "href", "action", "poster")]
        return [reference for reference in found if reference is not None]


@dataclass(frozen=True)
class Written:
    finished: FinishedStudy
    html: Page
    md: str


def written(finished: FinishedStudy, form: Form) -> str:
    return report(facts_of(finished.study, finished.workspace), finished.study, form, NOW)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Two complete trials with sound, three pruned ones, one that failed."""
    finished = FinishedStudy(tmp_path_factory.mktemp("study"), {"description": "a <b>bold</b> plan"})
    finished.complete(2.0)
    finished.complete(1.5, lr=1e-3, spoken=HUM)
    finished.pruned(UNALIGNED)
    finished.pruned(UNALIGNED)
    finished.pruned(TOO_HIGH, alignment=0.7)
    finished.failed(NASTY)
    rate(finished.study, 0, 4)
    return Written(finished, Page(written(finished, "html")), written(finished, "md"))


def test_the_page_needs_no_network(study: Written) -> None:
    references = study.html.references()
    assert references
    assert all(reference.startswith(("data:", "#")) for reference in references)
    policies = [meta["content"] for meta in study.html.all("meta") if "http-equiv" in meta]
    assert [policy.split(";")[0] for policy in policies if policy] == ["default-src 'none'"]


def test_the_summary_has_the_outcome_of_the_trials(study: Written) -> None:
    for text in (study.html.text, study.md):
        assert "6 of 6 trials finished: 2 complete, 3 pruned and 1 failed." in text
        assert "Corpus: demo:en; preset tiny;" in text
        assert "Pruned: 2 attention, 1 loss. Failed: 1 crashed." in text
        assert "The best is trial 1: teacher-forced loss 1.5, teacher-forced alignment 0.90." in text
        assert UNALIGNED.replace("_", "\\_") in text
        assert TOO_HIGH in text.replace("\\>", ">")
        assert "★★★★" in text


def test_what_is_heard_comes_first_with_what_to_do_next(study: Written) -> None:
    facts = facts_of(study.finished.study, study.finished.workspace)
    assert report_text.headline(facts)[:3] == [
        ("what is heard", "aligned, but a hum", "trial 1, the best"),
        ("distance to the recordings", "9.21 dB", "hum 11.32 dB, best possible 1.15 dB"),
        ("sentences that fail", "12%", "they do not end, or are cut"),
    ]
    for text in (study.html.text, study.md):
        assert "What is heard: aligned, but a hum." in text
        assert f"What is heard of trial 1: aligned, but a hum. {Heard.HUM.advice}" in text.replace("\\", "")
    assert "| 0 | complete |  | not measured |  | 2 | 0.90 |" in study.md, "a trial of an earlier version"
    assert "| 1 | best |  | aligned, but a hum | 9.21 dB | 1.5 | 0.90 |" in study.md


def test_training_longer_is_no_advice_for_a_mute_voice(tmp_path: Path) -> None:
    finished = FinishedStudy(tmp_path)
    finished.complete(1.0, spoken=HUM | {"free_running_failed": 1.0})
    html = Page(written(finished, "html")).text
    assert Heard.MUTE.advice in html
    assert "Train a voice" not in html
    assert "To train" not in html


def test_more_finished_trials_than_asked_for_are_reported_as_such(study: Written) -> None:
    finished = study.finished
    facts = replace(facts_of(finished.study, finished.workspace), target=1)
    assert report_text.summary(facts)[0].startswith("6 trials finished, 1 asked for: 2 complete")
    assert ("trials finished", "6", "1 asked for") in report_text.headline(facts)


def test_the_report_has_the_cost_and_what_pruning_saved(study: Written) -> None:
    # 2 trials of 4 hours, 3 pruned halfway after 2 hours, which spared 2 more each, and one without its record
    for text in (study.html.text, study.md):
        assert "trained for 14.0 h on a CPU" in text
        assert "Pruning saved 6.0 h, 30% of what all trials would have cost" in text
        assert "For 1 trial, neither record nor times at work are here" in text
        assert "The longest was trial 0 with 4 h 00 min." in text  # as the terminal shows it


def test_markup_in_texts_is_escaped(study: Written) -> None:
    assert "<script>alert('x')</script> | *bold*" in study.html.text
    assert "a <b>bold</b> plan" in study.html.text
    assert "\\<script\\>alert('x')\\</script\\> \\| \\*bold\\*" in study.md
    facts = replace(facts_of(study.finished.study, study.finished.workspace), name="a<script>")
    page = Page(report(facts, study.finished.study, "html", NOW))
    assert page.words[page.words.index("a<script>")]
    assert len(page.all("script")) == len(study.html.all("script"))


def test_the_best_trial_has_its_pictures_and_sound(study: Written) -> None:
    sources = {str(attrs["src"]).partition(",")[2] for tag in ("img", "audio") for attrs in study.html.all(tag)}
    assert sources == {base64.b64encode(content).decode() for content in (PNG, WAV)}
    assert SENTENCE in study.html.text
    assert all(image["alt"] for image in study.html.all("img"))


def test_each_chart_is_drawn_and_has_its_data(study: Written) -> None:
    wanted = {attrs["data-figure"] for attrs in study.html.all("div") if "data-figure" in attrs}
    there = {attrs["id"] for attrs in study.html.all("script") if "id" in attrs}
    keys = ("distance", "loss", "alignment", "history", "importance", "slice", "parallel")
    assert wanted == there == {f"figure-{key}" for key in keys}


def test_text_in_a_chart_cannot_end_the_script_that_holds_it() -> None:
    hostile = "</script><script>alert('x')</script><!--"
    text = figure_json(Figure(Scatter(x=[1], y=[1], text=[hostile])))
    assert "<" not in text
    assert json.loads(text)["data"][0]["text"] == [hostile]


def test_trials_that_were_pruned_for_other_causes_have_other_colours(tmp_path: Path) -> None:
    finished = FinishedStudy(tmp_path)
    for cause in (Cause.ATTENTION, Cause.SPEECH, Cause.TIME):
        finished.pruned(f"as {cause} says", cause=cause)
    chart = next(c for c in charts(facts_of(finished.study, finished.workspace), finished.study) if c.key == "loss")
    traces = json.loads(str(chart.figure))["data"]
    colours = {trace["name"]: trace["marker"]["color"] for trace in traces if "pruned: " in trace["name"]}
    assert list(colours) == ["pruned: attention", "pruned: speech", "pruned: time"]
    assert len(set(colours.values())) == 3


def test_the_recipe_of_a_finetuned_trial_leaves_the_sizes_to_the_voice(tmp_path: Path) -> None:
    finished = FinishedStudy(tmp_path)
    number = finished.complete(1.0)
    config = TrainerConfig.from_mapping({"preset": "voice", "warm_start": "voice.pt", "optimizer": {"lr": 2e-5}})
    finished.run_dir(number).config.write_text(config.to_json(), encoding="utf-8")
    recipe = yaml.safe_load(str(facts_of(finished.study, finished.workspace).recipe))
    assert (recipe["preset"], recipe["warm_start"], recipe["optimizer"]) == ("voice", "voice.pt", {"lr": 2e-5})
    assert not {"model", "schedule", "guided_attention", "batch"} & recipe.keys()


def test_the_recipe_of_an_earlier_trial_trains_what_the_trial_trained(tmp_path: Path) -> None:
    finished = FinishedStudy(tmp_path)
    number = finished.complete(1.0)
    config = json.loads(TrainerConfig().to_json())
    del config["validation"]["best_by"], config["loss"]["gate_tail"]
    config["loss"]["gate_positive_weight"] = 5.0
    finished.run_dir(number).config.write_text(json.dumps(config), encoding="utf-8")
    recipe = yaml.safe_load(str(facts_of(finished.study, finished.workspace).recipe))
    assert recipe["validation"] == {"best_by": "validation_loss"}
    assert recipe["loss"] == {"gate_positive_weight": 5.0, "gate_tail": 0}


def test_the_best_parameters_are_a_file_for_the_trainer(
    study: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = next(attrs for attrs in study.html.all("a") if "download" in attrs)
    path = tmp_path / str(link["download"])
    path.write_bytes(base64.b64decode(str(link["href"]).partition(",")[2]))
    assert trainer(["--check", "--config", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: fine\n"
    assert "  lr: 0.001" in path.read_text(encoding="utf-8")
    assert str(study.finished.run_dir(1).path) not in path.read_text(encoding="utf-8")  # the trial's folder is not used


def test_without_a_feasible_trial_none_is_called_the_best(tmp_path: Path) -> None:
    finished = FinishedStudy(tmp_path)
    finished.complete(1.0, alignment=0.2)
    finished.pruned(UNALIGNED)
    html, md = Page(written(finished, "html")), written(finished, "md")
    for text in (html.text, md):
        assert "No trial is feasible: none satisfies all constraints" in text
        assert "Nearest is trial 0: teacher-forced alignment too low. What is heard: not measured." in text
        assert "budget.frames" in text
        assert "Ready to train" not in text
        assert "Save this as" not in text
    assert "This needs 2 complete trials; there is 1 so far." in html.text


def test_the_report_of_a_study_without_trials_says_what_to_do(tmp_path: Path) -> None:
    finished = FinishedStudy(tmp_path)
    for text in (Page(written(finished, "html")).text, written(finished, "md")):
        assert "No trial has finished yet: 0 trials of 6 have started." in text
        assert "smart-tuner worker --study lab" in text
        assert "No trial has trained yet." in text


def test_only_files_in_the_trial_directory_get_into_the_page(tmp_path: Path) -> None:
    finished = FinishedStudy(tmp_path)
    number = finished.complete(1.0)
    (tmp_path / "secret.png").write_bytes(b"a secret")
    run = finished.run_dir(number)
    (run.path / "link.png").symlink_to(tmp_path / "secret.png")
    writer = EventWriter(run.events)
    for path in (
        "../../../../secret.png",
        str(tmp_path / "secret.png"),
        "link.png",
        "events.jsonl",
        "a\0b.png",
        "no.png",
    ):
        finished.show(number, writer, path, "alignment", None)
    writer.close()
    page = Page(written(finished, "html"))
    assert base64.b64encode(b"a secret").decode() not in "".join(page.references())


def test_a_page_is_written_to_the_target_of_a_link_and_replaces_no_device(tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "file.html")
    os.mkfifo(tmp_path / "pipe")
    assert write_page("text", tmp_path / "link.html") == tmp_path / "link.html"
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "file.html").read_text() == "text"
    for path in (tmp_path / "pipe", tmp_path, Path()):
        with pytest.raises(UserError, match="is not a file; give another one with --output"):
            write_page("text", path)
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("url", "options", "first"),
    [
        ("sqlite:////data/all studies.db", " --storage 'sqlite:////data/all studies.db'", False),
        ("postgresql://me:hunter2@host/s", "", True),
    ],
)
def test_commands_to_copy_find_the_study_again_and_show_no_password(
    study: Written, url: str, options: str, first: bool
) -> None:
    finished = study.finished
    text = report(facts_of(finished.study, finished.workspace, SecretUrl(url)), finished.study, "md", NOW)
    assert f"smart-tuner listen --study lab --workspace '{finished.workspace}'{options}\n" in text
    assert ("Set SMART_TUNER_STORAGE first" in text.replace("\\_", "_")) is first
    assert "hunter2" not in text


def test_the_command_writes_into_the_workspace(
    study: Written, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    where = ["--study", "lab", "--workspace", str(study.finished.workspace), "--format", "md"]
    where += ["--storage", study.finished.url]
    monkeypatch.setattr(sys, "argv", ["smart-tuner", "report", *where])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    path = Path(capsys.readouterr().out.strip())
    assert path == study.finished.workspace / "reports/lab.md"
    assert path.read_text(encoding="utf-8").startswith("# lab\n")
    assert f"--storage '{study.finished.url}'\n" in path.read_text(encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["smart-tuner", "report", *where[:4], "--output", str(tmp_path / "named.md")])
    with pytest.raises(SystemExit):
        main()
    assert Path(capsys.readouterr().out.strip()).read_text(encoding="utf-8").startswith("# lab\n")
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["smart-tuner", "report", *where, "--output", str(tmp_path / "file/r.md")])
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code == 2
    assert "cannot be written" in capsys.readouterr().err
