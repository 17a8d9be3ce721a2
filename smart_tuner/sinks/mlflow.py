"""A study's projection into MLflow: one way, rebuildable, never read back as truth.

What a trial is called and which figures it has is in `mlflow_projection`; how its run is found in
`mlflow_runs`; how all this happens beside running trials in `mlflow_sink`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import UserError
from smart_tuner.sinks import mlflow_projection as projection
from smart_tuner.sinks.mlflow_champion import register
from smart_tuner.sinks.mlflow_runs import StudyRuns
from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.workspace import Workspace
from trainer.protocol import Event, RunDir, all_events, read_events

if TYPE_CHECKING:
    from mlflow.entities import Run

# The mirror's own bookmarks, which keep a second sync from sending everything again.
_EVENTS_SENT = "smart_tuner.events_sent"  # bytes of events.jsonl
_ARTIFACTS_SENT = "smart_tuner.artifacts_sent"  # "config", then "all"
_PARENT = "mlflow.parentRunId"

_METRICS_PER_CALL = 1000  # limits of MLflow's log-batch
_TAGS_PER_CALL = 100

_T = TypeVar("_T")


class MlflowMirror:
    """Brings MLflow to where the study is; each call starts from what is there, and may be repeated.

    best: the best feasible trial of the study, or None; it decides which run bears `best` = "true".
    registers: whether `sync_study` also brings that trial's voice to the Model Registry.

    Ownership: writes only runs that bear its key tags, and of those only its own tags; of the registry, only the
    model that was made for a study of this name (`mlflow_champion`). The experiment is
    named as the study; when two studies share that name (two people and one server, a study begun anew),
    their user attribute `id` keeps their runs apart.
    Thread safety: none; one thread at a time, any thread. Several processes may mirror one study: a run
    made twice is repaired, and whoever syncs last sets the best tag right.

    Nothing is imported, opened or sent before the first call. Each method raises what the stores raise
    (mlflow.exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError) and UserError where a run
    holds other parameters than its trial. A call that failed half-way is made good by the next one.
    """

    def __init__(
        self,
        tracking_uri: str,
        study: Study,
        workspace: Path,
        best: Callable[[Study], FrozenTrial | None],
        *,
        registers: bool = True,
    ) -> None:
        self.tracking_uri = tracking_uri
        self._study = study
        self._workspace = workspace
        self._best = best
        self._registers = registers
        identity = study.user_attrs.get(StudyAttr.ID)
        key = f"{study.study_name}@{identity}" if identity else study.study_name
        artifacts = (workspace / "mlartifacts").resolve().as_uri()
        self._runs = StudyRuns(tracking_uri, study.study_name, key, artifacts)

    def sync_trial(self, number: int) -> None:
        """Send what is new of one trial; when it has finished, also which trial is best now."""
        trials = self._study.get_trials(deepcopy=False)
        parent = self._sync_parent(trials, running=True)
        self._project(trials[number], self._runs.get(number), parent)
        if trials[number].state.is_finished():
            self._mark_best(parent)

    def sync_study(self) -> None:
        """Send everything that MLflow lacks: the parent, every trial, the best tag."""
        trials = self._study.get_trials(deepcopy=False)
        parent = self._sync_parent(trials, running=True)
        known = self._runs.all_trials()
        for trial in trials:
            self._project(trial, known.get(trial.number), parent)
        self._mark_best(parent)
        if self._sync_parent(trials, running=False) != parent:
            self.sync_study()  # another worker made a parent too, and its own is the one that stays
        elif self._registers:
            self._register_best()

    def run_id(self, number: int) -> str | None:
        """The id of the trial's run, if it has one."""
        run = self._runs.get(number) if self._runs.is_begun() else None
        return str(run.info.run_id) if run else None

    def _sync_parent(self, trials: Sequence[FrozenTrial], running: bool) -> str:
        """Create or update the parent run; return its id. It ends only when the whole study is in place."""
        name = self._study.study_name
        tags = projection.study_tags(name, self._study.direction.name.lower(), trials)
        begun = min((at for trial in trials if (at := projection.begun(trial, [])) is not None), default=None)
        run = self._runs.get(None) or self._runs.create(None, name, begun, tags)
        self._set_tags(run, tags)
        status = projection.study_status(trials)
        ended = [projection.milliseconds(trial.datetime_complete) for trial in trials if trial.datetime_complete]
        if not running or status == "RUNNING":
            self._set_status(run, status, max(ended, default=None))
        return str(run.info.run_id)

    def _project(self, trial: FrozenTrial, run: "Run | None", parent: str) -> None:
        record = self._record(trial)
        events, offset = _new_events(record, run)
        if run is None:
            if trial.state is TrialState.WAITING and not events:
                return  # enqueued, never begun
            begun = projection.begun(trial, events)
            run = self._runs.create(trial.number, Workspace.trial_name(trial.number), begun, {_PARENT: parent})
        self._log_params(run, projection.params(trial))
        self._log_points(run, projection.points(events))
        if run.data.metrics.get("value") is None:
            self._log_points(run, projection.outcome(trial))
        self._set_tags(run, projection.tags(trial) | {_PARENT: parent, _EVENTS_SENT: str(offset)})
        if record is not None:
            self._log_artifacts(run, record, trial.state.is_finished())
        ended = projection.milliseconds(trial.datetime_complete) if trial.datetime_complete else None
        self._set_status(run, projection.STATUS[trial.state], ended)

    def _record(self, trial: FrozenTrial) -> RunDir | None:
        """The trial's directory, where it has one on this machine."""
        where = trial.user_attrs.get(Attr.RUN_DIR)
        record = RunDir(self._workspace / where) if where else None
        return record if record is not None and record.path.is_dir() else None

    def _log_params(self, run: "Run", params: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        sent = run.data.params
        for name, value in params.items():
            if sent.get(name, value) != value:
                raise UserError(
                    f"MLflow run {run.info.run_id} of experiment {self._study.study_name!r}: `{name}` is "
                    f"{sent[name]} there and {value} in the study, so the run belongs to an earlier study of "
                    "that name; delete the run or the experiment for good (`mlflow gc`), or rename the study."
                )
        new = (Param(name, value) for name, value in params.items() if name not in sent)
        for chunk in _chunks(new, _TAGS_PER_CALL):
            self._runs.client.log_batch(run.info.run_id, params=chunk)

    def _log_points(self, run: "Run", points: Sequence[projection.Point]) -> None:
        from mlflow.entities import Metric

        metrics = (Metric(point.name, point.value, point.time, point.step) for point in points)
        for chunk in _chunks(metrics, _METRICS_PER_CALL):
            self._runs.client.log_batch(run.info.run_id, metrics=chunk)

    def _set_tags(self, run: "Run", wanted: Mapping[str, str]) -> None:
        """Write the tags that differ, and remove those of ours that no longer hold."""
        from mlflow.entities import RunTag

        there = run.data.tags
        changed = (RunTag(tag, value) for tag, value in wanted.items() if there.get(tag) != value)
        for chunk in _chunks(changed, _TAGS_PER_CALL):
            self._runs.client.log_batch(run.info.run_id, tags=chunk)
        for tag in there:
            if projection.is_ours(tag) and tag not in wanted:
                self._runs.client.delete_tag(run.info.run_id, tag)

    def _set_status(self, run: "Run", status: str, ended: int | None) -> None:
        if status in ("RUNNING", "SCHEDULED"):
            if run.info.status != status:
                self._runs.client.update_run(run.info.run_id, status=status)
        elif (run.info.status, run.info.end_time) != (status, ended):
            self._runs.client.set_terminated(run.info.run_id, status, ended)

    def _log_artifacts(self, run: "Run", record: RunDir, finished: bool) -> None:
        """The configuration at the first look, the rest once the trial has finished."""
        client, run_id, sent = self._runs.client, run.info.run_id, run.data.tags.get(_ARTIFACTS_SENT)
        if sent is None and record.config.is_file():
            client.log_artifact(run_id, str(record.config))
            client.set_tag(run_id, _ARTIFACTS_SENT, "config")
        if finished and sent != "all":
            for path in projection.final_artifacts(record, all_events(record.events)):
                folder = path.relative_to(record.path).parent.as_posix()
                client.log_artifact(run_id, str(path), None if folder == "." else folder)
            client.set_tag(run_id, _ARTIFACTS_SENT, "all")

    def _mark_best(self, parent: str) -> None:
        """Exactly the best trial's run bears the tag; no run does while none is feasible."""
        trial = self._best(self._study)
        best = None
        if trial is not None:
            if self._runs.get(trial.number) is None:  # finished by a worker whose mirror is behind
                self._project(trial, None, parent)
            best = self.run_id(trial.number)
        marked = [run.info.run_id for run in self._runs.tagged(projection.BEST)]
        for run_id in marked:
            if run_id != best:
                self._runs.client.delete_tag(run_id, projection.BEST)
        if best is not None and best not in marked:
            self._runs.client.set_tag(best, projection.BEST, "true")

    def _register_best(self) -> None:
        """Where no trial is feasible, or its checkpoint is not on this machine, the registry stays as it is."""
        trial = self._best(self._study)
        if trial is None or (run := self._runs.get(trial.number)) is None:
            return
        record = self._record(trial)
        if record is not None and record.best_checkpoint.is_file():
            register(self._runs.client, self._study.study_name, trial, run, record)


def _new_events(record: RunDir | None, run: "Run | None") -> tuple[list[Event], int]:
    """The events after the run's bookmark, and the next bookmark. A file that was begun anew is read from its start."""
    sent = int(run.data.tags.get(_EVENTS_SENT, "0")) if run else 0
    if record is None or not record.events.is_file():
        return [], sent
    found: list[Event] = []
    while True:  # one look reads so much and no more
        events, reached = read_events(record.events, sent)
        found += events
        if reached == sent:
            return found, sent
        sent = reached


def _chunks(items: Iterator[_T], size: int) -> Iterator[list[_T]]:
    while chunk := list(islice(items, size)):
        yield chunk
