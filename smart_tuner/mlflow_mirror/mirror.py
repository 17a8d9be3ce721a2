"""A study's projection into MLflow: one way, rebuildable, never read back as truth.

`projection` has the names and figures of a trial, `run_lookup` finds its run, `run_writer` and `artifacts` write to it,
and `process` does all of this beside running trials.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import RunConflict
from smart_tuner.mlflow_mirror import projection
from smart_tuner.mlflow_mirror.artifacts import CHECKPOINT_SENT, Artifacts
from smart_tuner.mlflow_mirror.model_registry import register
from smart_tuner.mlflow_mirror.relocation import ARTIFACTS
from smart_tuner.mlflow_mirror.run_lookup import StudyRuns
from smart_tuner.mlflow_mirror.run_writer import RunWriter
from smart_tuner.mlflow_mirror.settings import MirrorSettings
from smart_tuner.results import objective_of
from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.workspace import Workspace
from trainer.protocol import Event, EventReader, RunDir

_EVENTS_SENT = "smart_tuner.events_sent"  # tag: the offset in events.jsonl, in bytes, up to which it was sent
_PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class Synced:
    """How many runs of a study's trials a sync created, repaired and left unchanged, and what else it corrected."""

    created: int
    repaired: int  # something was missing or wrong
    unchanged: int
    relocated: bool = False  # whether paths of artifacts were corrected, because the workspace was moved


