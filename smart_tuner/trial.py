"""One trial, from suggestion to verdict. THE loop: every event passes through here, once."""

import math
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.trial import Trial, TrialState

from smart_tuner.attributes import Attr
from smart_tuner.executors import Executor, Launch, Run
from smart_tuner.masking import masked
from smart_tuner.preparation import anchored
from smart_tuner.pruning import Point, prune_reason
from smart_tuner.sinks import Sink
from smart_tuner.space import suggest
from smart_tuner.spec import StudySpec
from smart_tuner.study import curve
from smart_tuner.verdict import State, StopAsked, Verdict, judge
from smart_tuner.workspace import Workspace
from trainer.config import DeviceConfig
from trainer.protocol import Event, EventKind, RunDir, write_atomically

ALIGNMENT_CONSTRAINT = "alignment"
_NO_FIGURES = ("index", "best")  # keys of a validation event that are no measurements


@dataclass
class Record:
    """What one trial has said so far. Owned by the thread that runs the trial."""

    judged: frozenset[int]  # reports of an earlier start, which were judged when they came
    begun: float = field(default_factory=time.time)  # this start; seconds since the epoch
    points: dict[int, Point] = field(default_factory=dict)
    best: dict[str, Any] | None = None  # figures of its best validation
    free_running: dict[str, float] = field(default_factory=dict)
    last: Event | None = None

    def metrics(self) -> dict[str, float]:
        """Flat figures: those of the best report under their names, free-running ones under `free_running_...`."""
        if self.best is None:
            return {}
        named = {"validation_loss" if key == "loss" else key: value for key, value in self.best.items()}
        free = {f"free_running_{key}": value for key, value in self.free_running.items()}
        return {key: value for key, value in (named | free).items() if math.isfinite(value)}


