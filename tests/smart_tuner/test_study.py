import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from lab import GUIDED, STUDY, SUPPORT, UNGUIDED, open_queue, study_spec
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState, create_trial
from sqlalchemy import text

from smart_tuner.errors import StudyError
from smart_tuner.space import suggest
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import Attr
from smart_tuner.store.queue import Queue
from smart_tuner.store.storage import open_storage
from smart_tuner.store.transitions import take_waiting
from smart_tuner.study import best_trial, nearest_trial, open_study

Opened = tuple[RDBStorage, optuna.Study, Queue]


@pytest.fixture
def opened(storage_url: str) -> Opened:
    storage, study, queue = open_queue(storage_url, 5)
    return storage, study, queue


def taker(url: str, target: int, *hold: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(SUPPORT / "take.py"), url, str(target), *hold]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(queue: Queue, trial: Trial | None, value: float = 1.0) -> None:
    assert trial is not None
    trial.set_user_attr(Attr.FEASIBLE, True)
    assert queue.finish(trial, TrialState.COMPLETE, value)


def take(queue: Queue) -> Trial:
    trial = queue.take()
    assert trial is not None
    return trial


def state(study: optuna.Study, number: int) -> TrialState:
    return study.get_trials(deepcopy=False)[number].state


def silence(storage: RDBStorage) -> None:
    """As if no worker had given a sign of life for years."""
    with storage.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2000-01-01 00:00:00'"))


def test_no_more_trials_are_made_than_were_asked_for(opened: Opened) -> None:
    _, study, queue = opened
    for _ in range(5):
        take(queue)
    assert queue.take() is None
    assert len(study.trials) == 5
    assert (queue.finished(), queue.left()) == (0, 5)


def test_known_good_settings_come_first_and_then_the_sampler_decides(opened: Opened) -> None:
    _, _, queue = opened
    given = [suggest(take(queue), study_spec().search) for _ in range(5)]
    assert given[:2] == [GUIDED, UNGUIDED]
    assert len({params["optimizer.lr"] for params in given[1:]}) == 4
    assert queue.take() is None


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