class MlflowMirror:
    """Brings MLflow up to date with the study. Each call starts from what MLflow has, and may be repeated.

    ranked: returns the feasible trials of the study, the best one first. The run of the best one has the tag `best` =
    "true", the parent run has its parameters as tags `best.*`, and the first `settings.checkpoints` of them have their
    checkpoints among the artifacts. `sync_study` also registers the voice of the best one, if `settings.registers`.

    Ownership: writes only to runs with its key tags, and of those only its own tags; in the registry, only to the
    model that was created for a study of this name (`model_registry`). The experiment has the name of the study. If two
    studies share a name (two people with one server, or a study that was started again), their user attribute `id`
    keeps their runs apart.
    Thread safety: none; one thread at a time, any thread. Several processes may mirror one study: a run that was
    created twice is repaired, and the last sync corrects the tag `best`.

    Nothing is imported, opened or sent before the first call. Each method raises what the stores raise
    (mlflow.exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError) and RunConflict if a run
    has other parameters than its trial. The next call completes one that failed.
    """

    def __init__(
        self,
        settings: MirrorSettings,
        study: Study,
        ranked: Callable[[Study], Sequence[FrozenTrial]],
    ) -> None:
        self._settings = settings
        self._study = study
        self._ranked = ranked
        self._objective = objective_of(study)
        identity = study.user_attrs.get(StudyAttr.ID)
        key = f"{study.study_name}@{identity}" if identity else study.study_name
        artifacts = (settings.workspace / ARTIFACTS).resolve().as_uri()
        self._runs = StudyRuns(settings.tracking_uri, study.study_name, key, artifacts)
        self._parent: RunWriter | None = None  # None: to be looked up
        self._live: dict[int, RunWriter] = {}  # the runs of trials at work
        self._marked: list[int] | None = None  # the trials that `_mark_best` marked, best first

    @property
    def tracking_uri(self) -> str:
        return self._settings.tracking_uri

    def sync_trials(self, numbers: Sequence[int]) -> Iterator[int]:
        """Send what is new in these trials, and once one has finished, which is the best now.

        Yields each number when it is done. So if this raises, the caller knows which are left."""
        trials = self._study.get_trials(deepcopy=False)
        parent = self._sync_parent(trials, ends=False)
        for number in numbers:
            run = self._live.pop(number, None) or self._find(number)
            run = self._project(trials[number], run, parent)
            if run is not None and trials[number].state is TrialState.RUNNING:
                self._live[number] = run
            if trials[number].state.is_finished():
                self._mark_best(parent)
            yield number

    def sync_study(
        self, *, repair: bool = False, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Synced:
        """Send everything that MLflow lacks: the parent, every trial, the best tag.

        repair: ignore the stored offsets, compare every run with its trial point by point, and correct it. A run whose
        mistake MLflow cannot change (parameters, start, points that nobody measured) is deleted and created again.
        progress: called with the number of trials that are done, and of all.
        """
        relocated = self._runs.relocate_artifacts()
        trials = self._study.get_trials(deepcopy=False)
        self._parent = None
        self._live = {}
        self._marked = None
        parent = self._sync_parent(trials, ends=False)
        known = {number: RunWriter(self._runs.client, run) for number, run in self._runs.all_trials().items()}
        seen = set[str]()
        created = set[str]()
        repaired = self._runs.take_doubled()
        refusal: RunConflict | None = None
        for done, trial in enumerate(trials):
            progress(done, len(trials))
            try:
                run = self._project(trial, known.get(trial.number), parent, repair=repair)
            except RunConflict as error:
                refusal = refusal or error  # raised after the others are sent
                continue
            if run is not None:
                seen.add(run.id)
                if run.requests:
                    (repaired if trial.number in known else created).add(run.id)
        repaired |= self._mark_best(parent, repair=repair)
        progress(len(trials), len(trials))
        if refusal is not None:
            raise refusal
        if (
            self._sync_parent(trials, ends=True) != parent
        ):  # another worker created a parent as well, and that one stays
            return replace(self.sync_study(repair=repair, progress=progress), relocated=relocated)
        if self._settings.registers:
            self._register_best()
        repaired = (repaired & seen) - created
        return Synced(len(created), len(repaired), len(seen) - len(created) - len(repaired), relocated)

    def run_id(self, number: int) -> str | None:
        """The id of the trial's run, if it has one."""
        run = self._runs.get(number) if self._runs.has_experiment() else None
        return str(run.info.run_id) if run else None

    def _find(self, number: int) -> RunWriter | None:
        run = self._runs.get(number)
        return None if run is None else RunWriter(self._runs.client, run)

    def _sync_parent(self, trials: Sequence[FrozenTrial], *, ends: bool) -> str:
        """Create or update the parent run, and return its id. ends: all trials are sent, so the run may end."""
        name = self._study.study_name
        best = next(iter(self._ranked(self._study)), None)
        tags = projection.study_tags(name, self._study.direction.name.lower(), trials, best)
        parent = None if ends else self._parent
        self._parent = None
        if parent is None:
            starts = (trial.datetime_start or trial.datetime_complete for trial in trials)
            start = min((projection.milliseconds(at) for at in starts if at is not None), default=None)
            run = self._runs.get(None) or self._runs.create(None, name, start, tags)
            parent = RunWriter(self._runs.client, run)
        parent.log((), {}, tags)
        parent.drop_tags(lambda tag: tag not in tags and projection.is_of_best(tag))
        status = projection.study_status(trials)
        if ends or status == "RUNNING":
            parent.set_status(status, max((at for trial in trials if (at := projection.end_time(trial))), default=None))
        self._parent = parent
        return parent.id

    def _project(
        self, trial: FrozenTrial, run: RunWriter | None, parent: str, *, repair: bool = False
    ) -> RunWriter | None:
        """Send what the run lacks. None for a trial without a run that has no event here and has not finished."""
        record, fresh = self._record(trial), repair or run is None
        held = run.points() if run is not None and repair else set()  # read before the events, which may grow meanwhile
        sent = 0 if run is None or repair else int(run.tags.get(_EVENTS_SENT, "0"))
        events, reached = _new_events(record, sent)
        points = projection.points(events)
        points += [
            point
            for point in projection.outcome(trial)  # another one where it was pruned, and has gone on since
            if run is None or repair or (point.name, point.value) not in run.metrics.items()
        ]
        first = events[0] if events and fresh else None
        if run is not None and repair and _is_beyond_repair(run, trial, first, held.difference(points)):
            self._runs.discard(trial.number, run.id)
            run, held = None, set()
        if run is None:
            if not (trial.state.is_finished() or events):
                return None
            start = projection.start_time(trial, first)
            name = Workspace.trial_name(trial.number)
            run = RunWriter(self._runs.client, self._runs.create(trial.number, name, start, {_PARENT: parent}))
        self._refuse_other_params(run, trial)
        tags = {_PARENT: parent} | ({_EVENTS_SENT: str(reached)} if record is not None else {})
        self._write(run, trial, tags, events, [point for point in points if point not in held])
        if record is not None:
            send = self._artifacts.repair if repair else self._artifacts.send
            send(run, record, trial.state.is_finished())
        run.set_status(projection.STATUS[trial.state], projection.end_time(trial))
        return run

    def _write(
        self,
        run: RunWriter,
        trial: FrozenTrial,
        tags: Mapping[str, str],
        events: Sequence[Event],
        points: Sequence[projection.Point],
    ) -> None:
        """Write points, parameters and tags; remove tags of ours that no longer apply."""
        environment = projection.environment(events)
        tags = {**tags, **projection.tags(trial, self._objective), **environment}
        run.log(points, projection.params(trial), tags)
        run.drop_tags(
            lambda tag: (
                tag not in tags
                and (projection.is_of_trial(tag) or (bool(environment) and projection.is_of_environment(tag)))
            )
        )

    def _record(self, trial: FrozenTrial) -> RunDir | None:
        """The trial's directory, if it has one on this machine."""
        where = trial.user_attrs.get(Attr.RUN_DIR)
        record = RunDir(self._settings.workspace / where) if where else None
        return record if record is not None and record.path.is_dir() else None

    def _refuse_other_params(self, run: RunWriter, trial: FrozenTrial) -> None:
        for name, value in projection.params(trial).items():
            if run.params.get(name, value) != value:
                raise RunConflict(
                    f"MLflow run {run.id} of experiment {self._study.study_name!r}: `{name}` is "
                    f"{run.params[name]} there and {value} in the study, so the run belongs to an earlier study of "
                    "that name, or somebody wrote to it; `smart-tuner sync --repair` deletes it and creates it again."
                )

    def _register_best(self) -> None:
        """Register the best trial; nothing if none is feasible, or if its checkpoint is not on this machine."""
        trial = next(iter(self._ranked(self._study)), None)
        if trial is None or (run := self._runs.get(trial.number)) is None:
            return
        record = self._record(trial)
        if record is not None and record.best_checkpoint.is_file():
            register(self._runs.client, self._study.study_name, trial, run, record)

    def _mark_best(self, parent: str, *, repair: bool = False) -> set[str]:
        """Give the tag to the run of the best trial alone, and checkpoints to the first ones; return the changed runs.

        While no trial is feasible, no run has either. If the ranking is unchanged, no request is sent."""
        ranked = self._ranked(self._study)
        chosen = ranked[: max(1, self._settings.checkpoints)]
        if self._marked == [trial.number for trial in chosen]:
            return set()
        self._marked = None
        # One of them may have been finished by a worker whose mirror is behind.
        found = (self._find(trial.number) or self._project(trial, None, parent) for trial in chosen)
        first = [run for run in found if run is not None]
        changed = self._remove_marks(
            {run.id for run in first[:1]}, {run.id for run in first[: self._settings.checkpoints]}
        )
        if first:
            first[0].set_tag(projection.BEST, "true")
        for trial, run in list(zip(chosen, first, strict=True))[: self._settings.checkpoints]:
            if (record := self._record(trial)) is not None:
                self._artifacts.send_checkpoint(run, record, repair=repair)
        self._marked = [trial.number for trial in chosen]
        return changed | {run.id for run in first if run.requests}

    def _remove_marks(self, best: set[str], with_checkpoint: set[str]) -> set[str]:
        """Remove tag and checkpoint from all other runs; return the ids of those that had one."""
        tagged = [RunWriter(self._runs.client, run) for run in self._runs.tagged(projection.BEST)]
        tagged = [run for run in tagged if run.id not in best]
        for run in tagged:
            run.drop_tags(lambda tag: tag == projection.BEST)
        holding = [RunWriter(self._runs.client, run) for run in self._runs.tagged(CHECKPOINT_SENT)]
        holding = [run for run in holding if run.id not in with_checkpoint]
        for run in holding:
            self._artifacts.remove_checkpoint(run)
        return {run.id for run in [*tagged, *holding]}

    @cached_property
    def _artifacts(self) -> Artifacts:
        return Artifacts(self.tracking_uri)


def _is_beyond_repair(
    run: RunWriter, trial: FrozenTrial, first: Event | None, unknown: Iterable[projection.Point]
) -> bool:
    """Whether the run has a mistake that MLflow cannot change: in parameters, its start, or points never measured.

    first: the trial's first event; None if its record is not on this machine, and the run may know more."""
    params = projection.params(trial)
    if any(params.get(name) != value for name, value in run.params.items()):
        return True
    if first is None:
        return False
    never_measured = trial.state.is_finished() and any(projection.is_curve(point.name) for point in unknown)
    return never_measured or run.start != projection.start_time(trial, first)


def _new_events(record: RunDir | None, offset: int) -> tuple[list[Event], int]:
    """The events from `offset` on, and the next offset. A file that was written again is read from its start."""
    if record is None:
        return [], offset
    reader = EventReader(record.events, offset)
    return list(reader.read()), reader.offset
