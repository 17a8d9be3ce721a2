"""What the report, the dashboard's notes and MLflow's tags say of trials that paused, were promoted, or revived."""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from lab import open_queue, study_spec
from optuna.trial import FrozenTrial, Trial
from optuna_dashboard._note import get_note_from_system_attrs
from queues import finish, take

from smart_tuner.command_hints import CommandHint, hint_for_readers
from smart_tuner.config import SecretUrl
from smart_tuner.dashboard.sink import NoteSink
from smart_tuner.dashboard.study_note import study_note
from smart_tuner.mlflow_mirror.projection import study_tags, tags
from smart_tuner.outcome import Cause, Outcome, State
from smart_tuner.pages import report_text
from smart_tuner.pages.facts import facts_of
from smart_tuner.pages.report import report
from smart_tuner.space import suggest
from smart_tuner.store.attributes import COST_GPU_HOURS, COST_SECONDS, Attr
from smart_tuner.store.paused import revive
from smart_tuner.store.queue import Queue
from smart_tuner.workspace import Workspace

SPEC = study_spec(
    pruner={"kind": "promotion"}, objective={"metric": "validation_loss"}, enqueue=[], constraints={}
)  # rungs: reports 1 and 2 of 4
PRUNED, PROMOTED, REVIVED, PAUSED = range(4)
WITHOUT_OPTIONS = CommandHint("", "")


@dataclass(frozen=True)
class Shown:
    """A study of four trials: one was pruned since it had paused, the others are as their names say."""

    study: optuna.Study
    queue: Queue
    workspace: Path

    @property
    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def text(self) -> str:
        return report(facts_of(self.study, self.workspace), self.study, "md", datetime(2026, 1, 31)).replace("\\", "")

    def row(self, number: int) -> str:
        (row,) = (line for line in self.text().splitlines() if line.startswith(f"| {number} | "))
        return row

    def note(self, number: int, outcome: Outcome, hint: CommandHint = WITHOUT_OPTIONS) -> str:
        """That is written when the trial ends so."""
        sink = NoteSink(SPEC, self.study, self.queue.storage, Workspace(self.workspace), hint)
        sink.trial_started(number, self.trials[number].params, resumed=True)
        sink.trial_ended(number, outcome)
        attrs = self.queue.storage.get_study_system_attrs(self.study._study_id)
        body: str = get_note_from_system_attrs(attrs, self.trials[number]._trial_id)["body"]
        return body.replace("\\\n", " ").replace("\\", "")


def pause(queue: Queue, trial: Trial, loss: float) -> None:
    suggest(trial, SPEC.search)
    assert queue.report(trial, 1, loss, {Attr.ALIGNMENT: {"1": 0.9}})
    where = {"index": 1, "reason": f"loss {loss} at 25% of the budget", "time": time.time()}
    metrics = {"validation_loss": loss, "alignment": 0.9}
    folder = f"runs/lab/trial-{trial.number:04d}"
    assert queue.pause(trial, user={Attr.PAUSED: where, Attr.METRICS: metrics, Attr.RUN_DIR: folder})


def ended(why: str) -> dict[str, Any]:
    return {Attr.CAUSE: Cause.NOT_PROMOTED, Attr.REASON: f"the study has ended; it had paused with {why}"}


@pytest.fixture
def begun(tmp_path: Path) -> Shown:
    """As it is when three trials have paused."""
    workspace = tmp_path / "workspace"
    _, study, queue = open_queue(f"sqlite:///{workspace}/studies.db", 3, SPEC)
    for trial, loss in zip([take(queue) for _ in range(3)], (3.0, 1.0, 2.0), strict=True):
        pause(queue, trial, loss)
    return Shown(study, queue, workspace)


@pytest.fixture
def shown(begun: Shown) -> Shown:
    finish(begun.queue, take(begun.queue), 0.5)
    assert begun.queue.end_paused(ended) == [PRUNED, REVIVED]
    assert revive(begun.queue.storage, begun.study, lambda number: number == REVIVED) == [REVIVED]
    begun.queue.forget()
    begun.queue.target = 4
    pause(begun.queue, begun.queue.take() or pytest.fail("none may begin"), 2.5)
    return begun


