"""One trial, from suggestion to outcome. THE loop: every event passes through here, once.

When a trial is pruned: `smart_tuner.pruning`. How it ended: `smart_tuner.outcome`.
"""

import json
import logging
import platform
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

from smart_tuner.artifacts import artifacts_of
from smart_tuner.dashboard.gallery import Gallery, shown
from smart_tuner.earlier_versions import completed_config
from smart_tuner.executors import Executor, Exit, Launch
from smart_tuner.figures import objective as figure_of
from smart_tuner.masking import masked
from smart_tuner.outcome import Cause, Outcome, State, StopRequest, attempt_failed, judge, no_space
from smart_tuner.pruning import Curve, Pause, prune
from smart_tuner.run.paused_ends import PausedEnds
from smart_tuner.run.record import Record, final_attributes, spent_on
from smart_tuner.run.slot import Slot
from smart_tuner.sinks import Sink
from smart_tuner.space import suggest
from smart_tuner.spec import PrunerSpec, StudySpec
from smart_tuner.store.attributes import Attr
from smart_tuner.store.curves import StudyCurves, curve_of
from smart_tuner.store.optuna_internals import OPTUNA_CONSTRAINT_PREFIX, trial_id
from smart_tuner.store.queue import Queue
from smart_tuner.store.replicates import is_replicate
from smart_tuner.working_time import seconds_at_work, stored_spans
from smart_tuner.workspace import Workspace, anchored
from trainer.config import DeviceConfig, PathsConfig
from trainer.exit_codes import is_no_space
from trainer.files import write_atomically
from trainer.objectives import VALIDATION_LOSS, Objective
from trainer.protocol import Event, EventKind, EventReader, RunDir

log = logging.getLogger(__name__)

MEMORY_CONSTRAINT = "memory"  # satisfied when the trial fits into the device's memory
_TAKEN_OVER = StopRequest(State.LOST, Cause.TAKEN_OVER, "another worker has taken the trial over")
_LOST = Outcome(_TAKEN_OVER.then, _TAKEN_OVER.cause, _TAKEN_OVER.reason)


