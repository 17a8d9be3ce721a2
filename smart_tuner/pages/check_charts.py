"""The charts of a checked corpus: how its clips are spread, and which texts do not fit the length of their clip."""

import html
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from smart_tuner.corpus_check import CorpusCheck
from smart_tuner.pages.charts import BLUE, RED, Chart, figure_json

_HISTOGRAMS = (  # name, title, caption, axis
    ("seconds", "Lengths", "Clips by their length after trimming.", "seconds"),
    (
        "level",
        "Levels",
        "Clips by the level of their speech. Much wider than 10 dB: audio.level evens it out.",
        "dBFS",
    ),
    ("contrast", "Noise", "Clips by how far their speech is above the noise; 80 stands for more, too.", "dB"),
)


def check_charts(check: CorpusCheck) -> list[Chart]:
    """None where no clip is usable."""
    plots: Mapping[str, Any] | None = check.raw.get("plots")
    return [_rates(plots["points"]), *_histograms(plots)] if plots else []


def _rates(points: list[dict[str, Any]]) -> Chart:
    import plotly.graph_objects as go

    figure = go.Figure()
    for suspect, name, colour, size in ((False, "fits", BLUE, 5), (True, "does not fit", RED, 9)):
        some = [point for point in points if point["suspect"] is suspect]
        if some:
            figure.add_scatter(
                x=[point["symbols"] for point in some],
                y=[point["seconds"] for point in some],
                text=[html.escape(point["id"]) for point in some],
                hovertemplate="%{text}: %{y:.1f} s, %{x} symbols<extra></extra>",
                mode="markers",
                name=name,
                marker={"color": colour, "size": size, "opacity": 0.7, "symbol": "x" if suspect else "circle"},
            )
    figure.update_xaxes(title="symbols of the text", rangemode="tozero")
    figure.update_yaxes(title="seconds of speech", rangemode="tozero")
    caption = "Each point is a clip. Those far from the line have another text, or a part of it is missing."
    return Chart("rates", "Text and length", caption, figure_json(figure))


def _histograms(plots: Mapping[str, Any]) -> Iterator[Chart]:
    import plotly.graph_objects as go

    for name, title, caption, axis in _HISTOGRAMS:
        edges, counts = plots[name]["edges"], plots[name]["counts"]
        middles = [(low + high) / 2 for low, high in pairwise(edges)]
        figure = go.Figure()
        width = edges[1] - edges[0]
        figure.add_bar(x=middles, y=counts, width=width, marker_color=BLUE, hovertemplate="%{y} clips<extra></extra>")
        figure.update_xaxes(title=axis)
        figure.update_yaxes(title="clips")
        yield Chart(name, title, caption, figure_json(figure))
