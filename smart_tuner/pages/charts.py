"""The charts of a report, as plotly's JSON. The page sets the colours of background and text, for light and dark.

Optuna makes the charts of history, importance, slices and parallel coordinates; the curves of the trials are ours.
"""

import html
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

from smart_tuner import figures
from smart_tuner.figures import ALIGNMENT, DISTANCE, HUM, LOSS
from smart_tuner.outcome import Cause
from smart_tuner.pages.facts import StudyFacts, TrialFacts

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

GREEN, BLUE, GREY, RED = "#2f9e6e", "#4a7fd4", "#8b929c", "#cc5a4e"
_CAUSE_COLOURS = {  # others: grey
    Cause.ATTENTION: "#d98324",
    Cause.LOSS: "#a463bf",
    Cause.SPEECH: "#2b9fb3",
    Cause.DIVERGED: RED,
}
_GROUPS = (("complete", "COMPLETE", BLUE), ("pruned", "PRUNED", GREY), ("failed", "FAIL", RED))
_RAMP = [[0.0, GREEN], [1.0, "#aeb4bd"]]  # from the best trial on; visible on a light and on a dark background
_Curve = Callable[[TrialFacts], Mapping[int, float]]  # a figure of a trial by the report's index
_LACKS = {DISTANCE: "No report was evaluated, or the records of the trials are on another machine."}
_ENOUGH = 2  # complete trials
_PARALLEL_AT_MOST = 8  # axes that fit; those of the most important parameters


@dataclass(frozen=True)
class Chart:
    """Either a figure or the reason why there is too little to draw."""

    key: str
    title: str
    caption: str
    figure: str | None = None  # JSON
    lack: str = ""
    width: int | None = None  # pixels that it needs; the box scrolls if there are fewer


def charts(facts: StudyFacts, study: optuna.Study) -> list[Chart]:
    """All charts in the order of the page."""
    with _quiet():
        return [
            _curves(facts, DISTANCE, lambda trial: trial.distances),
            _curves(facts, LOSS, lambda trial: {point.index: point.loss for point in trial.curve.values()}),
            _curves(facts, ALIGNMENT, lambda trial: {point.index: point.alignment for point in trial.curve.values()}),
            *_of_optuna(study, figures.objective(facts.spec.objective.metric).words),
        ]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's log and warnings; the page itself says what is missing."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _curves(facts: StudyFacts, shown: figures.Figure, of: _Curve) -> Chart:
    import plotly.graph_objects as go

    key = shown.column
    title = shown.words.capitalize()
    caption = "Each line is a trial. The best one is thick; a cross marks where a trial was pruned, and shows why."
    drawn = [trial for trial in facts.trials if of(trial)]
    if not drawn:
        return Chart(key, title, caption, lack=_LACKS.get(shown, "No trial has been validated yet."))
    figure = go.Figure()
    mode = "lines+markers" if shown is DISTANCE else "lines"  # not every report is evaluated
    for name, state, colour in (*_GROUPS, ("running", "RUNNING", BLUE)):
        some = [trial for trial in drawn if trial.state == state and trial is not facts.featured]
        if some:
            line = {"color": colour, "width": 1, "dash": "dot" if state == "RUNNING" else "solid"}
            figure.add_scatter(**_lines(facts, some, of), name=name, line=line, mode=mode, opacity=0.65)
    if facts.featured and of(facts.featured):
        name = f"{'best' if facts.best else 'nearest'}: trial {facts.featured.number}"
        line = {"color": GREEN, "width": 3.5}
        figure.add_scatter(**_lines(facts, [facts.featured], of), name=name, line=line, mode=mode)
    for cause in facts.causes("pruned"):
        figure.add_scatter(**_ends(facts, cause, of), name=f"pruned: {cause}", mode="markers")
    note, line_at = _curve_note(facts, shown)
    if line_at is not None:
        figure.add_hline(y=line_at, line={"color": GREY, "width": 1, "dash": "dash"})
    figure.update_xaxes(title="budget, %", range=[0, 102])
    unit = f", {shown.unit}" if shown.unit else ""
    figure.update_yaxes(
        title=f"{shown.words}{unit}", **_scale(shown, [y for trial in drawn for y in of(trial).values()])
    )
    return Chart(key, title, caption + note, figure_json(figure))


def _curve_note(facts: StudyFacts, shown: figures.Figure) -> tuple[str, float | None]:
    """What to know about the chart, and where a dashed line is."""
    if shown is DISTANCE:
        hum = facts.featured.metrics.get(HUM.name) if facts.featured else None
        note = " Of speech without a teacher, at the reports that were evaluated; less is better."
        return (note, None) if hum is None else (f"{note} A hum has {HUM.text(hum)} (dashed).", hum)
    if shown is ALIGNMENT:
        floor = facts.spec.constraints.alignment.at_least
        return f" A feasible trial reaches {ALIGNMENT.text(floor)} (dashed).", floor
    return " The loss of a trial that does not align says nothing about how it sounds.", None


def _scale(shown: figures.Figure, values: Sequence[float]) -> dict[str, object]:
    if shown is ALIGNMENT:
        return {"range": [0, 1]}
    return {"type": "log"} if shown is LOSS and min(values) > 0 and max(values) > 3 * min(values) else {}


