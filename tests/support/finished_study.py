"""A finished study, written into a store and a workspace without training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import optuna
from lab import REPORTS, study_spec
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from smart_tuner.outcome import Cause
from smart_tuner.store.attributes import Attr
from smart_tuner.store.optuna_internals import OPTUNA_CONSTRAINT_PREFIX
from smart_tuner.store.storage import open_storage
from smart_tuner.study import open_study
from smart_tuner.workspace import Workspace
from trainer.protocol import Event, EventKind, EventWriter, RunDir

UNALIGNED = "attention does not align: alignment 0.04 at 40%, 0.05 at 50% of the budget; at least 0.30 is expected"
TOO_HIGH = "loss too high among trials that align: 3.000 > 2.000 at 50% of the budget (bar: quantile 0.5)"
NASTY = "the trainer crashed: <script>alert('x')</script> | *bold*\nand its log"
SENTENCE = "the driver noticed a <b>rope</b>"
PNG = b"\x89PNG of a test"
WAV = b"RIFF of a test"
HUM = {  # figures of a voice that is aligned, but a hum
    "free_running_alignment": 0.87,
    "free_running_distance": 9.21,
    "free_running_mcd": 9.1,
    "free_running_hum_mcd": 11.32,
    "free_running_ceiling_mcd": 1.15,
    "free_running_failed": 0.125,
    "free_running_recognised": 0.25,
    "free_running_variance": 0.2,
}
_DISTRIBUTIONS = {
    "optimizer.lr": FloatDistribution(5e-4, 5e-3, log=True),
    "guided_attention.enabled": CategoricalDistribution([True, False]),
}


@dataclass
class FinishedStudy:
    """`complete`, `pruned`, `failed` add a trial, written as the tuner and its trainer write it."""

    path: Path
    changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.workspace = self.path / "рабочее место"
        self.url = f"sqlite:///{self.workspace}/studies.db"
        self.spec = study_spec(**{"objective": {"metric": "validation_loss"}, **self.changes})
        self.study: optuna.Study = open_study(open_storage(self.url), self.spec)

    def run_dir(self, number: int) -> RunDir:
        return Workspace(self.workspace).run_dir(self.spec.name, number)

    def complete(
        self,
        loss: float,
        alignment: float = 0.9,
        lr: float = 2e-3,
        here: bool = True,
        spoken: Mapping[str, float] = MappingProxyType({}),
    ) -> int:
        """spoken: figures of what is heard; those of an earlier version have none."""
        attrs = {Attr.FEASIBLE: alignment >= 0.5, Attr.METRICS: dict(spoken)}
        return self._add(TrialState.COMPLETE, self._curve(loss, alignment, REPORTS), attrs, lr, here, loss)

    def pruned(self, reason: str, alignment: float = 0.05, reports: int = 2, cause: Cause | None = None) -> int:
        """cause: None: as an earlier version stored it, by the reason alone."""
        attrs: dict[Attr, Any] = {Attr.FEASIBLE: False, Attr.REASON: reason}
        attrs |= {Attr.CAUSE: cause.value} if cause else {}
        return self._add(TrialState.PRUNED, self._curve(3.0, alignment, reports), attrs, 4e-3)

    def failed(self, reason: str) -> int:
        return self._add(TrialState.FAIL, [], {Attr.REASON: reason}, 1e-3, here=False)

    def _curve(self, loss: float, alignment: float, reports: int) -> list[tuple[float, float]]:
        return [(loss * REPORTS / index, alignment * index / reports) for index in range(1, reports + 1)]

    def _add(
        self,
        state: TrialState,
        curve: Sequence[tuple[float, float]],
        attrs: dict[Attr, Any],
        lr: float,
        here: bool = True,
        value: float | None = None,
    ) -> int:
        number = len(self.study.get_trials(deepcopy=False))
        scores = {str(index): score for index, (_, score) in enumerate(curve, 1)}
        attrs |= {Attr.ALIGNMENT: scores, Attr.RUN_DIR: f"runs/{self.spec.name}/trial-{number:04d}"}
        if curve:
            forced = {"validation_loss": curve[-1][0], "alignment": curve[-1][1]}
            attrs[Attr.METRICS] = attrs.get(Attr.METRICS, {}) | forced
        self.study.add_trial(self._frozen(state, curve, attrs, lr, value))
        if here:
            distance = attrs.get(Attr.METRICS, {}).get("free_running_distance")
            self._write_record(number, len(curve), lr, spoken=state is TrialState.COMPLETE, distance=distance)
        return number

    def _frozen(
        self,
        state: TrialState,
        curve: Sequence[tuple[float, float]],
        attrs: dict[Attr, Any],
        lr: float,
        value: float | None,
    ) -> FrozenTrial:
        figures = attrs.get(Attr.METRICS)
        constraints = self.spec.constraints.missing(figures) if figures else {}
        return create_trial(
            state=state,
            value=value,
            params={"optimizer.lr": lr, "guided_attention.enabled": True},
            distributions=_DISTRIBUTIONS,
            user_attrs={str(key): attr for key, attr in attrs.items()},
            system_attrs={OPTUNA_CONSTRAINT_PREFIX + name: missing for name, missing in constraints.items()},
            intermediate_values={index: loss for index, (loss, _) in enumerate(curve, 1)},
        )

    def _write_record(self, number: int, reports: int, lr: float, spoken: bool, distance: float | None) -> None:
        """Each report is a quarter of the budget and an hour of time. distance: at the second and the last report."""
        run = self.run_dir(number)
        run.create()
        writer = EventWriter(run.events)
        config = {"optimizer": {"lr": lr}}
        writer.write(Event(EventKind.STARTED, 0, 0, {"config": config, "device": "cpu", "torch": "2.13"}, 1e9))
        for index in range(1, reports + 1):
            data = {"loss": 1.0, "frames_per_second": 1.0, "memory_bytes": 1}
            writer.write(Event(EventKind.PROGRESS, 250 * index - 1, index, data, 1e9 + 3600 * index - 60))
            figures = {"index": index, "best": True, "loss": 1.0, "alignment": 0.5}
            if distance is not None and index in (2, reports):
                figures["free_running_distance"] = distance + reports - index
            writer.write(Event(EventKind.VALIDATION, 250 * index, index, figures, 1e9 + 3600 * index))
        self.show(number, writer, "alignments/a.png", "alignment", PNG, reports)
        if spoken:
            self.show(number, writer, "samples/s.wav", "sample", WAV)
        writer.close()

    def show(
        self,
        number: int,
        writer: EventWriter,
        path: str,
        what: str,
        content: bytes | None,
        reports: int = REPORTS,
        text: str = SENTENCE,
    ) -> None:
        """Announce an artifact after this number of reports, and write its file unless `content` is None."""
        if content is not None:
            (self.run_dir(number).path / path).write_bytes(content)
        data = {"path": path, "what": what, "text": text}
        writer.write(Event(EventKind.ARTIFACT, 250 * reports, reports, data, 1e9 + 3600 * reports))