def test_processes_that_begin_one_study_together_finish_exactly_what_was_asked(storage_url: str) -> None:
    workers = [taker(storage_url, 8) for _ in range(4)]
    said = [worker.communicate(timeout=60) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, said
    assert sorted(int(number) for out, _ in said for number in out.split()) == list(range(8))
    trials = optuna.load_study(study_name="lab", storage=open_storage(storage_url)).trials[:8]
    assert all(trial.state is TrialState.COMPLETE for trial in trials)


def test_a_trial_that_is_given_back_keeps_number_and_parameters(opened: Opened) -> None:
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


def test_a_trial_whose_process_was_killed_is_recovered_at_once(opened: Opened, storage_url: str) -> None:
    _, study, queue = opened
    process = taker(storage_url, 5, "hold")
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    assert queue.recover() == []  # it lives
    assert state(study, 0) is TrialState.RUNNING
    process.kill()
    process.communicate()
    assert queue.recover() == [0]
    assert take(queue).number == 0


def test_of_two_that_recover_the_same_trial_one_succeeds(
    opened: Opened, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, study, queue = opened
    process = taker(storage_url, 5, "hold")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    slow = Queue(study, storage, 5)
    seen = queue._gone()
    assert queue.recover() == [0]
    monkeypatch.setattr(slow, "_gone", lambda: seen)
    assert slow.recover() == []
    again = take(queue)
    assert slow.recover() == []
    assert state(study, 0) is TrialState.RUNNING
    finish(queue, again)
    assert slow.recover() == []


def test_a_recovered_trial_is_not_taken_from_who_has_yet_to_sign_it(opened: Opened, storage_url: str) -> None:
    storage, study, queue = opened
    process = taker(storage_url, 5, "hold")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    silence(storage)
    queue.recover()
    with storage.engine.begin() as connection:
        assert take_waiting(connection, study._study_id, 5)  # between the two steps of `take`
    assert queue.recover() == []


def owner_elsewhere(trial: Trial) -> dict[str, Any]:
    owner: dict[str, Any] = trial.user_attrs[Attr.OWNER]
    return {**owner, "host": "elsewhere"}


def test_a_worker_on_another_machine_is_gone_once_it_is_silent(opened: Opened) -> None:
    storage, _, queue = opened
    trial = take(queue)
    trial.set_user_attr(Attr.OWNER, owner_elsewhere(trial))
    assert queue.recover() == []
    silence(storage)
    assert queue.recover() == [0]


def test_a_worker_that_gives_signs_of_life_again_keeps_its_trial(opened: Opened) -> None:
    storage, _, queue = opened
    trial = take(queue)
    trial.set_user_attr(Attr.OWNER, owner_elsewhere(trial))
    silence(storage)
    queue.beat(trial)
    assert queue.recover() == []


def test_a_process_does_not_rob_itself_after_the_machine_has_slept(opened: Opened) -> None:
    storage, study, queue = opened
    take(queue)
    silence(storage)
    assert queue.recover() == []
    assert state(study, 0) is TrialState.RUNNING


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere a process's start moves with the clock")
def test_a_clock_that_is_set_makes_nobody_dead(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = opened[2]
    take(queue)
    begun = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: begun(process) + 7200)
    assert queue.recover() == []


def test_a_process_of_the_same_number_that_began_later_is_another_one(opened: Opened) -> None:
    _, _, queue = opened
    trial = take(queue)
    owner = trial.user_attrs[Attr.OWNER]
    trial.set_user_attr(Attr.OWNER, {**owner, "started": owner["started"] - 3600})
    assert queue.recover() == [0]


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


def test_a_worker_that_was_thought_dead_ends_nothing(opened: Opened) -> None:
    storage, study, queue = opened
    slept = take(queue)
    slept.set_user_attr(Attr.OWNER, owner_elsewhere(slept))
    assert queue.is_ours(slept)
    silence(storage)
    other = Queue(study, storage, 5)
    assert other.recover() == [0]
    taken_over = take(other)
    assert taken_over.number == slept.number
    assert not queue.is_ours(slept)
    assert not queue.beat(slept)
    assert not queue.finish(slept, TrialState.COMPLETE, 0.1)
    queue.give_back(slept)
    assert state(study, 0) is TrialState.RUNNING
    finish(other, taken_over, 2.0)
    assert study.trials[0].value == 2.0
    assert not queue.finish(slept, TrialState.FAIL)


def test_the_time_zone_of_a_worker_makes_no_difference(
    opened: Opened, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = opened[2]
    for zone in ("Europe/Berlin", "America/New_York", "Asia/Kolkata"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        trial = take(queue)
        assert trial.number == 0
        assert queue.is_ours(trial)
        assert queue.recover() == []
        queue.give_back(trial)
    monkeypatch.delenv("TZ")
    time.tzset()
    finish(queue, take(queue))
    assert state(opened[1], 0) is TrialState.COMPLETE


def test_ending_a_trial_twice_is_ending_it_once(opened: Opened) -> None:
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


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("corpus", {"corpus": "demo:ru"}),
        ("budget", {"budget": {"frames": 2000, "reports": 4}}),
        ("constraints", {"constraints": {"alignment": {"at_least": 0.7}}}),
        ("fixed", {"fixed": {"model.reduction": 3}}),
        ("preset", {"preset": "full"}),
    ],
)
def test_a_study_whose_trials_could_not_be_compared_is_refused(
    storage_url: str, key: str, change: dict[str, Any]
) -> None:
    storage = open_storage(storage_url)
    queue = open_queue(storage_url, 1)[2]
    suggest(take(queue), study_spec().search)
    with pytest.raises(StudyError, match=rf"study 'lab' exists with `{key}` = .*Give the new study another name"):
        open_study(storage, study_spec(**change))
    open_study(storage, study_spec(name="other", **change))


def test_a_study_in_which_nothing_ran_takes_another_definition(storage_url: str) -> None:
    storage = open_storage(storage_url)
    open_study(storage, study_spec(corpus="demo:ru"))
    study = open_study(storage, study_spec(corpus="demo:en"))
    assert study.user_attrs["definition"]["corpus"] == "demo:en"


def test_the_choices_of_a_parameter_cannot_change(storage_url: str) -> None:
    queue = open_queue(storage_url, 1)[2]
    suggest(take(queue), study_spec().search)
    one_choice_more = {"optimizer.kind": {"type": "categorical", "choices": ["adam", "adamw"]}, **STUDY["search"]}
    open_study(open_storage(storage_url), study_spec(search=one_choice_more))
    turned = {**one_choice_more, "optimizer.kind": {"type": "categorical", "choices": ["adamw", "adam"]}}
    with pytest.raises(StudyError, match=r"`search.optimizer.kind.choices` = .*cannot change"):
        open_study(open_storage(storage_url), study_spec(search=turned))


def test_many_who_take_at_the_same_moment_make_each_trial_once(storage_url: str) -> None:
    queues = [open_queue(storage_url, 12)[2] for _ in range(6)]
    with ThreadPoolExecutor(len(queues)) as pool:
        taken = list(pool.map(lambda queue: [take(queue).number, take(queue).number], queues))
    assert sorted(number for numbers in taken for number in numbers) == list(range(12))
    assert [t.number for t in queues[0].study.get_trials(deepcopy=False)] == list(range(12))


def test_a_trial_that_has_finished_is_not_given_back(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 1)
    trial = take(queue)
    finish(queue, trial)
    queue.give_back(trial)
    assert [t.state.name for t in study.get_trials(deepcopy=False)] == ["COMPLETE"]


def test_what_is_searched_and_how_may_change(storage_url: str) -> None:
    storage = open_storage(storage_url)
    first = open_study(storage, study_spec())
    changed = study_spec(
        search={"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-3}},
        enqueue=[],
        trials=99,
        pruner={"patience": 3},
    )
    second = open_study(storage, changed)
    assert second.user_attrs["id"] == first.user_attrs["id"]
    assert second.user_attrs["definition"]["trials"] == 99


def draw(url: str, count: int, spec: StudySpec) -> list[dict[str, Any]]:
    queue = open_queue(url, count, spec)[2]
    drawn = []
    while (trial := queue.take()) is not None:
        drawn.append(suggest(trial, spec.search))
        finish(queue, trial)
    return drawn


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_continued_study_draws_new_points(storage_url: str, kind: str) -> None:
    spec = study_spec(enqueue=[], sampler={"seed": 1, "kind": kind})
    drawn = draw(storage_url, 4, spec) + draw(storage_url, 8, spec)
    assert len({params["optimizer.lr"] for params in drawn}) == 8


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_workers_with_one_seed_draw_different_points(storage_url: str, kind: str) -> None:
    spec = study_spec(enqueue=[], sampler={"seed": 1, "kind": kind})
    workers = [open_queue(storage_url, 6, spec)[2] for _ in range(3)]
    drawn = [suggest(take(worker), spec.search) for worker in workers for _ in range(2)]
    assert len({params["optimizer.lr"] for params in drawn}) == 6


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_one_seed_gives_one_course_and_another_seed_another(tmp_path: Path, kind: str) -> None:
    def course(name: str, seed: int) -> list[dict[str, Any]]:
        sampler = {"seed": seed, "kind": kind, "startup_trials": 3}
        return draw(f"sqlite:///{tmp_path}/{name}.db", 6, study_spec(enqueue=[], sampler=sampler))

    first = course("a", 1)
    assert course("b", 1) == first
    other = course("c", 2)
    assert not {p["optimizer.lr"] for p in first} & {p["optimizer.lr"] for p in other}


def add(study: optuna.Study, end: str, value: float | None, alignment: float | None, feasible: bool = False) -> None:
    metrics = {} if alignment is None else {Attr.METRICS: {"alignment": alignment}}
    attrs = {**metrics, Attr.FEASIBLE: feasible}
    study.add_trial(create_trial(state=TrialState[end], value=value, user_attrs=attrs))


def test_the_best_is_the_feasible_complete_trial_of_least_loss(storage_url: str) -> None:
    _, study, _ = open_queue(storage_url, 9)
    assert best_trial(study) is None
    add(study, "COMPLETE", 0.1, 0.05, feasible=False)
    add(study, "PRUNED", 0.2, 0.9, feasible=True)
    add(study, "FAIL", None, None)
    assert best_trial(study) is None
    for value in (3.0, 2.0, 2.0, 4.0):
        add(study, "COMPLETE", value, 0.6, feasible=True)
    best = best_trial(study)
    assert best is not None
    assert best.number == 4


def test_the_nearest_is_the_finished_trial_of_highest_alignment(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 9)
    assert nearest_trial(study) is None
    take(queue).set_user_attr(Attr.METRICS, {"alignment": 0.9})  # runs still
    add(study, "FAIL", None, None)
    assert nearest_trial(study) is None
    add(study, "COMPLETE", 0.1, 0.05)
    add(study, "PRUNED", 5.0, 0.4)
    add(study, "COMPLETE", 2.0, 0.3)
    nearest = nearest_trial(study)
    assert nearest is not None
    assert nearest.number == 3