def test_the_report_counts_them_as_what_they_are(shown: Shown) -> None:
    text = shown.text()
    assert "2 of 6 trials finished: 1 complete, 2 paused and 1 pruned." in text
    assert "Pruned: 1 not promoted." in text
    assert shown.row(PRUNED).endswith("it had paused with loss 3.0 at 25% of the budget |")
    assert shown.row(PROMOTED).startswith("| 1 | best |  |")
    assert shown.row(PROMOTED).endswith(" promoted at 25% of the budget |")
    for number, loss in ((REVIVED, "2.0"), (PAUSED, "2.5")):
        assert shown.row(number).startswith(f"| {number} | paused |  |")
        assert shown.row(number).endswith(f" loss {loss} at 25% of the budget |")


def test_the_report_has_them_before_any_trial_has_finished(begun: Shown) -> None:
    facts = facts_of(begun.study, begun.workspace)
    assert report_text.summary(facts) == ["No trial has finished yet: 3 trials of 6 have started, and 3 paused."]
    begun.study.enqueue_trial({})  # has not started
    facts = facts_of(begun.study, begun.workspace)
    assert report_text.summary(facts) == ["No trial has finished yet: 3 trials of 6 have started, and 3 paused."]


def test_the_report_has_the_command_to_try_a_setting_like_that(shown: Shown) -> None:
    like = f"smart-tuner enqueue --study lab --like 1 --set KEY=VALUE --workspace {shown.workspace}"
    assert f"A trial like trial 1, with something changed:\n\n    {like}" in shown.text()
    of_a_server = facts_of(shown.study, shown.workspace, SecretUrl("postgresql://me:secret@server/studies"))
    assert report_text.try_like(of_a_server) == (
        "A trial like trial 1, with something changed: Set SMART_TUNER_STORAGE first, which may hold a password and is "
        "not shown here.",
        like,
    )


def test_the_notes_say_where_they_paused_and_went_on(shown: Shown) -> None:
    reason = "loss 2.5 at 25% of the budget"
    paused = shown.note(PAUSED, Outcome(State.PAUSED, Cause.PAUSED, reason))
    assert paused.startswith(f"**Paused, to be continued if it is worth it**: {reason}.")
    assert "promoted" not in paused
    promoted = shown.note(PROMOTED, Outcome(State.COMPLETE))
    assert promoted.startswith("**Complete**, and the best trial when it ended.")
    assert "It was paused at 25% of the budget, and promoted." in promoted
    assert "Pruned" not in shown.note(REVIVED, Outcome(State.PAUSED, Cause.PAUSED, "loss 2.0"))
    pruned = shown.note(PRUNED, Outcome(State.PRUNED, Cause.NOT_PROMOTED, "the study has ended"))
    assert pruned.startswith("**Pruned** (not promoted): the study has ended.")


def test_the_note_of_the_study_explains_them() -> None:
    text = " ".join(study_note(SPEC).split())
    assert (
        "goes on where one in 3 is worth it, by its alignment up to a score of 0.8, by teacher-forced loss among those "
        "that align better" in text
    )
    for attribute in (Attr.PAUSED, Attr.PROMOTED, Attr.ORIGIN, COST_SECONDS, COST_GPU_HOURS):
        assert f"| `{attribute}` |" in text


def test_the_command_of_a_note_finds_the_study(shown: Shown) -> None:
    hint = hint_for_readers(shown.workspace, SecretUrl("postgresql://me:secret@server/studies"))
    note = shown.note(PAUSED, Outcome(State.PAUSED, Cause.PAUSED, ""), hint)
    command = f"`smart-tuner enqueue --study lab --like 3 --set KEY=VALUE --workspace {shown.workspace}`."
    assert f"{command} Set SMART_TUNER_STORAGE first, which may hold a password" in note
    assert "secret" not in note


def test_mlflow_has_them_as_what_they_are(shown: Shown) -> None:
    found = [tags(trial, SPEC.objective.figure) for trial in shown.trials]
    assert [each["state"] for each in found] == ["PRUNED", "COMPLETE", "PAUSED", "PAUSED"]
    assert [each.get("cause") for each in found] == ["not promoted", None, None, None]
    assert [each.get("promoted") for each in found] == [None, "1", None, None]
    assert [each.get("paused") for each in found[2:]] == [f"loss {loss} at 25% of the budget" for loss in (2.0, 2.5)]
    assert "reason" not in found[REVIVED]
    counts = study_tags("lab", "minimize", shown.trials, None)
    assert [counts[f"trials.{state}"] for state in ("complete", "pruned", "paused", "waiting")] == ["1", "1", "2", "0"]
