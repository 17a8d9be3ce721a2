"""SmartTunerMain: what the commands do, from Python. Runs a study, controls workers, deletes, syncs, gives results."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from smart_tuner.command_hints import hint_for_readers
from smart_tuner.config import Settings, load_settings
from smart_tuner.dashboard.sink import NoteSink
from smart_tuner.dashboard.study_note import write_study_note
from smart_tuner.deletion import delete_study, describe
from smart_tuner.earlier_versions import present_defaults
from smart_tuner.enqueueing import Enqueued, enqueue, setting_of_file
from smart_tuner.errors import Interrupted, NoStudies, StudyError, UserError
from smart_tuner.executors import Executor
from smart_tuner.executors.registry import make_executor
from smart_tuner.figures import objective as figure_of
from smart_tuner.formatting import counted, readable
from smart_tuner.mlflow_mirror.mirror import MlflowMirror, Synced
from smart_tuner.mlflow_mirror.sink import known_run_id, sync_now
from smart_tuner.results import StudyResult, feasible_trials, study_result
from smart_tuner.run.context import open_context
from smart_tuner.run.corpus import check_corpus_of, prepare_study
from smart_tuner.run.studies import run_studies
from smart_tuner.sinks.tensorboard import TensorBoardSink
from smart_tuner.spec import StudySpec, load_study
from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.control import (
    Budget,
    Control,
    GivenBudget,
    Request,
    read_control,
    request_run,
    write_request,
)
from smart_tuner.store.paused import revive
from smart_tuner.store.queue import Queue
from smart_tuner.store.retrying import RETRY_SECONDS, RetryingStorage
from smart_tuner.store.storage import open_storage, open_to_read
from smart_tuner.study import (
    changes_of,
    enqueue_known_good,
    existing_study,
    new_known_good,
    newly_kept_defaults,
    open_study,
    spec_of,
    with_stored_settings,
)
from smart_tuner.terminal.stored import StoredStudy
from smart_tuner.warm_start import enqueue_best, refuse_unfit
from smart_tuner.workspace import Workspace

_QUERY_SECONDS = 30.0  # for which a query retries while the store is away; trials retry for longer


class SmartTunerMain:
    """One study in one workspace.

        SmartTunerMain("studies/quickstart.yaml", workspace="workspace").optimize(trials=50)

    study: a path, the name of a shipped study, or a parsed study. overrides: dotted keys of the study, as for `--set`;
    ignored for a parsed study.
    settings: how the installation runs; by default from `config/`, the environment and `workspace`.
    Raises StudyError or SettingsError at once where the study or a setting is invalid. Call one `optimize` at a time;
    other processes may work on the same study meanwhile.
    """

    def __init__(
        self,
        study: str | Path | StudySpec = "quickstart",
        workspace: str | Path | None = None,
        *,
        settings: Settings | None = None,
        overrides: Mapping[str, Any] | None = None,
        executor: Executor | None = None,
        console: Console | None = None,
    ) -> None:
        self.spec = study if isinstance(study, StudySpec) else load_study(str(study), overrides)
        self.settings = settings or load_settings(workspace=workspace)
        self.workspace = Workspace(self.settings.workspace)
        self.console = console or Console(stderr=True)
        self._executor = executor or make_executor(self.settings)

    def optimize(
        self,
        trials: int | None = None,
        *,
        hours: float | None = None,
        frames: int | None = None,
        until_settled: bool = False,
    ) -> StudyResult:
        """Run until the first of these is reached; a line says where it is not the number of trials.

        trials: finished ones, including those of earlier starts and other workers; None: the number of the last
        request, else that of the definition. hours: from now; frames: that all trials of the study have trained, also
        before; None: as the definition says. until_settled: as `until` of the definition, begin no further trial when
        one is expected to gain less than seeds alone differ (`smart_tuner.settling`). Interrupted trials are continued;
        those that run when the time or the frames are used save their state. Where `is_finished`, nothing is done: not
        even the corpus is read.
        Raises UserError for a mistake of the user before any training, Interrupted after Ctrl-C and where the study was
        stopped, WorkerBroken where attempt after attempt fails; what was done is kept.
        """
        given = GivenBudget(trials, hours, frames, until_settled)
        given.refuse_useless()
        if self.is_finished(trials, until_settled=until_settled):
            return self.result()
        context = open_context(self.settings, self._executor, self.console)
        self._keep_settings(context.storage)
        self._show_changes(context.storage)
        budget = self._budget(given, context.storage)
        capacity = context.capacity([self.spec], budget.trials)
        prepare_study(context, self.spec, capacity)  # first: a mistyped corpus leaves nothing behind
        study = self._submit(context.storage, budget)
        (session,) = run_studies(context, [(self.spec, study)], capacity).sessions
        queue = session.queue
        if queue.left():
            of_all = f"{queue.finished()} of {counted(queue.target, 'trial')}"
            missing = queue.replicates_left()
            replicates = f" and before {counted(missing, 'replicate')}" if missing else ""
            self._say_why_unfinished(session.control, of_all + replicates)
        control = read_control(study)
        if control.has_settled and (settled := control.settled):
            of_all = f"{settled.trials} of {counted(settled.asked, 'trial')}"
            self._show(f"study {self.spec.name!r} has settled after {of_all}: {settled.why}")
        return self._result_of(study, session.mlflow is not None and session.mlflow.is_up_to_date)

    def _say_why_unfinished(self, control: Control, of_all: str) -> None:
        """Raises Interrupted unless the study ended by a limit that the user has set."""
        if not control.spent:
            why = f", because {control.halt}" if control.halt else ""
            raise Interrupted(f"Stopped after {of_all}{why}; the same command continues it.")
        more = "more frames (--frames)" if control.has_trained_all else "the same command"
        self._show(f"study {self.spec.name!r} has ended after {of_all}, because {control.spent}; {more} continues it")

    def is_finished(self, trials: int | None = None, *, until_settled: bool = False) -> bool:
        """Whether `optimize(trials)` would change nothing: the study has its trials, and this is its definition.

        Raises StudyError as `optimize` where the definition is another one.
        """
        try:
            study, storage = self._existing()
        except (NoStudies, StudyError):  # the first of its trials is to come
            return False
        control = read_control(study)
        asked = [None, control.target]
        if control.settled and control.has_settled and (until_settled or self.spec.until):
            asked.append(control.settled.asked)
        unchanged = not changes_of(storage, with_stored_settings(storage, self.spec))
        return unchanged and trials in asked and _is_complete(study, storage)

    def submit(
        self,
        trials: int | None = None,
        *,
        hours: float | None = None,
        frames: int | None = None,
        until_settled: bool = False,
        check_corpus: bool = True,
    ) -> None:
        """Have workers run the study, to the same end as `optimize`; run none here.

        check_corpus: check it first, as far as that takes a second; False where only the workers can read it. Raises
        CorpusRefused.
        """
        given = GivenBudget(trials, hours, frames, until_settled)
        given.refuse_useless()
        storage = open_storage(self.settings.storage_url)
        self._keep_settings(storage)
        self._show_changes(storage)
        if check_corpus:
            check_corpus_of(self.spec, self.console)
        self._submit(storage, self._budget(given, storage))

    def _keep_settings(self, storage: RetryingStorage) -> None:
        """Let a study in the store go on with its objective and settings where the definition gives none."""
        default = self.spec.objective.metric
        self.spec = with_stored_settings(storage, self.spec)
        kept = self.spec.objective.metric
        if kept != default:
            self._show(
                f"study {self.spec.name!r} goes on with its objective, {kept} ({figure_of(kept).words}); under another "
                f"name (--name), this definition optimises {default} ({figure_of(default).words})"
            )
        if settings := newly_kept_defaults(storage, self.spec):
            now = present_defaults()
            listed = ", ".join(
                f"{key} = {readable(value)} (now {readable(now[key])})" for key, value in settings.items()
            )
            self._show(f"study {self.spec.name!r} goes on with the defaults of its beginning: {listed}")

    def _show_changes(self, storage: RetryingStorage) -> None:
        """Show what changes for a study that has trials.

        Raises StudyError for changes that it cannot take, and for studies from which it cannot start.
        """
        refuse_unfit(storage, self.spec)
        for line in changes_of(storage, self.spec):
            self._show(f"study {self.spec.name!r} goes on with {line}")

    def _show(self, line: str) -> None:
        in_a_log = not self.console.is_terminal  # which has no line breaks
        self.console.print(line, highlight=False, markup=False, soft_wrap=in_a_log)

    def _budget(self, given: GivenBudget, storage: RetryingStorage) -> Budget:
        """What the study may use from now on. Shows where the number of trials is lowered."""
        last = None
        if self.spec.name in optuna.get_all_study_names(storage):
            submitted = optuna.load_study(study_name=self.spec.name, storage=storage)
            last = submitted.user_attrs.get(StudyAttr.TARGET)
        if given.trials is not None and last is not None and given.trials < last:
            self._show(f"study {self.spec.name!r}: the target goes from {last} to {counted(given.trials, 'trial')}")
        return Budget(
            given.trials or last or self.spec.trials,
            given.hours or self.spec.hours,
            given.frames or self.spec.frames,
            given.until_settled or self.spec.until is not None,
        )

    def _submit(self, storage: RetryingStorage, budget: Budget) -> optuna.Study:
        known_good = new_known_good(storage, self.spec)
        study = open_study(storage, self.spec)
        lines = enqueue_known_good(storage, study, self.spec, known_good, budget.trials)
        for line in [*lines, *enqueue_best(storage, study, self.spec)]:
            self._show(line)
        is_raised = budget.trials > read_control(study).target
        at_work = Queue(study, storage, budget.trials).is_at_work()
        request_run(study, budget, joins=at_work)
        if is_raised:  # after the request, so that no worker ends them again by the old target
            name = self.spec.name
            numbers = revive(storage, study, lambda number: self.workspace.run_dir(name, number).has_checkpoint())
            if numbers:
                self._show(f"study {name!r}: {counted(len(numbers), 'trial')} that had paused may go on again")
        write_study_note(study, storage, self.spec)
        return study

    def stop(self, *, now: bool = False) -> bool:
        """Have all workers, on all machines, stop their trials of the study: these save their state, or are killed.

        now: kill them. Returns False, and changes nothing, where the study has all its trials. Raises as `study`.
        """
        study, storage = self._existing(writes=True)
        if _is_complete(study, storage):
            return False
        write_request(study, Request.STOP_NOW if now else Request.STOP)
        return True

    def resume(self) -> bool:
        """Let the study go on after `stop`, or for the hours of its definition after its time was up.

        Returns False, and changes nothing, where the study has all its trials. Raises as `study`, and UserError where
        its trials have trained as many frames as were asked for.
        """
        study, storage = self._existing(writes=True)
        if _is_complete(study, storage):
            return False
        control = read_control(study)
        if control.has_trained_all:
            raise UserError(
                f"study {study.study_name!r}: {control.spent}; to go on: `smart-tuner optimize --name "
                f"{study.study_name} --frames MORE`."
            )
        budget = Budget(control.target, spec_of(study).hours, control.frames, control.until_settled)
        request_run(study, budget, joins=False)
        return True

    def enqueue(self, setting: Mapping[str, Any], like: int | Path | None = None) -> Enqueued:
        """Have a free worker run a trial with these parameters next.

        like: a trial, or a file, that has the others. Raises as `study`, `enqueueing.enqueue` and `setting_of_file`.
        """
        study, storage = self._existing(writes=True)
        spec = spec_of(study)
        return enqueue(storage, study, spec, setting, setting_of_file(like, spec) if isinstance(like, Path) else like)

    def what_delete_would_do(self) -> str:
        """A text for the question before `delete`. Raises as `study`, and StudyError while a worker runs its trials."""
        return describe(*self._existing(writes=True), self.settings)

    def delete(self) -> None:
        """Delete the study and its files in the workspace. Its runs in MLflow are kept. Raises as above."""
        delete_study(*self._existing(writes=True), self.settings)

    def study(self, *, retry_seconds: float = _QUERY_SECONDS) -> optuna.Study:
        """The study in the store, for reading. retry_seconds: for a store that goes away later.

        Needs no write access. Raises StudyError where the store has no such study, StorageError where it cannot be
        opened.
        """
        return self._existing(retry_seconds)[0]

    def stored(self) -> StoredStudy:
        """The study's progress, also while others work on it. Raises as `study`."""
        return StoredStudy(*self._existing(RETRY_SECONDS), self.settings.workspace)

    def result(self) -> StudyResult:
        """What the study has found so far. Raises as `study`."""
        return self._result_of(self.study(), mirrored=self.settings.mlflow)

    def sync(
        self, *, repair: bool = False, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Synced | None:
        """Bring the dashboard's notes, TensorBoard's table of trials and MLflow up to date.

        Returns None where MLflow is switched off. repair: compare all that MLflow holds, and correct it. progress:
        called with the trials done, and all. Raises as `study`, and MlflowUnavailable where MLflow does not answer.
        """
        study, storage = self._existing(writes=True)
        spec = spec_of(study)
        hint = hint_for_readers(self.settings.workspace, self.settings.storage)
        NoteSink(spec, study, storage, self.workspace, hint).sync()
        TensorBoardSink(study, spec, self.workspace).sync()
        if not self.settings.mlflow:
            return None
        return sync_now(self._mirror(study), self.settings.storage_url, repair=repair, progress=progress)

    def _existing(
        self, retry_seconds: float = _QUERY_SECONDS, *, writes: bool = False
    ) -> tuple[optuna.Study, RetryingStorage]:
        self.workspace.refuse_file()
        url = self.settings.storage_url
        storage = open_storage(url, False, retry_seconds) if writes else open_to_read(url, retry_seconds)
        return existing_study(storage, url, self.spec.name), storage

    def _mirror(self, study: optuna.Study) -> MlflowMirror:
        return MlflowMirror(self.settings.mirror, study, feasible_trials)

    def _result_of(self, study: optuna.Study, mirrored: bool) -> StudyResult:
        runs = self._mirror(study) if mirrored else None
        url = self.settings.storage_url
        return study_result(study, self.settings.workspace, lambda n: known_run_id(runs, url, n) if runs else None)


def _is_complete(study: optuna.Study, storage: RetryingStorage) -> bool:
    """Whether the study has all its trials, and none beyond its target is at work."""
    target = read_control(study).target
    if not target:
        return False  # it was never submitted
    queue = Queue(study, storage, target)
    return queue.left() <= 0 and not queue.is_at_work()
