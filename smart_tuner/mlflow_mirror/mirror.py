"""A study's projection into MLflow: one way, rebuildable, never read back as truth.

What a trial is called and which figures it has is in `projection`; how its run is found in `run_lookup`, and written
to in `run_writer` and `artifacts`; how all this happens beside running trials in `process`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import RunConflict
from smart_tuner.mlflow_mirror import projection
from smart_tuner.mlflow_mirror.artifacts import CHECKPOINT_SENT, Artifacts
from smart_tuner.mlflow_mirror.moved import ARTIFACTS
from smart_tuner.mlflow_mirror.registry import register
from smart_tuner.mlflow_mirror.run_lookup import StudyRuns
from smart_tuner.mlflow_mirror.run_writer import RunWriter
from smart_tuner.mlflow_mirror.settings import MirrorSettings
from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.workspace import Workspace
from trainer.protocol import Event, EventReader, RunDir

# The mirror's own bookmark, which keeps a second sync from sending everything again.
_EVENTS_SENT = "smart_tuner.events_sent"  # bytes of events.jsonl
_PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class Synced:
    """What became of the runs of a study's trials."""

    made: int
    mended: int  # something was lacking or wrong
    untouched: int


class MlflowMirror:
    """Brings MLflow to where the study is; each call starts from what is there, and may be repeated.

    ranked: the feasible trials of the study, the best one first. The best one's run bears `best` = "true", the parent
    run its parameters as tags `best.*`, and the first `settings.checkpoints` of them have their checkpoints among the
    artifacts. `sync_study` also brings the best one's voice to the Model Registry, if `settings.registers`.

    Ownership: writes only runs that bear its key tags, and of those only its own tags; of the registry, only the
    model that was made for a study of this name (`registry`). The experiment is
    named as the study; when two studies share that name (two people and one server, a study begun anew),
    their user attribute `id` keeps their runs apart.
    Thread safety: none; one thread at a time, any thread. Several processes may mirror one study: a run
    made twice is repaired, and whoever syncs last sets the best tag right.

    Nothing is imported, opened or sent before the first call. Each method raises what the stores raise
    (mlflow.exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError) and RunConflict where
    a run holds other parameters than its trial. A call that failed half-way is made good by the next one.
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
        identity = study.user_attrs.get(StudyAttr.ID)
        key = f"{study.study_name}@{identity}" if identity else study.study_name
        artifacts = (settings.workspace / ARTIFACTS).resolve().as_uri()
        self._runs = StudyRuns(settings.tracking_uri, study.study_name, key, artifacts)
        self._parent: RunWriter | None = None  # as it is known to be; None: to be asked for
        self._live: dict[int, RunWriter] = {}  # likewise, of trials that run
        self._marked: list[int] | None = None  # the trials that `_mark_best` put first

    @property
    def tracking_uri(self) -> str:
        return self._settings.tracking_uri

    def sync_trials(self, numbers: Sequence[int]) -> Iterator[int]:
        """Send what is new of these trials; of those that have finished, also which is best now.

        Yields each number that is done, so that whoever calls knows, where this raises, which are left."""
        trials = self._study.get_trials(deepcopy=False)
        parent = self._sync_parent(trials, over=False)
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

        repair: believe no bookmark. Every run is compared with its trial, point by point, and mended; where MLflow
        does not let that be (parameters, start, points that nobody measured), it is deleted and made anew.
        progress: told how many of how many trials are done.
        """
        self._runs.follow_artifacts()
        trials = self._study.get_trials(deepcopy=False)
        self._parent, self._live, self._marked = None, {}, None
        parent = self._sync_parent(trials, over=False)
        known = {number: RunWriter(self._runs.client, run) for number, run in self._runs.all_trials().items()}
        seen, made, mended, refusal = set[str](), set[str](), self._runs.take_doubled(), None
        for done, trial in enumerate(trials):
            progress(done, len(trials))
            try:
                run = self._project(trial, known.get(trial.number), parent, repair=repair)
            except RunConflict as error:
                refusal = refusal or error  # the others are not to wait for it
                continue
            if run is not None:
                seen.add(run.id)
                if run.requests:
                    (mended if trial.number in known else made).add(run.id)
        mended |= self._mark_best(parent, repair=repair)
        progress(len(trials), len(trials))
        if refusal is not None:
            raise refusal
        if self._sync_parent(trials, over=True) != parent:  # another worker made a parent too, and its own stays
            return self.sync_study(repair=repair, progress=progress)
        if self._settings.registers:
            self._register_best()
        mended = (mended & seen) - made
        return Synced(len(made), len(mended), len(seen) - len(made) - len(mended))

    def run_id(self, number: int) -> str | None:
        """The id of the trial's run, if it has one."""
        run = self._runs.get(number) if self._runs.is_begun() else None
        return str(run.info.run_id) if run else None

    def _find(self, number: int) -> RunWriter | None:
        run = self._runs.get(number)
        return None if run is None else RunWriter(self._runs.client, run)

    def _sync_parent(self, trials: Sequence[FrozenTrial], *, over: bool) -> str:
        """Create or update the parent run; return its id. It ends only when the whole study is in place."""
        name = self._study.study_name
        best = next(iter(self._ranked(self._study)), None)
        tags = projection.study_tags(name, self._study.direction.name.lower(), trials, best)
        parent, self._parent = None if over else self._parent, None
        if parent is None:
            begun = (trial.datetime_start or trial.datetime_complete for trial in trials)
            start = min((projection.milliseconds(at) for at in begun if at is not None), default=None)
            run = self._runs.get(None) or self._runs.create(None, name, start, tags)
            parent = RunWriter(self._runs.client, run)
        parent.log((), {}, tags)
        parent.drop_tags(lambda tag: tag not in tags and projection.is_of_best(tag))
        status = projection.study_status(trials)
        if over or status == "RUNNING":
            parent.set_status(status, max((at for trial in trials if (at := projection.ended(trial))), default=None))
        self._parent = parent
        return parent.id

    def _project(
        self, trial: FrozenTrial, run: RunWriter | None, parent: str, *, repair: bool = False
    ) -> RunWriter | None:
        """Send what the run lacks. None for a trial that has not begun, or whose first words only its worker has."""
        record, fresh = self._record(trial), repair or run is None
        held = run.points() if run is not None and repair else set()  # before the events, which may go on meanwhile
        sent = 0 if run is None or repair else int(run.tags.get(_EVENTS_SENT, "0"))
        events, reached = _new_events(record, sent)
        points = projection.points(events)
        if run is None or repair or "value" not in run.metrics:
            points += projection.outcome(trial)
        first = events[0] if events and fresh else None
        if run is not None and repair and _is_beyond_mending(run, trial, first, held.difference(points)):
            self._runs.discard(trial.number, run.id)
            run, held = None, set()
        if run is None:
            if not (trial.state.is_finished() or events):
                return None
            begun, name = projection.begun(trial, first), Workspace.trial_name(trial.number)
            run = RunWriter(self._runs.client, self._runs.create(trial.number, name, begun, {_PARENT: parent}))
        self._refuse_other_params(run, trial)
        tags = {_PARENT: parent} | ({_EVENTS_SENT: str(reached)} if record is not None else {})
        self._write(run, trial, tags, events, [point for point in points if point not in held])
        if record is not None:
            send = self._artifacts.mend if repair else self._artifacts.send
            send(run, record, trial.state.is_finished())
        run.set_status(projection.STATUS[trial.state], projection.ended(trial))
        return run

    def _write(
        self,
        run: RunWriter,
        trial: FrozenTrial,
        tags: Mapping[str, str],
        events: Sequence[Event],
        points: Sequence[projection.Point],
    ) -> None:
        """Points, parameters and tags; tags of ours that no longer hold are removed."""
        environment = projection.environment(events)
        tags = {**tags, **projection.tags(trial), **environment}
        run.log(points, projection.params(trial), tags)
        run.drop_tags(
            lambda tag: (
                tag not in tags
                and (projection.is_of_trial(tag) or (bool(environment) and projection.is_of_environment(tag)))
            )
        )

    def _record(self, trial: FrozenTrial) -> RunDir | None:
        """The trial's directory, where it has one on this machine."""
        where = trial.user_attrs.get(Attr.RUN_DIR)
        record = RunDir(self._settings.workspace / where) if where else None
        return record if record is not None and record.path.is_dir() else None

    def _refuse_other_params(self, run: RunWriter, trial: FrozenTrial) -> None:
        for name, value in projection.params(trial).items():
            if run.params.get(name, value) != value:
                raise RunConflict(
                    f"MLflow run {run.id} of experiment {self._study.study_name!r}: `{name}` is "
                    f"{run.params[name]} there and {value} in the study, so the run belongs to an earlier study of "
                    "that name, or somebody wrote to it; `smart-tuner sync --repair` deletes it and makes it anew."
                )

    def _register_best(self) -> None:
        """Where no trial is feasible, or its checkpoint is not on this machine, the registry stays as it is."""
        trial = next(iter(self._ranked(self._study)), None)
        if trial is None or (run := self._runs.get(trial.number)) is None:
            return
        record = self._record(trial)
        if record is not None and record.best_checkpoint.is_file():
            register(self._runs.client, self._study.study_name, trial, run, record)

    def _mark_best(self, parent: str, *, repair: bool = False) -> set[str]:
        """Exactly the best trial's run bears the tag, and the first ones hold checkpoints; the runs that changed.

        No run does while no trial is feasible. Nothing is asked of MLflow where the order is as it was."""
        ranked = self._ranked(self._study)
        chosen = ranked[: max(1, self._settings.checkpoints)]
        if self._marked == [trial.number for trial in chosen]:
            return set()
        self._marked = None
        # One may have been finished by a worker whose mirror is behind.
        found = (self._find(trial.number) or self._project(trial, None, parent) for trial in chosen)
        first = [run for run in found if run is not None]
        changed = self._give_up_marks(
            {run.id for run in first[:1]}, {run.id for run in first[: self._settings.checkpoints]}
        )
        if first:
            first[0].set_tag(projection.BEST, "true")
        for trial, run in list(zip(chosen, first, strict=True))[: self._settings.checkpoints]:
            if (record := self._record(trial)) is not None:
                self._artifacts.send_checkpoint(run, record, look=repair)
        self._marked = [trial.number for trial in chosen]
        return changed | {run.id for run in first if run.requests}

    def _give_up_marks(self, best: set[str], with_checkpoint: set[str]) -> set[str]:
        """Take tag and checkpoint from all other runs; return those that had one."""
        fallen = [RunWriter(self._runs.client, run) for run in self._runs.tagged(projection.BEST)]
        fallen = [run for run in fallen if run.id not in best]
        for run in fallen:
            run.drop_tags(lambda tag: tag == projection.BEST)
        crowded = [RunWriter(self._runs.client, run) for run in self._runs.tagged(CHECKPOINT_SENT)]
        crowded = [run for run in crowded if run.id not in with_checkpoint]
        for run in crowded:
            self._artifacts.remove_checkpoint(run)
        return {run.id for run in [*fallen, *crowded]}

    @cached_property
    def _artifacts(self) -> Artifacts:
        return Artifacts(self.tracking_uri)


def _is_beyond_mending(
    run: RunWriter, trial: FrozenTrial, first: Event | None, unknown: Iterable[projection.Point]
) -> bool:
    """Whether the run says what MLflow does not let be corrected: parameters, its start, points that never were.

    first: the trial's first event; without one, its record is not at hand, and the run may well know more."""
    params = projection.params(trial)
    if any(params.get(name) != value for name, value in run.params.items()):
        return True
    if first is None:
        return False
    never_were = trial.state.is_finished() and any(projection.is_curve(point.name) for point in unknown)
    return never_were or run.start != projection.begun(trial, first)


def _new_events(record: RunDir | None, offset: int) -> tuple[list[Event], int]:
    """The events from `offset` on, and where to go on. A file that was begun anew is read from its start."""
    if record is None:
        return [], offset
    reader = EventReader(record.events, offset)
    return list(reader.read()), reader.offset
