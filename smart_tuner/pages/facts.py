"""The facts that a page shows of a study, read once from the store and the trial directories."""

import math
import platform
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from smart_tuner import figures
from smart_tuner.artifacts import Artifact, ArtifactKind, artifacts_of, last_of
from smart_tuner.command_hints import CommandHint, hint_for_readers
from smart_tuner.config import SecretUrl
from smart_tuner.outcome import Cause
from smart_tuner.pages.ratings import ratings
from smart_tuner.pages.recipe import recipe
from smart_tuner.pages.records import condensed_events, shown
from smart_tuner.pruning import Curve
from smart_tuner.results import BestTrial, study_result
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import PAUSED, Attr, StudyAttr, pauses, shown_state, stored_cause
from smart_tuner.store.curves import curve_of
from smart_tuner.study import spec_of
from smart_tuner.trial_costs import Cost, cost_of
from smart_tuner.workspace import Workspace
from trainer.evaluation.verdict import Heard, heard
from trainer.protocol import Event, EventKind

_MACHINE_KEYS = ("host", "device", "threads", "torch", "python", "parameters")  # keys of a `started` event


@dataclass(frozen=True)
class TrialFacts:
    number: int
    state: str  # as in the store, or PAUSED
    cause: Cause | None  # of a pruned or failed one
    reason: str  # of which trial it is a replicate; where it went on; the cause as a sentence, or why it has paused
    feasible: bool
    value: float | None  # of a complete one: the figure that the study minimises
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    curve: Curve
    distances: Mapping[int, float]  # to the recordings, by report; only where its record is on this machine
    cost: Cost | None
    artifacts: Sequence[Artifact]  # that a page can show
    machine: Mapping[str, str]  # what it ran on; empty if its record is not on this machine
    stars: int | None
    replicate_of: int | None = None  # the trial whose setting it trained with another seed

    @property
    def outcome(self) -> str:
        """The state as one word for people."""
        was_interrupted = self.state == "WAITING" and self.params
        return "interrupted" if was_interrupted else {"FAIL": "failed"}.get(self.state, self.state.lower())

    def newest(self, kind: ArtifactKind) -> Artifact | None:
        return last_of(self.artifacts, kind)

    def of_sentence(self, kind: ArtifactKind, sentence: str) -> Artifact | None:
        return last_of((artifact for artifact in self.artifacts if artifact.sentence == sentence), kind)


@dataclass(frozen=True)
class StudyFacts:
    """best, nearest, missed: as in `StudyResult`. recipe: YAML of the best trial for the trainer. workspace, storage:
    as given by the user; storage None: the one in the workspace.
    """

    name: str
    spec: StudySpec
    target: int
    trials: Sequence[TrialFacts]
    best: BestTrial | None
    nearest: BestTrial | None
    missed: str
    recipe: str | None
    workspace: Path
    storage: SecretUrl | None

    @cached_property
    def command_hint(self) -> CommandHint:
        return hint_for_readers(self.workspace, self.storage)

    @property
    def shown(self) -> BestTrial | None:
        """The best trial, or the nearest to feasible."""
        return self.best or self.nearest

    @cached_property
    def featured(self) -> TrialFacts | None:
        """The facts of the shown trial, with its pictures and sounds."""
        return next((t for t in self.trials if self.shown and t.number == self.shown.trial), None)

    @cached_property
    def states(self) -> Mapping[str, int]:
        return Counter(trial.outcome for trial in self.searched)

    @cached_property
    def searched(self) -> Sequence[TrialFacts]:
        """The trials without replicates."""
        return [trial for trial in self.trials if trial.replicate_of is None]

    def causes(self, outcome: str) -> Mapping[Cause, int]:
        """The causes of pruned or failed trials, most frequent first."""
        return dict(Counter(t.cause for t in self.trials if t.cause and t.outcome == outcome).most_common())

    @cached_property
    def finished(self) -> int:
        return sum(trial.state in ("COMPLETE", "PRUNED", "FAIL") for trial in self.searched)

    @cached_property
    def bill(self) -> "Bill":
        return bill(self.trials)

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """What the trials ran on, each distinct value once, and where the page was written."""
        found = {
            key: ", ".join(sorted({t.machine[key] for t in self.trials if key in t.machine})) for key in _MACHINE_KEYS
        }
        here = {
            "optuna": optuna.__version__,
            "smart-tuner": metadata.version("smart-tuner"),
            "written on": f"{platform.node()}, {platform.system()} {platform.machine()}",
        }
        return {key: value for key, value in found.items() if value} | here


