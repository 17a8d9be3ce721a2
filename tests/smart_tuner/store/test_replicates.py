"""The best settings are trained again after the search: how often, by whom, and what comes of it."""

from typing import Any

import optuna
import pytest
from lab import open_queue, study_spec
from optuna.trial import FrozenTrial, TrialState, create_trial
from queues import finish, replicator, take
from servers import every_store

from smart_tuner.history import History
from smart_tuner.space import suggest
from smart_tuner.store.attributes import Attr
from smart_tuner.store.queue import Queue
from smart_tuner.store.replicates import due, settings_of

SPEC = study_spec(
    replicates={"top": 2, "seeds": 2}, enqueue=[], objective={"metric": "validation_loss"}, pruner={"kind": "none"}
)


def search(url: str, values: list[float]) -> tuple[optuna.Study, Queue]:
    """A study whose search has ended with these values."""
    _, study, queue = open_queue(url, len(values), SPEC)
    for value in values:
        trial = take(queue)
        suggest(trial, SPEC.search)
        finish(queue, trial, value)
    return study, queue


def originals(study: optuna.Study) -> dict[int, int]:
    """Of each replicate, by its number."""
    trials = study.get_trials(deepcopy=False)
    return {t.number: t.user_attrs[Attr.REPLICATE_OF] for t in trials if Attr.REPLICATE_OF in t.user_attrs}


def complete(number: int, value: float, of: int | None = None, *, feasible: bool = True) -> FrozenTrial:
    attributes: dict[str, Any] = {Attr.FEASIBLE: feasible} | ({} if of is None else {Attr.REPLICATE_OF: of})
    trial = create_trial(state=TrialState.COMPLETE, value=value, user_attrs=attributes)
    trial.number = number
    return trial


@every_store
def test_the_best_settings_are_trained_again_when_the_search_has_ended(storage_url: str) -> None:
    study, queue = search(storage_url, [3.0, 1.0, 2.0])
    assert (queue.finished(), queue.left(), queue.replicates_left()) == (3, 4, 4)
    first = take(queue)
    assert (first.number, queue.stored(first).user_attrs[Attr.REPLICATE_OF]) == (3, 1)
    assert suggest(first, SPEC.search) == study.trials[1].params
    others = [take(queue) for _ in range(3)]
    assert originals(study) == {3: 1, 4: 1, 5: 2, 6: 2}
    assert queue.take() is None
    assert queue.left() == 4
    for trial in (first, *others):
        suggest(trial, SPEC.search)
        finish(queue, trial, 5.0)
    assert (queue.finished(), queue.left(), queue.take()) == (3, 0, None)


@every_store
def test_no_replicate_begins_while_a_trial_of_the_search_is_unfinished(storage_url: str) -> None:
    _, _, queue = open_queue(storage_url, 2, SPEC)
    finish(queue, take(queue), 1.0)
    running = take(queue)
    assert (queue.take(), queue.replicates_left()) == (None, 0)
    queue.give_back(running)
    assert take(queue).number == 1, "the interrupted one comes first"


@every_store
def test_an_interrupted_replicate_is_continued_and_none_begins_in_its_place(storage_url: str) -> None:
    study, queue = search(storage_url, [1.0])
    left = take(queue)
    queue.give_back(left)
    assert [take(queue).number for _ in range(2)] == [1, 2]
    assert queue.take() is None
    assert originals(study) == {1: 0, 2: 0}


@every_store
def test_more_trials_follow_and_only_a_new_best_setting_is_trained_again(storage_url: str) -> None:
    study, queue = search(storage_url, [1.0, 2.0])
    for _ in range(4):
        trial = take(queue)
        suggest(trial, SPEC.search)
        finish(queue, trial, 2.5)
    more = Queue(study, queue.storage, 4)
    assert (more.finished(), more.left()) == (2, 2)
    for value in (0.5, 3.0):
        trial = take(more)
        suggest(trial, SPEC.search)
        finish(more, trial, value)
    assert (trial.number, more.finished()) == (7, 4)
    last = [take(more) for _ in range(2)]
    assert [more.stored(trial).user_attrs[Attr.REPLICATE_OF] for trial in last] == [6, 6]
    assert more.take() is None
    assert queue.left() == 2, "replicates that have begun count also with the earlier target"
    for trial in last:
        finish(more, trial)
    assert queue.left() == 0, "with the earlier target, it has all that it is to have"