class TrialLoop:
    """Runs trials of one study, one per call and thread. Holds nothing of a trial beyond the call."""

    def __init__(
        self, spec: StudySpec, study: optuna.Study, workspace: Workspace, executor: Executor, sinks: Sequence[Sink]
    ) -> None:
        self._spec, self._study, self._workspace = spec, study, workspace
        self._executor, self._sinks = executor, sinks

    def run(self, trial: Trial, slot: "Slot") -> Verdict:
        """Suggest, launch, follow, prune, judge, tell. An interrupted trial is told nothing: its queue gets it back."""
        params = suggest(trial, self._spec.search)
        run_dir = self._write_config(trial, params, slot)
        for sink in self._sinks:
            sink.trial_started(trial.number, params, resumed=run_dir.last_checkpoint.exists())
        record = Record(judged=frozenset(curve(self._study._storage.get_trial(trial._trial_id))))
        with self._executor.launch(Launch(run_dir, slot.device, slot.threads)) as run, slot.attached(run):
            for event in run.events():
                self._follow(trial, record, event, slot)
            outcome = run.outcome
        verdict = judge(record.last, outcome.exit_code, slot.asked, outcome.log_tail)
        verdict = self._settle(trial, record, verdict)
        for sink in self._sinks:
            sink.trial_ended(trial.number, verdict)
        return verdict

    def _write_config(self, trial: Trial, params: dict[str, Any], slot: "Slot") -> RunDir:
        """Written once; a trial that is continued keeps the configuration it began with."""
        name = self._spec.name
        run_dir = self._workspace.run_dir(name, trial.number)
        if not run_dir.config.exists():
            config = self._spec.trainer_config(
                params,
                seed=trial_seed(name, trial.number),
                paths=self._workspace.paths(name, trial.number),
                device=DeviceConfig(name=slot.device.partition(":")[0], threads=slot.threads),
            )
            with write_atomically(run_dir.config) as beside:
                beside.write_text(anchored(config).to_json(), encoding="utf-8")
        trial.set_user_attr(Attr.RUN_DIR, self._workspace.relative_run_dir(name, trial.number).as_posix())
        return run_dir

    def _follow(self, trial: Trial, record: Record, event: Event, slot: "Slot") -> None:
        record.last = event
        if event.kind is EventKind.VALIDATION:
            self._report(trial, record, event)
            settled = slot.asked or event.data["index"] in record.judged
            reason = None if settled else self._prune_reason(trial, record)
            if reason is not None:
                slot.stop(StopAsked(prune=True, reason=reason))
        elif event.kind is EventKind.PROGRESS and event.time >= record.begun:
            slot.tell_memory(event.data["memory_bytes"])
        elif event.kind is EventKind.FREE_RUNNING:
            record.free_running = event.data
        for sink in self._sinks:
            sink.event(trial.number, event)

    def _report(self, trial: Trial, record: Record, event: Event) -> None:
        figures = {key: value for key, value in event.data.items() if key not in _NO_FIGURES}
        index = int(event.data["index"])
        point = Point(index, figures["loss"], figures["alignment"])
        if event.data["best"] or record.best is None:
            record.best = figures
        if record.points.get(index) == point:
            return
        record.points[index] = point
        known = trial.study._storage.get_trial(trial._trial_id)
        if index not in known.intermediate_values and math.isfinite(point.loss):
            trial.report(point.loss, index)
        alignment = known.user_attrs.get(Attr.ALIGNMENT, {})
        if str(index) not in alignment:  # as with Optuna's losses, the first report of an index counts
            trial.set_user_attr(Attr.ALIGNMENT, alignment | {str(index): point.alignment})

    def _prune_reason(self, trial: Trial, record: Record) -> str | None:
        others = self._study.get_trials(deepcopy=False)
        peers = [curve(t) for t in others if t.number != trial.number and t.intermediate_values]
        floor = self._spec.constraints.alignment.at_least
        return prune_reason(record.points, peers, self._spec.pruner, self._spec.budget.reports, floor)

    def _settle(self, trial: Trial, record: Record, verdict: Verdict) -> Verdict:
        """Write the figures and the constraint, then the state: a reader never sees one finished without them."""
        if verdict.state is State.COMPLETE and (record.best is None or not math.isfinite(record.best["loss"])):
            verdict = replace(verdict, state=State.FAIL, reason="finished, but without one finite validation loss")
        if verdict.state is State.INTERRUPTED:
            return verdict
        metrics = record.metrics()
        if metrics:
            trial.set_user_attr(Attr.METRICS, metrics)
        if verdict.reason:
            trial.set_user_attr(Attr.REASON, masked(verdict.reason))  # it may end with lines of the log
        if verdict.state is State.FAIL:
            self._study.tell(trial, state=TrialState.FAIL)
            return verdict
        # How far below the floor; Optuna's samplers learn from it, from pruned trials too.
        missing = self._spec.constraints.alignment.at_least - metrics.get("alignment", 0.0)
        trial.set_constraint(ALIGNMENT_CONSTRAINT, missing)
        trial.set_user_attr(Attr.FEASIBLE, missing <= 0)
        if verdict.state is State.PRUNED:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, metrics["validation_loss"])
        return verdict


class Slot:
    """One of the places where trials run at the same time: its device, its threads, and what was asked of its run.

    `stop` and `kill` may be called from any thread. tell_memory: takes the bytes that its run holds.
    """

    def __init__(
        self, index: int, threads: int, device: str, tell_memory: Callable[[float], None] = lambda held: None
    ) -> None:
        self.index, self.threads, self.device, self.tell_memory = index, threads, device, tell_memory
        self.asked: StopAsked | None = None
        self._run: Run | None = None

    def attached(self, run: Run) -> "Slot":
        self._run = run
        if self.asked is not None:  # asked between two trials
            run.stop()
        return self

    def __enter__(self) -> "Slot":
        return self

    def __exit__(self, *_: object) -> None:
        self._run = None

    def clear(self) -> None:
        """Before the next trial."""
        self.asked = None

    def stop(self, asked: StopAsked) -> None:
        """The first request counts: a pruned trial stays pruned when Ctrl-C comes after it."""
        self.asked = self.asked or asked
        if (run := self._run) is not None:
            run.stop()

    def kill(self) -> None:
        if (run := self._run) is not None:
            run.kill()


def trial_seed(study: str, number: int) -> int:
    """The same for the same trial of the same study, wherever and however often it runs."""
    return zlib.crc32(f"{study}/{number}".encode()) & 0x7FFFFFFF