@dataclass(frozen=True)
class Bill:
    """Hours of all trials of a study."""

    hours: Mapping[str, float]  # by device: cpu, cuda, or "unknown device"
    spared: float  # by pruning
    estimated: int  # trials whose hours are from the store's start and end

    @property
    def total(self) -> float:
        return sum(self.hours.values())


def bill(trials: Sequence[TrialFacts]) -> Bill:
    hours: defaultdict[str, float] = defaultdict(float)
    for trial in trials:
        if trial.cost is not None:
            for device, seconds in trial.cost.seconds_by_device.items():
                hours[device or "unknown device"] += seconds / 3600
    spared = sum(t.cost.spared for t in trials if t.cost and t.state == "PRUNED")
    return Bill(hours, spared / 3600, sum(not t.cost.measured for t in trials if t.cost))


def facts_of(study: optuna.Study, workspace: Path, storage: SecretUrl | None = None) -> StudyFacts:
    """Raises StudyError if this version cannot read the study's definition."""
    spec = spec_of(study)
    root = Workspace(workspace)
    result = study_result(study, workspace, lambda number: None)
    stars = ratings(study)
    trials = [_trial(t, spec, root, stars.get(t.number)) for t in study.get_trials(deepcopy=False)]
    best = result.best
    return StudyFacts(
        name=study.study_name,
        spec=spec,
        target=study.user_attrs.get(StudyAttr.TARGET, spec.trials),
        trials=trials,
        best=best,
        nearest=result.nearest,
        missed=result.missed,
        recipe=_recipe(spec, best, root) if best else None,
        workspace=workspace,
        storage=storage,
    )


def _recipe(spec: StudySpec, best: BestTrial, workspace: Workspace) -> str | None:
    objective = figures.objective(spec.objective.metric)
    heading = (
        f"Trial {best.trial} of study {spec.name}: {objective.words} {objective.text(best.value)}; "
        f"what is heard: {figures.verdict(best.metrics)}.\n"
        + (
            Heard.MUTE.advice
            if heard(best.metrics) is Heard.MUTE
            else "For a final voice, raise budget.frames; a trial is only long enough to be compared with others."
        )
    )
    return recipe(spec, best.trial, best.params, workspace.run_dir(spec.name, best.trial), heading)


def _trial(trial: FrozenTrial, spec: StudySpec, workspace: Workspace, stars: int | None) -> TrialFacts:
    run_dir = workspace.run_dir(spec.name, trial.number)
    events = condensed_events(run_dir.events)
    attrs = trial.user_attrs
    state = shown_state(trial)
    reason = str(attrs.get(Attr.REASON, "")).partition("\n")[0] if trial.state.is_finished() else ""
    why = attrs[Attr.PAUSED]["reason"] if state == PAUSED else reason
    return TrialFacts(
        number=trial.number,
        state=state,
        cause=stored_cause(trial),
        reason="; ".join(part for part in (_replicate(attrs), _promoted(trial, spec), why) if part),
        feasible=bool(attrs.get(Attr.FEASIBLE, False)),
        value=trial.value if trial.state is TrialState.COMPLETE else None,
        params=dict(trial.params),
        metrics=attrs.get(Attr.METRICS, {}),
        curve=curve_of(trial, spec.objective.figure),
        distances=_distances(events),
        cost=cost_of(trial, events, spec.budget),
        artifacts=shown(artifacts_of(run_dir, events)),
        machine=_machine(events),
        stars=stars,
        replicate_of=attrs.get(Attr.REPLICATE_OF),
    )


def _replicate(attrs: Mapping[str, Any]) -> str:
    return f"replicate of trial {attrs[Attr.REPLICATE_OF]}" if Attr.REPLICATE_OF in attrs else ""


def _promoted(trial: FrozenTrial, spec: StudySpec) -> str:
    places = pauses(trial, spec.budget.reports)
    return f"promoted at {places} of the budget" if places else ""


def _distances(events: Sequence[Event]) -> Mapping[int, float]:
    reports = (event.data for event in events if event.kind is EventKind.VALIDATION)
    found = {data["index"]: data.get(figures.DISTANCE.name, math.nan) for data in reports}
    return {index: distance for index, distance in found.items() if math.isfinite(distance)}


def _machine(events: Sequence[Event]) -> Mapping[str, str]:
    """What its last start ran on."""
    started = [event.data for event in events if event.kind is EventKind.STARTED][-1:]
    return {key: str(data[key]) for data in started for key in _MACHINE_KEYS if key in data}