@every_store
def test_several_workers_begin_each_replicate_once_though_one_is_killed(storage_url: str) -> None:
    study, queue = search(storage_url, [3.0, 1.0, 2.0])
    held = replicator(storage_url, 3, "hold")
    assert held.stdout is not None
    number = int(held.stdout.readline())
    held.kill()
    held.communicate()
    workers = [replicator(storage_url, 3) for _ in range(2)]
    taken = [int(line) for worker in workers for line in worker.communicate(timeout=60)[0].split()]
    assert all(worker.returncode == 0 for worker in workers)
    assert sorted(taken) == [3, 4, 5, 6]
    assert number in taken, "that of the killed worker is trained by another one"
    assert sorted(originals(study).values()) == [1, 1, 2, 2]
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    assert queue.left() == 0


@every_store
def test_with_a_lowered_target_the_replicate_of_a_killed_worker_is_trained_by_another_one(storage_url: str) -> None:
    study, _ = search(storage_url, [3.0, 2.0, 4.0, 1.0, 5.0])
    held = replicator(storage_url, 3, "hold")
    assert held.stdout is not None
    assert int(held.stdout.readline()) == 5
    lowered = open_queue(storage_url, 3, SPEC)[2]
    assert lowered.is_at_work()
    assert (lowered.finished(), lowered.left(), lowered.replicates_left()) == (3, 4, 4)
    held.kill()
    held.communicate()
    assert not lowered.is_at_work()
    assert lowered.recover() == [5]
    others = [take(lowered) for _ in range(4)]
    assert [trial.number for trial in others] == [5, 6, 7, 8], "the interrupted one comes first"
    assert lowered.take() is None
    assert originals(study) == {5: 1, 6: 1, 7: 0, 8: 0}, "the best of the first three, not those beyond the target"
    lowered.give_back(others[0])
    assert take(lowered).number == 5


def test_settings_that_no_longer_fit_the_definition_are_not_trained_again(storage_url: str) -> None:
    study, queue = search(storage_url, [1.0])
    definition = study.user_attrs["definition"]
    search_without = {key: value for key, value in definition["search"].items() if key != "optimizer.lr"}
    study.set_user_attr("definition", {**definition, "search": search_without})
    assert Queue(study, queue.storage, 1).left() == 0


def test_the_winner_is_the_setting_with_the_best_mean() -> None:
    trials = [complete(0, 1.0), complete(1, 1.2), complete(2, 1.4), complete(3, 2.0, of=0), complete(4, 1.1, of=1)]
    first, second, third = settings_of(trials)
    assert (first.original.number, first.mean, first.values) == (1, pytest.approx(1.15), [1.2, 1.1])
    assert (second.original.number, second.mean) == (0, 1.5)
    assert second.spread == pytest.approx(0.7071, abs=1e-4)
    assert (third.original.number, third.spread) == (2, None), "trained once, and not as good by that as they were"
    assert settings_of([*trials, complete(5, 0.9)])[0].original.number == 5, "better than each of them at first"


def test_a_setting_that_misses_the_constraints_with_a_seed_comes_behind() -> None:
    pruned = create_trial(state=TrialState.PRUNED, user_attrs={Attr.REPLICATE_OF: 0})
    trials = [complete(0, 1.0), complete(1, 2.0), complete(3, 2.1, of=1), pruned]
    assert [setting.original.number for setting in settings_of(trials)] == [1, 0]
    infeasible = complete(4, 0.5, of=0, feasible=False)
    assert [setting.mean for setting in settings_of([*trials[:3], infeasible])] == [pytest.approx(2.05), 1.0]
    failed = create_trial(state=TrialState.FAIL, user_attrs={Attr.REPLICATE_OF: 0})
    assert settings_of([*trials[:2], failed])[0].misses == 0, "a machine is to blame"


def test_replicates_do_not_change_whose_turn_it_is() -> None:
    trials = [complete(0, 1.0), complete(1, 1.1), complete(2, 1.2), complete(3, 9.0, of=0)]
    assert [(one.original.number, one.missing) for one in due(trials, top=2, seeds=1)] == [(1, 1)]


def test_samplers_see_each_setting_once_with_its_mean(storage_url: str) -> None:
    study, queue = search(storage_url, [1.0, 2.5])
    for _ in range(4):
        trial = take(queue)
        suggest(trial, SPEC.search)
        finish(queue, trial, 3.0)
    trials = study.get_trials(deepcopy=False)
    shown = History(SPEC).shown(trials)
    assert [(trial.number, trial.value) for trial in shown] == [(0, pytest.approx(7 / 3)), (1, pytest.approx(8.5 / 3))]
    assert [trial.value for trial in trials] == [1.0, 2.5, 3.0, 3.0, 3.0, 3.0], "the study's own stay as they are"
