"""Each known-good setting of a definition is tried once, also one that is added later, with any number of workers."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import optuna
import pytest
from lab import GUIDED, UNGUIDED, Lab, open_queue, study_spec
from optuna.trial import TrialState
from queues import finish, take
from servers import every_store

from smart_tuner.space import suggest
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import Attr
from smart_tuner.store.enqueued import KnownGood, give_entry
from smart_tuner.store.optuna_internals import refresh_trials
from smart_tuner.store.queue import Queue
from smart_tuner.store.statements import begin_trial
from smart_tuner.study import enqueue_known_good, new_known_good, open_study, spec_of

OTHER = {"optimizer.lr": 3e-3}
SPEC = study_spec(enqueue=[GUIDED, UNGUIDED])


def given(study: optuna.Study) -> list[dict[str, Any]]:
    """The setting of each trial; of one that the sampler alone chooses, nothing."""
    return [trial.system_attrs.get("fixed_params", {}) for trial in study.get_trials(deepcopy=False)]


def submit(queue: Queue, spec: StudySpec, target: int = 9) -> list[str]:
    new = new_known_good(queue.storage, spec)
    return enqueue_known_good(queue.storage, open_study(queue.storage, spec), spec, new, target)


def test_added_settings_are_tried_next_and_tried_ones_not_again(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 9, SPEC)
    for _ in range(3):
        take(queue)
    lines = submit(queue, study_spec(enqueue=[OTHER, UNGUIDED]))
    assert lines == ["study 'lab': trial 3 tries {\"optimizer.lr\": 0.003} of `enqueue`"]
    assert [take(queue).number for _ in range(2)] == [3, 4]  # of a worker that has begun before
    assert given(study) == [GUIDED, UNGUIDED, {}, OTHER, {}]
    assert submit(queue, study_spec(enqueue=[OTHER, UNGUIDED])) == []
    again = open_queue(storage_url, 9, study_spec(enqueue=[OTHER, UNGUIDED]))[2]
    take(again)
    assert given(study)[5:] == [{}]


def test_of_trials_that_begin_at_once_the_first_has_the_first_setting(storage_url: str) -> None:
    storage, study, _ = open_queue(storage_url, 9, SPEC)
    known = KnownGood(SPEC.enqueue, SPEC.search)
    study_id = study._study_id
    begun = [storage.transaction(lambda connection: begin_trial(connection, study_id, 9)) for _ in range(3)]
    for attempt in reversed(begun):
        assert attempt is not None
        trial_id = attempt.trial_id
        assert storage.transaction(lambda c, trial_id=trial_id: give_entry(c, study_id, trial_id, known))  # type: ignore[misc]
    refresh_trials(study)
    assert given(study) == [GUIDED, UNGUIDED, {}]


def test_one_that_was_not_tried_is_not_skipped_where_another_one_is_left_out(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 9, SPEC)
    take(queue)
    fewer = study_spec(enqueue=[UNGUIDED])
    assert submit(queue, fewer) == []
    take(open_queue(storage_url, 9, fewer)[2])
    assert given(study) == [GUIDED, UNGUIDED]


def test_a_study_without_trials_has_them_of_its_definition(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 9, study_spec(enqueue=[GUIDED]))
    assert submit(queue, SPEC) == []
    take(open_queue(storage_url, 9, SPEC)[2])
    assert given(study) == [GUIDED]


def test_where_a_study_has_all_its_trials_a_line_says_how_many_it_needs(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 2, SPEC)
    for _ in range(2):
        finish(queue, take(queue))
    (line,) = submit(queue, study_spec(enqueue=[GUIDED, UNGUIDED, OTHER]), target=2)
    assert line.endswith("of `enqueue`; it has 2 trials: more of them (--trials 3) reach that")
    assert queue.take() is None
    assert take(Queue(study, queue.storage, 3)).number == 2


@every_store
def test_workers_that_start_at_once_try_each_once(storage_url: str) -> None:
    """While somebody adds the third one, twice."""
    _, study, first = open_queue(storage_url, 12, SPEC)
    take(first)
    added = study_spec(enqueue=[GUIDED, UNGUIDED, OTHER])
    queues = [Queue(study, first.storage, 12) for _ in range(4)]
    together = Barrier(6, timeout=10)

    def work(queue: Queue) -> None:
        together.wait()
        while queue.take() is not None:
            pass

    def add(_: int) -> None:
        new = new_known_good(first.storage, added)
        together.wait()
        enqueue_known_good(first.storage, study, added, new, 12)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work, queue) for queue in queues] + [pool.submit(add, i) for i in range(2)]:
            done.result()
    tried = [setting for setting in given(study) if setting]
    assert sorted(tried, key=str) == sorted([GUIDED, UNGUIDED, OTHER], key=str)


def test_a_trial_whose_worker_died_before_it_had_its_setting_leaves_it_to_the_next(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 9, SPEC)
    study.enqueue_trial({})  # as a trial that has gone back to the queue
    plain = study.get_trials(deepcopy=False)[0]
    assert plain.state is TrialState.WAITING
    for _ in range(3):
        take(queue)
    assert [setting for setting in given(study) if setting] == [GUIDED, UNGUIDED]


def test_a_replicate_keeps_the_setting_of_its_original(storage_url: str) -> None:
    spec = study_spec(enqueue=[GUIDED, UNGUIDED], replicates={"top": 1, "seeds": 1})
    _, study, queue = open_queue(storage_url, 1, spec)
    original = take(queue)
    suggest(original, spec.search)
    finish(queue, original)
    assert Attr.REPLICATE_OF in queue.stored(take(queue)).user_attrs
    assert given(study) == [GUIDED, GUIDED]


def test_equal_settings_are_tried_as_often_as_they_are_given(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 9, study_spec(enqueue=[GUIDED, GUIDED]))
    for _ in range(3):
        take(queue)
    assert given(study) == [GUIDED, GUIDED, {}]


def test_what_is_no_longer_searched_makes_no_difference() -> None:
    known = KnownGood([{"a": 1}, {"a": 2}], ["a"])
    assert known.untried([{"a": 1, "b": 5}]) == [{"a": 2}]


@pytest.mark.parametrize("begun", [1, 2])
def test_an_excluded_setting_is_left_out_once_all_were_tried(storage_url: str, begun: int) -> None:
    _, study, queue = open_queue(storage_url, 9, study_spec(enqueue=[OTHER, GUIDED]))
    for _ in range(begun):
        suggest(take(queue), SPEC.search)
    changes = {"search.optimizer.lr.low": 2.5e-3}
    if begun == 2:
        assert list(spec_of(study, changes).enqueue) == [OTHER]
    else:
        with pytest.raises(Exception, match="must be between"):
            spec_of(study, changes)


def test_a_start_says_so(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    lab.tuner().submit(1, check_corpus=False)
    suggest(take(open_queue(lab.url, 1)[2]), SPEC.search)
    lab.define(enqueue=[GUIDED, OTHER])
    with lab.console.capture() as said:
        lab.tuner().submit(3, check_corpus=False)
    assert 'goes on with enqueue[1]: not set -> {"optimizer.lr": 0.003}' in said.get()
    assert 'trial 1 tries {"optimizer.lr": 0.003} of `enqueue`' in said.get()