class TrialLoop:
    """Runs trials of one study: one per call of `run`, in any thread. Keeps nothing of a trial after the call."""

    def __init__(
        self,
        spec: StudySpec,
        queue: Queue,
        curves: StudyCurves,
        workspace: Workspace,
        executor: Executor,
        sinks: Sequence[Sink],
        gallery: Gallery,
        earlier: Sequence[Curve] = (),
    ) -> None:
        self._spec = spec
        self._objective = spec.objective.figure
        self._queue = queue
        self._workspace = workspace
        self._executor = executor
        self._sinks = sinks
        self._gallery = gallery
        self._curves = curves
        self._earlier = earlier  # curves of the studies that this one starts from
        self._paused = PausedEnds(spec, queue, workspace)

    def run(self, trial: Trial, slot: Slot) -> Outcome:
        """Suggest, launch, follow, prune, judge, store. The caller returns an unfinished trial to the queue."""
        run_dir = self._workspace.run_dir(self._spec.name, trial.number)
        stored = self._queue.stored(trial)  # read once: while the trial is ours, nobody else writes to it
        if not stored.params and Attr.RUN_DIR not in stored.user_attrs:  # it has never begun
            _set_aside(run_dir.path)
        # A continued trial keeps its parameters, whatever has been added to the search since it began.
        params = trial.params if run_dir.config.exists() else suggest(trial, self._spec.search)
        failures = stored.user_attrs.get(Attr.FAILURES, [])
        record = Record(
            objective=self._objective,
            judged=self._judged(stored),
            values=set(stored.intermediate_values),
            alignment=stored.user_attrs.get(Attr.ALIGNMENT, {}),
            losses=stored.user_attrs.get(Attr.LOSS, {}),
            worked=stored_spans(stored),
            frames=stored.user_attrs.get(Attr.FRAMES, 0),
            is_compared=not is_replicate(stored),
        )
        reader = EventReader(run_dir.events)
        history = list(reader.read())
        for event in history:
            record.take(event)
        for sink in self._sinks:
            sink.trial_started(
                trial.number,
                params,
                history=history,
                resumed=run_dir.has_checkpoint(),
                promoted=_is_promoted(stored),
                replicate_of=stored.user_attrs.get(Attr.REPLICATE_OF),
            )
        left = None
        try:
            self._write_config(trial, params, run_dir, slot)
            if not self._report_history(trial, record, history):
                outcome = _LOST
            elif (pruned := self._prune_by_history(trial, record)) is not None:
                outcome = pruned
            else:
                launch = Launch(run_dir, slot.device, slot.threads, reader.offset, slot.is_leaving)
                ended = self._follow(trial, record, launch, slot)
                outcome = _judge(record, ended, slot.stop_request, len(failures))
                left = ended.left
        except OSError as error:
            outcome = _not_run(error, len(failures))
        outcome = self._settle(trial, record, run_dir, outcome, failures)
        if left is not None and not outcome.state.is_final:
            self._queue.leave_to(trial, left)
        for sink in self._sinks:
            sink.trial_ended(trial.number, outcome)
        if outcome.state is State.PAUSED:
            self._keep_within_limit()
        return outcome

    def end_paused(self) -> None:
        """End the paused trials of a study in which nothing is left that is worth training on."""
        for number, outcome in self._paused.end():
            self._announce_end(number, outcome)

    def _keep_within_limit(self) -> None:
        for number, outcome in self._paused.keep_within_limit():
            self._announce_end(number, outcome)

    def _announce_end(self, number: int, outcome: Outcome) -> None:
        for sink in self._sinks:
            sink.paused_ended(number, outcome)

    def _judged(self, stored: FrozenTrial) -> frozenset[int]:
        """Reports that were judged by earlier starts.

        Of a study whose trials pause, a worker may have died between the last report and the pause: it is judged again,
        unless the trial was promoted from there.
        """
        reported = frozenset(curve_of(stored, self._objective))
        if self._spec.pruner.kind != "promotion" or not reported:
            return reported
        return reported - {max(reported)} | frozenset(stored.user_attrs.get(Attr.PROMOTED, ()))

    def _report_history(self, trial: Trial, record: Record, history: Sequence[Event]) -> bool:
        """Write to the store the reports that a killed worker could not write. Returns False as `_report` does."""
        return all(self._report(trial, record, event) for event in history if event.kind is EventKind.VALIDATION)

    def _prune_by_history(self, trial: Trial, record: Record) -> Outcome | None:
        """The outcome on a trial whose last report came to no worker that judged it, and which is to stop there."""
        if not record.points or max(record.points) in record.judged:
            return None
        request = self._stop_request(trial, record)
        return None if request is None else Outcome(request.then, request.cause, request.reason)

    def _follow(self, trial: Trial, record: Record, launch: Launch, slot: Slot) -> Exit:
        """Launch the trainer and handle its events until it has ended."""
        with self._executor.launch(launch) as run, slot.attached(run, waits=self._executor.runs_may_wait):
            for event in run.events():
                with slot.handling_event():
                    self._handle(trial, record, event, slot)
            return run.exit

    def _write_config(self, trial: Trial, params: dict[str, Any], run_dir: RunDir, slot: Slot) -> None:
        """Write it once. A continued trial keeps it, except for the paths of a workspace that was moved.

        One of an earlier version gets the keys that it lacks, as they were then.
        """
        name = self._spec.name
        paths = self._workspace.paths(name, trial.number)
        if run_dir.config.exists():
            _update_config(run_dir.config, paths)
        else:
            config = self._spec.trainer_config(
                params,
                seed=trial_seed(name, trial.number),
                paths=paths,
                device=DeviceConfig(name=slot.device.partition(":")[0], threads=slot.threads),
            )
            with write_atomically(run_dir.config) as beside:
                beside.write_text(anchored(config).to_json(), encoding="utf-8")
        trial.set_user_attr(Attr.RUN_DIR, self._workspace.relative_run_dir(name, trial.number).as_posix())

    def _handle(self, trial: Trial, record: Record, event: Event, slot: Slot) -> None:
        record.take(event)
        record.new_events += 1
        if event.kind is EventKind.VALIDATION:
            if not self._report(trial, record, event):
                slot.stop(_TAKEN_OVER)
                slot.kill()
                return
            is_settled = slot.stop_request or event.data["index"] in record.judged
            request = None if is_settled else self._stop_request(trial, record)
            if request is not None:
                slot.stop(request)
        elif event.kind is EventKind.STARTED and self._spec.limits.trial_hours is not None:
            slot.limit(3600 * self._spec.limits.trial_hours - seconds_at_work(record.all_spans))
        elif event.kind is EventKind.PROGRESS:
            slot.report_memory(event.data["memory_bytes"])
        for sink in self._sinks:
            sink.event(trial.number, event)

    def _report(self, trial: Trial, record: Record, event: Event) -> bool:
        """Write to the store what it lacks of a report. False where the trial is no longer ours."""
        point = record.point(event)
        value = None if point.index in record.values else point.value
        if value is None and str(point.index) in record.alignment:  # as with Optuna's values, the first report counts
            return True
        if value is not None:
            record.values.add(point.index)
        record.add_for_store(point)
        attributes: dict[str, Any] = {Attr.ALIGNMENT: record.alignment, Attr.FRAMES: record.frames}
        if record.losses:
            attributes[Attr.LOSS] = record.losses
        return self._queue.report(trial, point.index, value, attributes)

    def _stop_request(self, trial: Trial, record: Record) -> StopRequest | None:
        """Why the trial is to be pruned or to pause after its last report; None: it goes on.

        A replicate ends early only where it diverges: without its last figures its setting would have no mean.
        """
        judged = prune(
            record.points,
            lambda: self._curves.of_others(trial_id(trial)),
            self._spec.pruner if record.is_compared else PrunerSpec(kind="none"),
            self._spec.budget.reports,
            self._spec.constraints.alignment.at_least,
            self._objective,
            self._earlier,
        )
        if isinstance(judged, Pause):
            return StopRequest(State.PAUSED, Cause.PAUSED, judged.reason)
        return StopRequest(State.PRUNED, judged.cause, judged.reason) if judged else None

    def _settle(
        self, trial: Trial, record: Record, run_dir: RunDir, outcome: Outcome, failures: list[dict[str, Any]]
    ) -> Outcome:
        """Write figures, constraints and state in one step: no reader sees a finished trial without its figures.

        Returns the outcome that counts, e.g. LOST where another worker has the trial by now.
        """
        metrics = record.metrics()
        if outcome.state is State.COMPLETE and (missing := _missing_figure(metrics, self._objective)):
            outcome = Outcome(State.FAIL, Cause.NO_FIGURES, f"finished, but without one finite {missing}")
        if not self._queue.is_ours(trial):
            return _LOST
        noted: dict[str, Any] = {}
        if outcome.is_failure:
            assert outcome.cause is not None
            failed = {
                "cause": outcome.cause.value,
                "reason": masked(outcome.reason),
                "host": platform.node(),
                "time": time.time(),
            }
            noted[Attr.FAILURES] = [*failures, failed]
        if not outcome.state.is_final and outcome.state is not State.PAUSED:
            return outcome if self._queue.write(trial, spent_on(record) | noted) else _LOST
        value = metrics[self._objective.metric] if outcome.state is State.COMPLETE else None
        constraints = self._constraints(record, outcome)
        user = final_attributes(record, outcome, constraints) | noted
        system: dict[str, Any] = {OPTUNA_CONSTRAINT_PREFIX + name: value for name, value in constraints.items()}
        system |= self._gallery.keep(trial.number, shown(artifacts_of(run_dir, record.artifact_events)))
        if outcome.state is State.PAUSED:
            where = {"index": max(record.points), "reason": outcome.reason, "time": time.time()}
            return outcome if self._queue.pause(trial, user=user | {Attr.PAUSED: where}, system=system) else _LOST
        if not self._queue.finish(trial, TrialState[outcome.state], value, user=user, system=system):
            return _LOST
        return outcome

    def _constraints(self, record: Record, outcome: Outcome) -> dict[str, float]:
        """How far the trial is from feasible; up to 0, it is. Samplers learn from it, also for pruned trials."""
        if outcome.state is State.FAIL:
            return {}
        missing = self._spec.constraints.missing(record.metrics())
        return missing | {MEMORY_CONSTRAINT: float(outcome.cause is Cause.MEMORY)}


