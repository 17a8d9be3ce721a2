"""Replayed studies on a table that can be reckoned by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.recorded_table import Recorded, Table, table_of, tied
from benchmarks.replay import Method, replay
from benchmarks.search import OURS, PROPOSALS, gain, row_of
from smart_tuner.spec import parse_study

REPORTS = 10
STUDY = {
    "name": "table",
    "corpus": "demo:en",
    "preset": "tiny",
    "budget": {"frames": 100_000, "reports": REPORTS},
    "constraints": {"alignment": {"at_least": 0.5}},
    "search": {
        "optimizer.lr": {"type": "float", "low": 1e-3, "high": 8e-3},
        "batch.size": {"type": "int", "low": 4, "high": 16, "step": 4},
    },
}
WITHOUT_PRUNING = Method("random", sampler="random")


def setting(number: int, alignments: Sequence[float], distance: float, time: float = 1.0) -> Recorded:
    """distance: of the speech at each report."""
    heard = {"free_running_alignment": alignments[-1], "free_running_failed": 0.0, "free_running_distance": distance}
    reports = [{"loss": 5.0, "alignment": a, "free_running_hum_mcd": 12.0, **heard} for a in alignments]
    return Recorded({"optimizer.lr": 1e-3 * (number + 1), "batch.size": 8}, reports, reports[-1], time)


def table(*settings: Recorded) -> Table:
    return Table("table", parse_study(STUDY, "table"), settings)


@pytest.fixture
def three() -> Table:
    """Two that align and one that does not; the second passes and is the best."""
    mute = [0.02] * REPORTS
    return table(setting(0, [0.6] * REPORTS, 11.0), setting(1, [0.9] * REPORTS, 9.0), setting(2, mute, 12.0))


def test_without_pruning_each_setting_costs_a_budget(three: Table) -> None:
    course = replay(three, WITHOUT_PRUNING, workers=1, seed=1)
    assert [round(ended.compute, 6) for ended in course.ended] == [1, 2, 3]
    assert [round(ended.time, 6) for ended in course.ended] == [1, 2, 3]
    assert {ended.setting for ended in course.ended} == {0, 1, 2}
    assert (round(course.compute, 6), round(course.mute, 6), course.begun) == (3, 1, 3)


def test_workers_share_the_time_and_not_the_compute(three: Table) -> None:
    course = replay(three, WITHOUT_PRUNING, workers=3, seed=1)
    assert [round(ended.time, 6) for ended in course.ended] == [1, 1, 1]
    assert round(course.compute, 6) == 3


def test_with_promotion_a_mute_setting_costs_a_tenth(three: Table) -> None:
    course = replay(three, OURS, workers=1, seed=1)
    assert round(course.mute, 6) == 0.1
    assert {ended.setting for ended in course.ended} >= {1}


@pytest.mark.parametrize(("limit", "ended"), [(0.5, 0), (1.05, 1), (2.5, 2), (3.05, 3)])
def test_the_time_limit_ends_what_is_at_work(three: Table, limit: float, ended: int) -> None:
    course = replay(three, WITHOUT_PRUNING, workers=1, seed=1, limit=limit)
    assert len(course.ended) == ended
    assert course.compute == pytest.approx(min(3, int(limit * REPORTS) / REPORTS), abs=0.11)


def test_a_slow_setting_takes_longer_and_costs_the_same() -> None:
    (ended,) = replay(table(setting(0, [0.9] * REPORTS, 9.0, time=2.5)), WITHOUT_PRUNING, workers=1, seed=1).ended
    assert (round(ended.compute, 6), round(ended.time, 6)) == (1, 2.5)


def test_a_row_counts_what_never_happened_as_infinite_and_its_mute_share_in_whole(three: Table) -> None:
    mute = table(*[setting(number, [0.02] * REPORTS, 12.0) for number in range(2)])
    row: dict[str, Any] = row_of(mute, OURS, [replay(mute, OURS, workers=1, seed=seed) for seed in range(3)])
    assert (row["never, %"], row["first that passes"]) == (100, "never (never to never)")
    assert row["on mute, %"] == 100
    rows = [row_of(three, m, [replay(three, m, 1, 1)]) for m in (Method("TPE"), OURS)]
    assert gain(rows)["within 1 %"] == pytest.approx(
        float(rows[1]["within 1 %"].split()[0]) / float(rows[0]["within 1 %"].split()[0])
    )


@pytest.mark.parametrize("method", PROPOSALS, ids=lambda method: method.name)
def test_every_sampler_searches_a_whole_table(method: Method, three: Table) -> None:
    assert replay(three, method, workers=1, seed=1).begun == 3


def test_a_tied_rate_is_that_per_clip(three: Table) -> None:
    found = tied(three)
    assert [each.params["optimizer.lr"] for each in found.settings] == pytest.approx([1.25e-4, 2.5e-4, 3.75e-4])
    assert found.study.search["optimizer.lr"].low == pytest.approx(1.25e-4)  # type: ignore[union-attr]
    assert found.values == three.values


def test_the_time_of_a_training_is_a_share_of_those_of_its_machine() -> None:
    recorded = Path(__file__).parents[2] / "benchmarks" / "results" / "curves"
    for file in sorted(recorded.glob("quickstart-*.jsonl")):
        times = [each.time for each in table_of(file).settings]
        assert len(times) >= 64
        assert 0.9 < sorted(times)[len(times) // 2] < 1.1
        assert max(times) < 3
