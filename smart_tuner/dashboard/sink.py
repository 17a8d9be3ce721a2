"""The sink that writes the note of each trial that ends or is interrupted."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.artifacts import ArtifactKind, artifacts_of
from smart_tuner.command_hints import CommandHint, try_like
from smart_tuner.dashboard.gallery import announced, shown
from smart_tuner.dashboard.notes import version_key, write_note
from smart_tuner.dashboard.trial_note import NoteDetails, Story, trial_note
from smart_tuner.outcome import Outcome, State
from smart_tuner.results import best_trial
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import Attr, pauses, stored_cause
from smart_tuner.store.optuna_internals import stored_trial, study_id, trial_id
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.workspace import Workspace
from trainer.protocol import Event, all_events


class NoteSink:
    """Not thread-safe. Reads and writes the store, so it must not run in the thread of a trial.

    hint: with which a command finds the study.
    """

    def __init__(
        self,
        spec: StudySpec,
        study: optuna.Study,
        storage: RetryingStorage,
        workspace: Workspace,
        hint: CommandHint,
    ) -> None:
        self._spec = spec
        self._study = study
        self._storage = storage
        self._workspace = workspace
        self._hint = hint
        self._stories: dict[int, Story] = {}

    def trial_started(
        self,
        number: int,
        params: Mapping[str, Any],
        *,
        history: Sequence[Event] = (),
        resumed: bool,
        promoted: bool = False,
        replicate_of: int | None = None,
    ) -> None:
        self._stories[number] = _story(params, history)

    def event(self, number: int, event: Event) -> None:
        self._stories[number].take(event)

    def trial_ended(self, number: int, outcome: Outcome) -> None:
        story = self._stories.pop(number)
        if outcome.state is State.LOST:
            return  # the worker that has it now writes its note
        self._write(stored_trial(self._study, number), story, outcome)

    def paused_ended(self, number: int, outcome: Outcome) -> None:
        trial = stored_trial(self._study, number)
        record = self._workspace.run_dir(self._spec.name, number)
        self._write(trial, _story(trial.params, all_events(record.events)), outcome)

    def sync(self) -> None:
        """Write the notes that are missing because a worker died or the store was unavailable.

        Notes of trials whose records are on another machine are left to a sync there.
        """
        attributes = self._storage.get_study_system_attrs(study_id(self._study))
        for trial in self._study.get_trials(deepcopy=False):
            record = self._workspace.run_dir(self._spec.name, trial.number)
            if trial.state.is_finished() and version_key(trial_id(trial)) not in attributes and record.events.is_file():
                story = _story(trial.params, all_events(record.events))
                reason = trial.user_attrs.get(Attr.REASON, "")
                self._write(trial, story, Outcome(State[trial.state.name], stored_cause(trial), reason))

    def _write(self, trial: FrozenTrial, story: Story, outcome: Outcome) -> None:
        best = best_trial(self._study) if trial.state is TrialState.COMPLETE else None
        details = NoteDetails(
            budget=self._spec.budget.frames,
            floor=self._spec.constraints.alignment.at_least,
            folder=self._workspace.relative_run_dir(self._spec.name, trial.number).as_posix(),
            metrics=trial.user_attrs.get(Attr.METRICS, {}),
            failures=trial.user_attrs.get(Attr.FAILURES, ()),
            again=try_like(self._spec, trial.number, self._hint.options),
            first=self._hint.first,
            origin=trial.user_attrs.get(Attr.ORIGIN, ""),
            pauses=pauses(trial, self._spec.budget.reports),
            best=best is not None and best.number == trial.number,
        )
        body = "\n\n".join([trial_note(story, outcome, details), *self._pictures(trial, story)])
        keys = study_id(self._study), trial_id(trial)
        self._storage.transaction(lambda connection: write_note(connection, *keys, body))

    def _pictures(self, trial: FrozenTrial, story: Story) -> list[str]:
        """The last alignment as a picture that the dashboard serves; of a finished trial, the free-running one."""
        ids = {meta.filename: meta.artifact_id for meta in announced(trial.system_attrs)}
        artifacts = shown(artifacts_of(self._workspace.run_dir(self._spec.name, trial.number), story.artifact_events))
        names = [name for name, found in artifacts.items() if name in ids and found.kind is ArtifactKind.ALIGNMENT]
        address = f"/artifacts/{study_id(self._study)}/{trial_id(trial)}"
        return [f"![{name}]({address}/{ids[name]})" for name in names[-1:]]


def _story(params: Mapping[str, Any], events: Iterable[Event]) -> Story:
    story = Story(params)
    for event in events:
        story.take(event)
    return story
