"""What a study optimises: its value, its best trial, its pruning and its constraints follow the objective.

data/recorded_study.json: the reports of six settings drawn from the space of `quickstart` (demo:en:360, 600,000 frames,
60 sentences that were not trained on), from `python -m benchmarks.record_curves`.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from lab import GUIDED, Lab, study_spec
from optuna_dashboard._note import get_note_from_system_attrs
from rich.console import Console

from smart_tuner.errors import StudyError
from smart_tuner.executors import Exit, Launch
from smart_tuner.figures import objective as figure_of
from smart_tuner.machine.admission import FreeAdmission
from smart_tuner.machine.capacity import Capacity, Demand
from smart_tuner.main import SmartTunerMain
from smart_tuner.outcome import Cause
from smart_tuner.run.trial import trial_seed
from smart_tuner.store.attributes import Attr, StudyAttr, stored_cause
from smart_tuner.study import spec_of
from trainer.evaluation.verdict import PREFIX
from trainer.objectives import DEFAULT_OBJECTIVE, OBJECTIVES, VALIDATION_LOSS
from trainer.protocol import Event, EventKind, ExitCode

FAILS = 3  # the trial of least loss: 45 % of its sentences do not end
SPEAKS = 1  # that of least distance: all of its sentences end
RECORDED: Sequence[Sequence[Mapping[str, float]]] = json.loads(
    (Path(__file__).parents[1] / "data" / "recorded_study.json").read_text(encoding="utf-8")
)
LOSS = {"objective": {"metric": VALIDATION_LOSS}}


@dataclass
class Replay:
    """An executor whose trials are the recorded ones, in their order; speech is measured where the model aligns.

    when_stopped: figures of the last model, in place of those recorded.
    """

    study: str
    when_stopped: Mapping[str, float] = field(default_factory=dict)
    runs_may_wait = False

    def capacity(self, demand: Demand) -> Capacity:
        return Capacity(1, 1, ("cpu",))

    def admission(self, capacity: Capacity, preset: str) -> FreeAdmission:
        return FreeAdmission()

    @contextmanager
    def launch(self, launch: Launch) -> Iterator["ReplayedRun"]:
        config = json.loads(launch.run_dir.config.read_text(encoding="utf-8"))
        number = next(n for n in range(len(RECORDED)) if trial_seed(self.study, n) == config["seed"])
        yield ReplayedRun(RECORDED[number], config["validation"], self.when_stopped)

    def close(self) -> None:
        pass


@dataclass
class ReplayedRun:
    reports: Sequence[Mapping[str, float]]
    validation: Mapping[str, Any]
    when_stopped: Mapping[str, float]
    asked: bool = False
    exit: Exit = field(default_factory=lambda: Exit(ExitCode.FINISHED, ""))

    def events(self) -> Iterator[Event]:
        yield Event(EventKind.STARTED, 0, 0, {"config": {}})
        best: Mapping[str, float] | None = None
        for index, figures in enumerate(self.reports, 1):
            is_best = best is None or self._rank(figures) < self._rank(best)
            best = figures if is_best or best is None else best
            aligned = figures["alignment"] >= self.validation["alignment_floor"]
            shown = {name: value for name, value in figures.items() if aligned or not name.startswith(PREFIX)}
            yield Event(EventKind.VALIDATION, 100 * index, index, {"index": index, "best": is_best, **shown})
            if self.asked:
                yield Event(EventKind.FREE_RUNNING, 100 * index, index, _spoken(figures) | self.when_stopped)
                yield Event(EventKind.STOPPED, 100 * index, index, {"reason": "asked"})
                self.exit = Exit(ExitCode.STOPPED, "")
                return
        assert best is not None
        yield Event(EventKind.FREE_RUNNING, 1000, len(self.reports), _spoken(best))
        yield Event(EventKind.FINISHED, 1000, len(self.reports), {"seconds": 1.0})

    def _rank(self, figures: Mapping[str, float]) -> tuple[bool, float]:
        figure = OBJECTIVES[self.validation["best_by"]].figure
        return figures["alignment"] < self.validation["alignment_floor"], figures[figure]

    def stop(self) -> None:
        self.asked = True

    def kill(self) -> None:
        self.asked = True


def _spoken(figures: Mapping[str, float]) -> dict[str, float]:
    return {name.removeprefix(PREFIX): value for name, value in figures.items() if name.startswith(PREFIX)}


def replayed(lab: Lab, **changes: Any) -> SmartTunerMain:
    lab.define(**{"budget": {"frames": 1000, "reports": 10}, "enqueue": [], "pruner": {"kind": "none"}, **changes})
    return lab.tuner(executor=Replay("lab"))


def test_the_loss_crowns_a_trial_that_fails_sentences_and_what_is_heard_does_not(lab: Lab) -> None:
    """The same trials under both objectives."""
    by_loss = replayed(lab, name="lab", **LOSS).optimize(len(RECORDED)).best
    assert by_loss is not None
    assert (by_loss.trial, by_loss.objective, by_loss.value) == (FAILS, VALIDATION_LOSS, 6.7568)
    assert by_loss.metrics["free_running_failed"] == 0.45

    lab.workspace.rename(lab.workspace.with_name("by loss"))
    heard = replayed(lab).optimize(len(RECORDED)).best
    assert heard is not None
    assert (heard.trial, heard.objective) == (SPEAKS, DEFAULT_OBJECTIVE)
    assert heard.value == heard.metrics["free_running_distance"] == RECORDED[SPEAKS][-1]["free_running_distance"]
    assert heard.metrics["free_running_failed"] == 0
    fails = lab.study().trials[FAILS]
    assert fails.state.name == "COMPLETE"
    assert fails.user_attrs[Attr.FEASIBLE] is False
    assert fails.constraints == {
        "alignment": pytest.approx(0.5 - 0.6889, abs=1e-3),
        "free_running_alignment": pytest.approx(0.5 - 0.4808, abs=1e-3),
        "failed": pytest.approx(0.35 - 0.25),
        "memory": 0,
    }


def test_where_none_is_feasible_the_nearest_misses_all_constraints_together_by_least(lab: Lab) -> None:
    strict = {"alignment": {"at_least": 0.5}, "free_running_alignment": {"at_least": 1}, "failed": {"at_most": 0}}
    result = replayed(lab, constraints=strict).optimize(len(RECORDED))
    assert result.best is None
    assert result.nearest is not None
    missed = [sum(max(0, value) for value in trial.constraints.values()) for trial in lab.study().trials]
    assert result.nearest.trial == missed.index(min(missed))
    assert missed[FAILS] == max(missed)


def test_a_trial_is_pruned_by_what_is_heard_and_where_it_was_not_measured_it_is_not_compared(lab: Lab) -> None:
    replayed(lab, pruner={"kind": "alignment_and_loss"}).optimize(len(RECORDED))
    trials = lab.study().trials
    worse = trials[-1]
    assert (worse.state.name, stored_cause(worse)) == ("PRUNED", Cause.SPEECH)
    assert worse.user_attrs[Attr.REASON].startswith("speech worse than that of other trials: distance 12.1")
    # It aligns from the sixth report on. Before, it has alignments and losses, but no values.
    assert list(worse.user_attrs[Attr.ALIGNMENT]) == list(worse.user_attrs[Attr.LOSS])
    assert set(worse.intermediate_values) < {int(index) for index in worse.user_attrs[Attr.ALIGNMENT]}
    assert min(worse.intermediate_values) == 6
    assert worse.constraints["failed"] > 0, "measured when it was stopped, for the sampler"


def test_the_note_of_a_stopped_trial_says_what_its_attributes_say(lab: Lab) -> None:
    """Its best report was evaluated; its last model, when it was stopped, is mute."""
    lab.define(budget={"frames": 1000, "reports": 10}, enqueue=[])
    mute = {"failed": 1.0, "distance": 99.0}
    lab.tuner(executor=Replay("lab", when_stopped=mute)).optimize(len(RECORDED))
    study = lab.study()
    worse = study.trials[-1]
    distance, failed = (worse.user_attrs[name] for name in ("heard.distance", "heard.failed"))
    assert worse.state.name == "PRUNED"
    assert failed < 1
    notes = study._storage.get_study_system_attrs(study._study_id)
    body = get_note_from_system_attrs(notes, worse._trial_id)["body"].replace("\\\n", " ")
    assert f"sentences that fail {failed:.0%}" in body
    assert f"distance to the recordings {distance:.2f} dB" in body


def messages(lab: Lab) -> io.StringIO:
    lab.console.file.close()
    output = io.StringIO()
    lab.console = Console(file=output, width=1000)
    return output


def test_a_stored_study_keeps_its_objective_where_its_definition_names_none_any_more(lab: Lab) -> None:
    """As with a shipped study, begun with the version before and continued with this one by the same command."""
    lab.define(enqueue=[GUIDED, GUIDED], **LOSS)
    lab.tuner().optimize(1)
    lab.define(enqueue=[GUIDED, GUIDED])  # names no objective
    output = messages(lab)
    result = lab.tuner().optimize(2)
    assert dict(result.states) == {"COMPLETE": 2}
    assert result.best is not None
    assert (result.best.objective, result.best.value) == (VALIDATION_LOSS, result.best.metrics[VALIDATION_LOSS])
    study = lab.study()
    assert study.user_attrs[StudyAttr.DEFINITION]["constraints"] == {"alignment": {"at_least": 0.5}}
    assert [trial.value for trial in study.trials] == [result.best.value] * 2
    assert "study 'lab' goes on with its objective, validation_loss (teacher-forced loss); " in output.getvalue()
    config = json.loads(lab.run_dir(1).config.read_text(encoding="utf-8"))
    assert config["validation"]["best_by"] == VALIDATION_LOSS


def test_another_objective_that_is_given_is_refused_with_what_to_do(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED], **LOSS)
    lab.tuner().optimize(1)
    given = {"objective.metric": DEFAULT_OBJECTIVE}
    with pytest.raises(StudyError) as error:
        lab.tuner(overrides=given).optimize(2)
    lines = str(error.value).splitlines()
    assert lines[0].startswith("study 'lab' has trials of another definition, not comparable with new ones:")
    assert "  objective.metric: validation_loss -> free_running_distance" in lines
    assert "  constraints.failed.at_most: not set -> 0.25" in lines
    assert lines[-1].startswith("Give the new study another name: --name beside --study FILE, or")
    other = lab.tuner(overrides=given | {"name": "other"}).optimize(1)
    assert other.best is not None
    assert other.best.objective == DEFAULT_OBJECTIVE


def test_a_stored_definition_without_an_objective_means_the_loss_and_a_new_one_stores_all(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED, GUIDED], **LOSS)
    lab.tuner().optimize(1)
    study = lab.study()
    stored = study.user_attrs[StudyAttr.DEFINITION]
    study.set_user_attr(StudyAttr.DEFINITION, {key: value for key, value in stored.items() if key != "objective"})
    spec = spec_of(lab.study())
    assert (spec.objective.metric, spec.constraints.failed) == (VALIDATION_LOSS, None)
    lab.define(enqueue=[GUIDED, GUIDED])
    best = lab.tuner().optimize(2).best
    assert best is not None
    assert best.value == best.metrics[VALIDATION_LOSS]
    assert lab.study().user_attrs[StudyAttr.DEFINITION]["objective"]["metric"] == VALIDATION_LOSS

    lab.define(name="new")
    lab.tuner().submit(1, check_corpus=False)
    new = optuna.load_study(study_name="new", storage=lab.url).user_attrs[StudyAttr.DEFINITION]
    assert new["objective"] == {"metric": DEFAULT_OBJECTIVE, "direction": "minimize"}
    assert new["constraints"]["failed"] == {"at_most": 0.25}


@dataclass
class EarlierVersion(Replay):
    """Its first attempt ends at once, and leaves a configuration without keys of later versions."""

    begun: bool = False

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[ReplayedRun]:
        if not self.begun:
            self.begun = True
            config = json.loads(launch.run_dir.config.read_text(encoding="utf-8"))
            del config["validation"]["best_by"], config["loss"]["gate_tail"]
            launch.run_dir.config.write_text(json.dumps(config), encoding="utf-8")
            raise OSError("no process can be started")
        with super().launch(launch) as run:
            yield run


def test_a_trial_of_an_earlier_version_goes_on_with_its_gate_loss_and_its_checkpoint_of_least_loss(lab: Lab) -> None:
    replayed(lab, **LOSS)
    lab.tuner(executor=EarlierVersion("lab")).optimize(1)
    config = json.loads(lab.run_dir(0).config.read_text(encoding="utf-8"))
    assert config["validation"]["best_by"] == VALIDATION_LOSS
    assert config["loss"]["gate_tail"] == 0


def test_a_constraint_that_is_switched_off_stays_off_in_the_store_and_for_a_trial(lab: Lab) -> None:
    lab.define(constraints={"failed": None}, enqueue=[GUIDED, GUIDED])
    lab.tuner().optimize(1)
    assert "failed" not in lab.study().trials[0].constraints
    assert spec_of(lab.study()).constraints.failed is None
    assert spec_of(lab.study()).constraints.free_running_alignment is not None, "this one was not given"
    output = messages(lab)
    lab.tuner().optimize(2)
    assert "goes on with" not in output.getvalue()


def test_every_figure_that_can_be_optimised_has_words() -> None:
    assert all(figure_of(metric).words for metric in OBJECTIVES)


@pytest.mark.parametrize("named", [{}, {"constraints": {"failed": {"at_most": 0.1}}, **LOSS}])
def test_a_study_whose_trials_never_speak_is_refused_before_it_begins(named: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match=r"`fixed.validation.free_running_utterances` = 0 lets no trial speak"):
        study_spec(fixed={"validation.free_running_utterances": 0}, **named)
    study_spec(fixed={"validation.free_running_utterances": 0}, **LOSS)


def test_of_every_objective_less_is_better() -> None:
    assert study_spec(objective={"metric": VALIDATION_LOSS, "direction": "minimize"}) == study_spec(**LOSS)
    with pytest.raises(StudyError, match=r"`objective.direction` must be 'minimize', but got 'maximize'"):
        study_spec(objective={"metric": VALIDATION_LOSS, "direction": "maximize"})
