"""The page of a checked corpus: the verdict, what was found, plots, and the worst clips to look at and to hear.

One file, without a network.
"""

from datetime import datetime
from pathlib import Path

from smart_tuner.corpus_check import COLUMNS, CorpusCheck
from smart_tuner.pages.check_charts import check_charts
from smart_tuner.pages.page_files import write_page
from smart_tuner.pages.records import file_uri
from smart_tuner.pages.rendering import POLICY, render

ROWS = 200  # of a group; the JSON has all


def write_check_page(check: CorpusCheck, path: Path) -> Path:
    """Raises UserError where it cannot be written."""
    return write_page(check_page(check), path)


def check_page(check: CorpusCheck) -> str:
    from plotly.offline import get_plotlyjs

    charts = check_charts(check)
    return render(
        "corpus_check.html",
        check=check,
        columns=COLUMNS,
        rows=ROWS,
        charts=charts,
        plotly=get_plotlyjs() if charts else "",
        uri=file_uri,
        written=f"{datetime.now().astimezone():%Y-%m-%d %H:%M}",
        policy=POLICY.format(connect="'none'"),
    )
