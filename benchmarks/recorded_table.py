"""Settings that `benchmarks.record_curves` recorded on one corpus, as tables that `benchmarks.replay` searches."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record_curves import recorded
from smart_tuner.pruning import Curve, Point
from smart_tuner.settling import passes
from smart_tuner.spec import CategoricalParameter, Parameter, StudySpec, load_study
from trainer.objectives import DEFAULT_OBJECTIVE, OBJECTIVES

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Recorded:
    """A recorded training. reports: the figures of each; voice: of the last one, of all sentences."""

    params: Mapping[str, Any]
    reports: Sequence[Figures]
    voice: Figures
    time: float  # of the whole training, as a share of the median of those recorded on the same machine

    @cached_property
    def passes(self) -> bool:
        return passes(self.voice, OBJECTIVES[DEFAULT_OBJECTIVE])


@dataclass(frozen=True)
class Table:
    """Settings that were recorded on one corpus. study: that of their space, widened to hold them all."""

    name: str
    study: StudySpec
    settings: Sequence[Recorded]

    @property
    def reports(self) -> int:
        return self.study.budget.reports

    @cached_property
    def values(self) -> Sequence[float]:
        """The objective of each setting, infinite where it is not feasible: that of its best feasible report."""
        return [
            min((f["free_running_distance"] for f in s.reports if self.is_feasible(f)), default=math.inf)
            for s in self.settings
        ]

    @cached_property
    def best(self) -> float:
        return min(self.values)

    def is_feasible(self, figures: Figures) -> bool:
        return all(value <= 0 for value in self.study.constraints.missing(figures).values())

    def aligns(self, setting: int) -> bool:
        """Whether any of its reports reaches the alignment that the study asks for."""
        floor = self.study.constraints.alignment.at_least
        return any(figures["alignment"] >= floor for figures in self.settings[setting].reports)


def table_of(file: Path, *, guided_only: bool = False) -> Table:
    """The random settings of a recorded file, trained for one budget. The study that they are of lies beside it.

    guided_only: leave out those without guided attention, of which none aligns.
    """
    rows = [row for row in recorded(file) if row["times"] == 1]
    study = load_study(str(file.with_name(f"{rows[0]['study']}.yaml")))
    enqueued = len(study.enqueue)
    kept = [row for row in rows if row["setting"] >= enqueued and len(row["reports"]) == study.budget.reports]
    if guided_only:
        kept = [row for row in kept if row["params"].get("guided_attention.enabled", True)]
    settings = [
        Recorded(row["params"], [_finite(report) for report in row["reports"]], _voice(row), time)
        for row, time in zip(kept, _times(kept), strict=True)
    ]
    search = {key: _widened(key, parameter, settings) for key, parameter in study.search.items()}
    name = f"{file.stem}, guided" if guided_only else file.stem
    return Table(name, study.model_copy(update={"search": search}), settings)


def _finite(report: Mapping[str, Any]) -> Figures:
    """A figure that was not finite is null in the file."""
    return {name: math.nan if value is None else float(value) for name, value in report.items()}


def _voice(row: Mapping[str, Any]) -> Figures:
    return _finite(row["reports"][-1] | row.get("voice", {}))


def _times(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """The simulated time of each training, in budgets: a table may hold trainings of a GPU and of a CPU."""
    seconds = [_seconds(row) for row in rows]
    made = [row.get("made", {}) for row in rows]
    machines = [(each.get("processor"), each.get("gpu")) for each in made]
    pace = {
        machine: float(np.median([s for s, other in zip(seconds, machines, strict=True) if other == machine]))
        for machine in set(machines)
    }
    return [s / pace[machine] for s, machine in zip(seconds, machines, strict=True)]


def _seconds(row: Mapping[str, Any]) -> float:
    """Files of an earlier version have the time of each report alone, with the pauses of the recording."""
    reports = row["reports"]
    if "seconds" in reports[-1]:
        return float(reports[-1]["seconds"])
    return float(np.median(np.diff([report["time"] for report in reports])) * len(reports))


def _widened(key: str, parameter: Parameter, settings: Sequence[Recorded]) -> Parameter:
    """The parameter with a range that holds what the settings have."""
    if isinstance(parameter, CategoricalParameter):
        return parameter
    values = [setting.params[key] for setting in settings if key in setting.params]
    low = min([parameter.low, *values])
    high = max([parameter.high, *values])
    return parameter.model_copy(update={"low": low, "high": high})


def tied(table: Table) -> Table:
    """Of the same trainings, in a space whose learning rate is that per clip of the batch."""
    rate, batch = "optimizer.lr", "batch.size"
    settings = [replace(s, params={**s.params, rate: s.params[rate] / s.params[batch]}) for s in table.settings]
    rates = [setting.params[rate] for setting in settings]
    parameter = table.study.search[rate].model_copy(update={"low": min(rates), "high": max(rates)})
    return replace(
        table,
        study=table.study.model_copy(update={"search": {**table.study.search, rate: parameter}}),
        settings=settings,
    )


def curves_of(table: Table) -> Sequence[Curve]:
    """Of all settings, in whole."""
    return [
        {i: Point(i, f["loss"], f["alignment"], f["free_running_distance"]) for i, f in enumerate(s.reports, 1)}
        for s in table.settings
    ]
