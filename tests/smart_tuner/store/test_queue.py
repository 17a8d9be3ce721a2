"""Trials are taken, given back and finished, each once, also by many workers at the same moment."""

from concurrent.futures import ThreadPoolExecutor

import optuna
from lab import GUIDED, UNGUIDED, open_queue, study_spec
from optuna.trial import TrialState
from queues import Opened, finish, take, taker
from servers import every_store

from smart_tuner.space import suggest
from smart_tuner.store.queue import Queue
from smart_tuner.store.storage import open_storage


def test_no_more_trials_are_made_than_requested(opened: Opened) -> None:
    _, study, queue = opened
    for _ in range(5):
        take(queue)
    assert queue.take() is None
    assert len(study.trials) == 5
    assert (queue.finished(), queue.left()) == (0, 5)


def test_a_queue_counts_the_trials_of_others_only(opened: Opened) -> None:
    storage, study, queue = opened
    other = Queue(study, storage, 5)
    ours = take(queue)
    assert (queue.running_elsewhere(), other.running_elsewhere()) == (0, 1)
    take(other)
    queue.give_back(ours)
    assert (queue.running_elsewhere(), other.running_elsewhere()) == (1, 0)


def test_known_good_settings_come_first_and_then_the_sampler_decides(opened: Opened) -> None:
    _, _, queue = opened
    given = [suggest(take(queue), study_spec().search) for _ in range(5)]
    assert given[:2] == [GUIDED, UNGUIDED]
    assert len({params["optimizer.lr"] for params in given[1:]}) == 4
    assert queue.take() is None


@every_store
def test_threads_never_take_the_same_trial(storage_url: str) -> None:
    queue = open_queue(storage_url, 24)[2]

    def work(_: int) -> list[int]:
        taken = []
        while (trial := queue.take()) is not None:
            taken.append(trial.number)
            finish(queue, trial)
        return taken

    with ThreadPoolExecutor(8) as pool:
        numbers = [number for taken in pool.map(work, range(8)) for number in taken]
    assert sorted(numbers) == list(range(24))


# Processes take seconds to start; threads that do the same are in the test before this one, with every store.
def test_processes_that_start_one_study_together_finish_exactly_the_requested_trials(storage_url: str) -> None:
    workers = [taker(storage_url, 8) for _ in range(3)]
    outputs = [worker.communicate(timeout=60) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 3, outputs
    assert sorted(int(number) for out, _ in outputs for number in out.split()) == list(range(8))
    trials = optuna.load_study(study_name="lab", storage=open_storage(storage_url)).trials[:8]
    assert all(trial.state is TrialState.COMPLETE for trial in trials)


@every_store
def test_queues_that_take_at_the_same_moment_make_each_trial_once(storage_url: str) -> None:
    queues = [open_queue(storage_url, 12)[2] for _ in range(6)]
    with ThreadPoolExecutor(len(queues)) as pool:
        taken = list(pool.map(lambda queue: [take(queue).number, take(queue).number], queues))
    assert sorted(number for numbers in taken for number in numbers) == list(range(12))
    assert [t.number for t in queues[0].study.get_trials(deepcopy=False)] == list(range(12))


def test_a_trial_that_is_given_back_keeps_its_number_and_parameters(opened: Opened) -> None:
    _, _, queue = opened
    for _ in range(2):
        take(queue)
    trial = take(queue)
    params = suggest(trial, study_spec().search)
    trial.report(3.0, 1)
    queue.give_back(trial)
    again = take(queue)
    assert again.number == trial.number == 2
    assert suggest(again, study_spec().search) == params
    assert queue.study.trials[2].intermediate_values == {1: 3.0}


def test_a_trial_that_has_finished_is_not_given_back(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 1)
    trial = take(queue)
    finish(queue, trial)
    queue.give_back(trial)
    assert [t.state.name for t in study.get_trials(deepcopy=False)] == ["COMPLETE"]


def test_a_raised_target_adds_the_difference_and_a_lowered_one_leaves_the_rest(opened: Opened) -> None:
    storage, study, queue = opened
    for _ in range(5):
        finish(queue, queue.take())
    more = Queue(study, storage, 8)
    assert (more.finished(), more.left()) == (5, 3)
    waiting = [take(more) for _ in range(3)]
    for trial in waiting:
        more.give_back(trial)
    fewer = Queue(study, storage, 6)
    assert (fewer.finished(), fewer.left(), len(study.trials)) == (5, 1, 8)
    finish(fewer, fewer.take())
    assert fewer.take() is None
    assert (fewer.left(), more.left()) == (0, 2)


def test_finishing_a_trial_twice_is_the_same_as_once(opened: Opened) -> None:
    _, study, queue = opened
    trial = take(queue)
    finish(queue, trial, 3.0)
    assert queue.finish(trial, TrialState.COMPLETE, 3.0)  # as after a connection that broke before the answer came
    assert study.trials[0].value == 3.0


def test_a_pruned_trial_has_its_last_report_as_value(opened: Opened) -> None:
    _, study, queue = opened
    trial = take(queue)
    trial.report(4.0, 1)
    trial.report(3.5, 2)
    assert queue.finish(trial, TrialState.PRUNED)
    assert study.trials[0].state is TrialState.PRUNED
    assert study.trials[0].value == 3.5
    assert study.trials[0].datetime_complete is not None