def _is_promoted(stored: FrozenTrial) -> bool:
    """Whether a trial begins where it had paused and was promoted."""
    promoted = stored.user_attrs.get(Attr.PROMOTED, [])
    return bool(promoted) and promoted[-1] == max(map(int, stored.user_attrs.get(Attr.ALIGNMENT, ())), default=0)


def _judge(record: Record, ended: Exit, request: StopRequest | None, failures: int) -> Outcome:
    outcome = judge(record.last, ended.exit_code, request, ended.log_tail, failures)
    if outcome.state.is_final or outcome.state is State.LOST:
        return outcome
    if ended.left is not None:  # nor may it pause: another worker could go on with it at once
        return Outcome(State.INTERRUPTED, Cause.INTERRUPTED, f"its trainer, process {ended.left}, cannot be killed")
    if ended.lost is None:
        return outcome
    if record.new_events:
        return Outcome(State.INTERRUPTED, Cause.NODE_LOST, ended.lost)
    # Counted, or a node that loses every trainer before its first event would be tried without end.
    return attempt_failed(Cause.NODE_LOST, ended.lost, failures)


def _not_run(error: OSError, failures: int) -> Outcome:
    """The outcome on a trial that could not be launched or followed."""
    if is_no_space(error):
        return no_space(str(error))
    return attempt_failed(Cause.NOT_STARTED, f"the trainer could not be started: {error}", failures)


def _missing_figure(metrics: Mapping[str, float], objective: Objective) -> str | None:
    """The figure without which a complete trial has no value. A model that diverged may still be heard, as a hum."""
    return next((figure_of(name).words for name in (VALIDATION_LOSS, objective.metric) if name not in metrics), None)


def trial_seed(study: str, number: int) -> int:
    """The same number for the same trial of the same study, on every machine and at every start."""
    return zlib.crc32(f"{study}/{number}".encode()) & 0x7FFFFFFF


def _update_config(file: Path, paths: PathsConfig) -> None:
    """Write the present paths of the workspace into a trial's configuration, since the folder may have been moved."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # the trainer reports what is wrong with it
        return
    if not isinstance(config, dict):
        return
    updated = completed_config(config) | {"paths": asdict(paths)}
    if updated != config:
        with write_atomically(file) as beside:
            beside.write_text(json.dumps(updated, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _set_aside(folder: Path) -> None:
    """Rename a folder that a trial of the same number left behind, of a study by this name in another store."""
    if not (folder / "config.json").exists():
        return
    number = next(n for n in count(1) if not folder.with_name(f"{folder.name}.earlier-{n}").exists())
    aside = folder.with_name(f"{folder.name}.earlier-{number}")
    log.warning("%s belongs to a trial of another store; it is now %s", folder, aside.name)
    folder.rename(aside)