def _lines(facts: StudyFacts, trials: Sequence[TrialFacts], of: _Curve) -> dict[str, object]:
    """One trace for many trials, with a gap after each, so that a page of 200 trials stays small."""
    x: list[float | None] = []
    y: list[float | None] = []
    labels: list[str] = []
    for trial in trials:
        points = sorted(of(trial).items())
        x += [*(100 * index / facts.spec.budget.reports for index, _ in points), None]
        y += [*(round(value, 5) for _, value in points), None]
        labels += [*(f"trial {trial.number}" for _ in points), ""]
    return {"x": x, "y": y, "text": labels, "hovertemplate": "%{text}: %{y:.4g}<extra></extra>"}


def _ends(facts: StudyFacts, cause: Cause, of: _Curve) -> dict[str, object]:
    ended = [t for t in facts.trials if t.outcome == "pruned" and t.cause is cause and of(t)]
    last = [max(of(trial).items()) for trial in ended]
    return {
        "x": [100 * index / facts.spec.budget.reports for index, _ in last],
        "y": [round(value, 5) for _, value in last],
        "text": [f"trial {t.number}<br>{_folded(t.reason)}" for t in ended],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"symbol": "x", "size": 8, "color": _CAUSE_COLOURS.get(cause, GREY)},
    }


def _folded(text: str, width: int = 60) -> str:
    """Lines that fit into a hover box, escaped, since plotly interprets tags."""
    return "<br>".join(html.escape(line) for line in textwrap.wrap(text, width))


def _of_optuna(study: optuna.Study, name: str) -> Iterator[Chart]:
    from optuna import visualization
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    enough = len(complete) >= _ENOUGH
    lack = f"This needs {_ENOUGH} complete trials; there {_are(len(complete))} so far."
    history = ("history", "History", f"Complete trials in their order, and the least {name} so far.")
    importance = (
        "importance",
        "Importance",
        "How much each parameter decides whether a trial is among the best tenth of the complete ones (PED-ANOVA)."
        + (" With so few trials this is a hint at most." if len(complete) < 20 else ""),
    )
    slices = (
        "slice",
        "Slices",
        f"The {name} of the complete trials over each parameter; the later a trial, the bluer.",
    )
    parallel = ("parallel", "Parallel coordinates", "A line for each complete trial, through its parameters.")
    if not enough:
        yield from (Chart(*titles, lack=lack) for titles in (history, importance, slices, parallel))
        return
    yield Chart(*history, figure_json(visualization.plot_optimization_history(study, target_name=name)))
    evaluator = PedAnovaImportanceEvaluator()
    ranked = list(get_param_importances(study, evaluator=evaluator))
    figure = visualization.plot_param_importances(study, evaluator=evaluator)
    figure.update_layout(xaxis_title="importance", yaxis_title=None)
    yield Chart(*importance, figure_json(figure, right=50))  # space for the number beside the longest bar
    figure = visualization.plot_slice(study, params=ranked, target_name=name)
    figure.update_traces(marker={"colorscale": [[0.0, "#aeb4bd"], [1.0, BLUE]]})
    yield Chart(*slices, figure_json(figure), width=max(600, 230 * len(ranked)))
    common = [name for name in ranked if all(name in trial.params for trial in complete)][:_PARALLEL_AT_MOST]
    yield _parallel(parallel, study, common, ranked, name)


def _parallel(
    titles: tuple[str, str, str], study: optuna.Study, common: list[str], ranked: list[str], name: str
) -> Chart:
    from optuna import visualization

    key, title, caption = titles
    if not common:
        return Chart(key, title, caption, lack="No parameter is part of every complete trial.")
    if len(common) < len(ranked):
        caption += " Only the most important parameters of those that all of them have."
    figure = visualization.plot_parallel_coordinate(study, params=common, target_name=name)
    _recolour(figure)
    return Chart(key, title, caption, figure_json(figure), width=max(600, 150 * (len(common) + 1)))


def _recolour(figure: "Figure") -> None:
    """Replace Optuna's colours: its nearly black blue for the best trials is invisible on a dark background."""
    from plotly.colors import sample_colorscale

    for line in figure.data:
        if line.mode == "markers":  # the colour scale
            line.marker.update(colorscale=_RAMP, reversescale=False)
        elif line.y[0] is None:  # an entry of the legend
            line.line.color = GREY
        else:
            line.line.color = sample_colorscale(_RAMP, [line.y[0]])[0]  # the first axis is the objective, from 0 to 1
            line.opacity = 0.85
    figure.update_layout(plot_bgcolor=None)
    figure.update_annotations(font_color=None)


def _are(count: int) -> str:
    return {0: "is none", 1: "is 1"}.get(count, f"are {count}")


def figure_json(figure: "Figure", right: int = 20) -> str:
    """JSON without title and template, which are the page's. Safe inside a script element."""
    figure.update_layout(
        title=None, template=None, width=None, height=None, margin={"l": 60, "r": right, "t": 30, "b": 60}
    )
    text: str = figure.to_json()
    return text.replace("<", "\\u003c")
