"""The report of a study, as one HTML file or as Markdown with the same facts and sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import optuna

from smart_tuner import figures
from smart_tuner.artifacts import Artifact, ArtifactKind
from smart_tuner.pages import report_text
from smart_tuner.pages.charts import charts
from smart_tuner.pages.facts import StudyFacts
from smart_tuner.pages.records import data_uri
from smart_tuner.pages.rendering import ATTENTION_CAPTION, POLICY, render, text_uri
from trainer.evaluation.verdict import PREFIX, Heard, heard

Form = Literal["html", "md"]
_TRIAL_FIGURES = (figures.DISTANCE, figures.LOSS, figures.ALIGNMENT)  # of each trial in the table
_COLUMNS = (
    ("trial", True),
    ("outcome", False),
    ("cause", False),
    ("heard", False),
    *((figure.column, True) for figure in _TRIAL_FIGURES),
    ("cost", True),
    ("stars", True),
    ("why", False),
)
_SECTIONS = (
    ("summary", "In short"),
    ("best", "The best trial"),
    ("charts", "Charts"),
    ("cost", "Cost"),
    ("trials", "All trials"),
    ("environment", "Environment"),
)
_PICTURES = {
    ArtifactKind.ALIGNMENT: ATTENTION_CAPTION,
    ArtifactKind.MEL: "Mel spectrogram.",
}


@dataclass(frozen=True)
class Shown:
    """A picture or a sound inside the page."""

    uri: str
    alt: str
    caption: str


def report(facts: StudyFacts, study: optuna.Study, form: Form, now: datetime) -> str:
    rated = any(trial.stars for trial in facts.trials)
    values: dict[str, Any] = {
        "facts": facts,
        "shown": facts.shown,
        "written": f"{now:%Y-%m-%d %H:%M}",
        "summary": report_text.summary(facts),
        "headline": report_text.headline(facts),
        "next_steps": report_text.next_steps(facts),
        "cost": report_text.cost(facts),
        "columns": [column for column in _COLUMNS if column[0] != "stars" or rated],
        "rated": rated,
        "trial_figures": _TRIAL_FIGURES,
        "heard": heard,
        "what_is_heard": figures.VERDICT,
        "verdicts": list(Heard),
        "verdict": figures.verdict,
        "figures": _figures(facts),
        "try_like": report_text.try_like(facts),
        "recipe_file": f"{facts.name}-best.yaml",
    }
    if form == "md":
        return render("report.md", **values)
    from plotly.offline import get_plotlyjs

    return render(
        "report.html",
        **values,
        policy=POLICY.format(connect="'none'"),
        sections=[section for section in _SECTIONS if section[0] != "best" or facts.shown],
        charts=charts(facts, study),
        pictures=_shown(facts, _PICTURES),
        sounds=_sounds(facts),
        recipe_uri=text_uri(facts.recipe or "", "application/yaml"),
        plotly=get_plotlyjs(),
    )


def _figures(facts: StudyFacts) -> list[tuple[str, float | None, float | None]]:
    """(name, value with a teacher, value without one) for the shown trial."""
    metrics = facts.shown.metrics if facts.shown else {}
    free = {key.removeprefix(PREFIX): value for key, value in metrics.items() if key.startswith(PREFIX)}
    forced = {key: value for key, value in metrics.items() if not key.startswith(PREFIX)}
    return [(figures.label(key), forced.get(key), free.get(key)) for key in forced | free]


def _shown(facts: StudyFacts, kinds: Mapping[ArtifactKind, str]) -> list[Shown]:
    found = [(facts.featured.newest(kind), caption) for kind, caption in kinds.items()] if facts.featured else []
    return [
        Shown(uri, f"{artifact.kind} of the sentence: {artifact.sentence}", f"{caption} “{artifact.sentence}”")
        for artifact, caption in found
        if artifact is not None and (uri := data_uri(artifact))
    ]


def _sounds(facts: StudyFacts) -> list[Shown]:
    found: Sequence[Artifact] = facts.featured.artifacts if facts.featured else ()
    samples = [artifact for artifact in found if artifact.kind is ArtifactKind.SAMPLE]
    return [Shown(uri, f"Sample: {a.sentence}", f"“{a.sentence}”") for a in samples if (uri := data_uri(a))]
