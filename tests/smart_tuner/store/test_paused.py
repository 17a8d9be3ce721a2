"""Trials pause, are continued by one worker each, and end as PRUNED, also with many workers at the same moment."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from lab import open_queue, study_spec
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from queues import finish, pauser, take
from servers import every_store
from waiting import wait_until

from smart_tuner.outcome import Cause
from smart_tuner.run.session import _tally
from smart_tuner.sampler import LearnsFrom, SamplerPerTrial
from smart_tuner.space import suggest
from smart_tuner.store import queue as queue_module
from smart_tuner.store.attributes import Attr, StudyAttr, shown_state
from smart_tuner.store.curves import StudyCurves
from smart_tuner.store.optuna_internals import read_trials
from smart_tuner.store.paused import PausedTrials, revive
from smart_tuner.store.queue import Queue
from smart_tuner.store.statements import Attempt, paused_attempts
from smart_tuner.store.storage import open_storage
from smart_tuner.terminal.tally import TallyCache

SPEC = study_spec(pruner={"kind": "promotion"}, objective={"metric": "validation_loss"})  # rungs: reports 1 and 2 of 4
NOT_PROMOTED = {Attr.CAUSE: Cause.NOT_PROMOTED.value, Attr.REASON: "the study ended"}


def report(queue: Queue, trial: Trial, index: int, loss: float) -> None:
    suggest(trial, SPEC.search)
    scores = {str(i): 0.9 for i in range(1, index + 1)}
    for i in range(1, index + 1):
        assert queue.report(trial, i, loss, {Attr.ALIGNMENT: scores})


def pause(queue: Queue, trial: Trial, index: int, loss: float) -> None:
    report(queue, trial, index, loss)
    where = {"index": index, "reason": f"loss {loss}", "time": time.time()}
    assert queue.pause(trial, user={Attr.PAUSED: where}, system={"constraints:alignment": -0.4})


def states(study: optuna.Study) -> list[str]:
    return [shown_state(trial) for trial in study.get_trials(deepcopy=False)]


def fill(url: str, losses: list[float], target: int | None = None) -> tuple[optuna.Study, Queue]:
    """A study of which one trial for each loss has paused at the first rung, and whose further ones run."""
    _, study, queue = open_queue(url, len(losses) if target is None else target, SPEC)
    running = [take(queue) for _ in losses]
    for trial, loss in zip(running, losses, strict=True):
        pause(queue, trial, 1, loss)
    return study, queue


@every_store
def test_a_paused_trial_waits_and_is_continued_where_it_paused(storage_url: str) -> None:
    study, queue = fill(storage_url, [3.0, 1.0, 2.0])
    assert states(study) == ["PAUSED"] * 3
    assert (list(queue.paused()), queue.finished(), queue.left(), queue.is_at_work()) == ([0, 1, 2], 0, 3, False)
    trial = take(queue)
    stored = queue.stored(trial)
    assert (trial.number, stored.state, stored.intermediate_values) == (1, TrialState.RUNNING, {1: 1.0})
    assert Attr.PAUSED not in stored.user_attrs
    assert stored.user_attrs[Attr.PROMOTED] == [1]
    assert stored.constraints == {"alignment": -0.4}
    pause(queue, trial, 2, 1.0)
    assert queue.stored(trial).user_attrs[Attr.PAUSED]["index"] == 2
    again = take(queue)
    assert (again.number, queue.stored(again).user_attrs[Attr.PROMOTED]) == (1, [1, 2])


def test_a_queue_that_cannot_choose_continues_no_paused_trial(storage_url: str) -> None:
    study, queue = fill(storage_url, [3.0, 1.0, 2.0])
    assert Queue(study, queue.storage, 3).take() is None
    assert take(Queue(study, queue.storage, 4)).number == 3


def test_interrupted_trials_come_first_and_new_ones_before_what_is_not_worth_it(storage_url: str) -> None:
    _, _, queue = open_queue(storage_url, 9, SPEC)
    for loss in (2.0, 3.0):
        pause(queue, take(queue), 1, loss)
    interrupted = take(queue)
    assert interrupted.number == 2  # of two at the rung, none goes on
    report(queue, interrupted, 1, 4.0)
    queue.give_back(interrupted)
    assert [take(queue).number for _ in range(3)] == [2, 0, 3]  # of three, one goes on


def test_a_trial_that_another_worker_has_taken_over_cannot_pause(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 1, SPEC)
    trial = take(queue)
    queue.give_back(trial)
    assert take(queue).number == 0
    assert not queue.pause(trial, user={Attr.PAUSED: {"index": 1, "reason": "", "time": 0}})
    assert states(study) == ["RUNNING"]


def test_pausing_twice_is_the_same_as_once(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 1, SPEC)
    trial = take(queue)
    pause(queue, trial, 1, 2.0)
    pause_again = {Attr.PAUSED: {"index": 1, "reason": "again", "time": 0}}
    assert queue.pause(trial, user=pause_again)  # as after a connection that broke before the answer came
    assert study.trials[0].user_attrs[Attr.PAUSED]["reason"] == "loss 2.0"
    queue.give_back(trial)  # as after any unfinished trial
    assert states(study) == ["PAUSED"]


@every_store
def test_threads_never_continue_one_trial_twice(storage_url: str) -> None:
    """Every worker runs to the next rung, pauses there, and takes the next one, until nothing is worth it."""
    _, study, queue = open_queue(storage_url, 12, SPEC)

    def work(_: int) -> list[tuple[int, int]]:
        taken = []
        while (trial := queue.take()) is not None:
            begun = queue.stored(trial).last_step or 0
            taken.append((trial.number, begun))
            if begun == 2:
                finish(queue, trial, float(trial.number))
            else:
                pause(queue, trial, begun + 1, float(trial.number))
        return taken

    with ThreadPoolExecutor(6) as pool:
        starts = [start for taken in pool.map(work, range(6)) for start in taken]
    assert len(starts) == len(set(starts))  # no trial was continued twice from one rung
    assert sorted(number for number, begun in starts if begun == 0) == list(range(12))
    left = list(queue.paused())
    assert queue.end_paused(lambda why: NOT_PROMOTED) == left
    found = study.get_trials(deepcopy=False)
    assert [trial.number for trial in found if trial.state is TrialState.PRUNED] == left
    assert [trial.number for trial in found if trial.state is TrialState.COMPLETE] == [
        number for number in range(12) if number not in left
    ]
    assert queue.left() == 0


@pytest.mark.slow
def test_processes_share_paused_trials_exactly(storage_url: str) -> None:
    workers = [pauser(storage_url, 9) for _ in range(3)]
    outputs = [worker.communicate(timeout=60) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 3, outputs
    starts = [line for out, _ in outputs for line in out.split("\n") if line]
    assert len(starts) == len(set(starts)), starts
    assert sum(line.endswith(" 0") for line in starts) == 9
    storage = open_storage(storage_url)
    trials = optuna.load_study(study_name="lab", storage=storage).trials
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_the_study_ends_when_nothing_runs_and_nothing_is_worth_it(storage_url: str) -> None:
    study, queue = fill(storage_url, [3.0, 1.0, 2.0])
    assert queue.end_paused(lambda why: NOT_PROMOTED) == []  # one of three is worth it
    trial = take(queue)
    assert queue.take() is None
    assert queue.end_paused(lambda why: NOT_PROMOTED) == []  # it runs
    finish(queue, trial, 1.0)
    more = Queue(study, queue.storage, 4, queue._paused)
    assert more.end_paused(lambda why: NOT_PROMOTED) == []  # a new one may begin
    assert queue.end_paused(lambda why: NOT_PROMOTED) == [0, 2]
    assert states(study) == ["PRUNED", "COMPLETE", "PRUNED"]
    ended = study.trials[0]
    assert (ended.value, ended.user_attrs[Attr.CAUSE]) == (3.0, "not promoted")
    assert ended.user_attrs[Attr.PAUSED]["index"] == 1
    assert ended.datetime_complete is not None
    assert (queue.left(), queue.paused(), queue.take()) == (0, {}, None)


@every_store
def test_many_end_in_several_steps_until_more_are_asked_for(storage_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "_ENDED_AT_ONCE", 1)
    study, queue = fill(storage_url, [3.0, 1.0, 2.0, 4.0, 5.0])
    finish(queue, take(queue), 1.0)
    finish(queue, take(queue), 2.0)  # of five, two go on
    prune, steps = queue._prune_paused, []

    def prune_and_ask_for_more(*arguments: Any, **options: Any) -> list[int]:
        if len(steps) == 2:
            study.set_user_attr(StudyAttr.TARGET, 9)
        steps.append(prune(*arguments, **options))
        return steps[-1]

    monkeypatch.setattr(queue, "_prune_paused", prune_and_ask_for_more)
    assert queue.end_paused(lambda why: {Attr.REASON: f"the end; {why}"}) == [0, 3]
    assert steps == [[0], [3], []]
    assert study.trials[3].user_attrs[Attr.REASON] == "the end; loss 4.0"
    assert states(study) == ["PRUNED", "COMPLETE", "COMPLETE", "PRUNED", "PAUSED"]


@every_store
def test_trials_that_wait_beyond_the_target_take_up_no_place(storage_url: str) -> None:
    """They were better at the rung, but nobody goes on with them: without the first, the study would have none."""
    study, queue = fill(storage_url, [3.0, 1.0, 2.0])
    queue.give_back(take(queue))  # as where it is interrupted
    fewer = Queue(study, queue.storage, 1, queue._paused)
    assert fewer.end_paused(lambda why: NOT_PROMOTED) == []
    finish(fewer, take(fewer))
    assert fewer.take() is None
    assert states(study) == ["COMPLETE", "WAITING", "PAUSED"]
    assert fewer.left() == 0
    assert take(queue).number == 1  # as it was


def test_of_trials_beyond_the_target_the_worst_is_given_up_first(storage_url: str) -> None:
    study, queue = fill(storage_url, [3.0, 4.0, 1.0, 2.0])
    fewer = Queue(study, queue.storage, 2, queue._paused)
    assert list(fewer.paused()) == [0, 1, 2, 3]
    assert [fewer.give_up({0, 2, 3}, lambda why: NOT_PROMOTED) for _ in range(4)] == [3, 2, 0, None]
    assert states(study) == ["PRUNED", "PAUSED", "PRUNED", "PRUNED"]


def test_the_worst_is_given_up_first(storage_url: str) -> None:
    study, queue = fill(storage_url, [3.0, 1.0, 2.0])
    assert [queue.give_up({0, 1, 2}, lambda why: NOT_PROMOTED) for _ in range(4)] == [0, 2, 1, None]
    assert states(study) == ["PRUNED"] * 3


def test_a_trial_that_another_worker_continues_meanwhile_is_not_given_up(storage_url: str) -> None:
    study, queue = fill(storage_url, [3.0, 1.0, 2.0])
    other = Queue(study, queue.storage, 3, queue._paused)
    paused = queue._in_store(paused_attempts)
    assert take(other).number == 1
    assert queue._prune_paused(paused, lambda why: NOT_PROMOTED) == [0, 2]
    assert states(study) == ["PRUNED", "RUNNING", "PRUNED"]


def test_a_step_that_ends_one_and_is_sent_twice_ends_no_other(
    storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, queue = fill(storage_url, [3.0, 1.0, 2.0])
    send = queue.storage.transaction

    def send_twice(step: Any) -> Any:
        send(step)  # as where the connection breaks before the answer
        return send(step)

    monkeypatch.setattr(queue.storage, "transaction", send_twice)
    assert queue.give_up({0, 1, 2}, lambda why: {Attr.REASON: f"the disk; {why}"}) == 0
    assert states(study) == ["PRUNED", "PAUSED", "PAUSED"]
    assert (study.trials[0].value, study.trials[0].user_attrs[Attr.REASON]) == (3.0, "the disk; loss 3.0")


def test_where_another_worker_ends_one_for_another_reason_none_is_given_up_in_its_place(
    storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, queue = fill(storage_url, [3.0, 1.0, 2.0])
    choose = PausedTrials.least_worth

    def choose_while_another_ends_it(self: PausedTrials, paused: list[Attempt]) -> Attempt:
        chosen = choose(self, paused)
        assert Queue(study, queue.storage, 3, queue._paused)._prune_paused([chosen], lambda why: NOT_PROMOTED) == [0]
        return chosen

    monkeypatch.setattr(PausedTrials, "least_worth", choose_while_another_ends_it)
    assert queue.give_up({0, 1, 2}, lambda why: {Attr.CAUSE: Cause.DISK_LIMIT.value}) is None
    assert states(study) == ["PRUNED", "PAUSED", "PAUSED"]


def test_ended_ones_wait_again_where_their_checkpoint_is(storage_url: str) -> None:
    study, queue = fill(storage_url, [3.0, 1.0, 2.0])
    finish(queue, take(queue), 1.0)
    queue.end_paused(lambda why: NOT_PROMOTED)
    long_lived = optuna.load_study(study_name="lab", storage=queue.storage)
    assert states(long_lived) == ["PRUNED", "COMPLETE", "PRUNED"]
    assert revive(queue.storage, study, lambda number: number == 2) == [2]
    assert states(study) == ["PRUNED", "COMPLETE", "PAUSED"]
    again = study.trials[2]
    assert (again.value, again.datetime_complete, Attr.CAUSE in again.user_attrs) == (None, None, False)
    more = Queue(long_lived, queue.storage, 6, queue._paused)
    shown = _tally(long_lived, more, TallyCache())
    more.forget()
    assert states(long_lived) == ["PRUNED", "COMPLETE", "PAUSED"]
    assert (more.finished(), list(more.paused())) == (2, [2])
    tally = _tally(long_lived, more, TallyCache())
    assert (shown.finished, shown.revivals) == (3, 0)
    assert (tally.finished, len(tally.paused), tally.revivals) == (2, 1, 1)


def test_threads_choose_one_after_another(storage_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, queue = fill(storage_url, [3.0, 1.0, 2.0, 4.0, 5.0, 6.0])
    choose = PausedTrials.worthiest
    together = Barrier(2)
    chosen: list[Attempt | None] = []

    def choose_at_once(*arguments: Any, **options: Any) -> Attempt | None:
        with suppress(BrokenBarrierError):
            together.wait(0.2)  # for the other thread, which waits for us
        chosen.append(choose(*arguments, **options))
        return chosen[-1]

    monkeypatch.setattr(PausedTrials, "worthiest", choose_at_once)
    with ThreadPoolExecutor(2) as pool:
        taken = [trial.number for trial in pool.map(lambda _: take(queue), range(2))]
    assert sorted(taken) == [1, 2]
    assert len(chosen) == 2, "neither had to choose again"


def test_threads_that_find_nothing_share_one_look(storage_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, queue = fill(storage_url, [3.0, 1.0, 2.0])
    take(queue)  # the others are not worth it
    choose = PausedTrials.worthiest
    moments: list[float] = []  # at which each thread asked, and each look began
    looks: list[Attempt | None] = []

    def now() -> float:
        moments.append(time.monotonic())
        return moments[-1]

    def look_when_all_have_asked(*arguments: Any, **options: Any) -> Attempt | None:
        wait_until(lambda: len(moments) >= 5 + 1)
        looks.append(choose(*arguments, **options))
        return looks[-1]

    monkeypatch.setattr("smart_tuner.store.queue.time", SimpleNamespace(monotonic=now))
    monkeypatch.setattr(PausedTrials, "worthiest", look_when_all_have_asked)
    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(lambda _: queue.may_take(), range(5))) == [False] * 5
    assert looks == [None, None], "one that had begun, and one for all who asked since"


@every_store
def test_a_paused_trial_that_is_not_worth_it_cannot_be_taken(storage_url: str) -> None:
    study, queue = fill(storage_url, [3.0, 1.0, 2.0])
    assert queue.may_take()
    trial = take(queue)
    assert not queue.may_take()
    assert Queue(study, queue.storage, 4, queue._paused).may_take(), "a new one may begin"
    queue.give_back(trial)
    assert queue.may_take()


@every_store
def test_a_paused_trial_is_read_once_until_it_changes(storage_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study, _ = fill(storage_url, [3.0, 1.0, 2.0])
    read: list[int] = []

    def read_and_note(*arguments: Any) -> list[FrozenTrial]:
        found = read_trials(*arguments)
        read.extend(trial.number for trial in found)
        return found

    monkeypatch.setattr("smart_tuner.store.resting.read_trials", read_and_note)
    assert states(study) == ["PAUSED"] * 3
    assert sorted(read) == [0, 1, 2]
    read.clear()
    assert states(study) == ["PAUSED"] * 3
    assert not read
    _, _, other = open_queue(storage_url, 3, SPEC)
    pause(other, take(other), 2, 0.5)
    read.clear()
    paused = study.get_trials(deepcopy=False)
    assert read == [1], "it was continued, and has paused again, between two reads"
    assert paused[1].user_attrs[Attr.PAUSED]["index"] == 2
    finish(other, take(other))
    assert states(study) == ["PAUSED", "COMPLETE", "PAUSED"]


def test_the_curve_of_a_trial_that_went_on_between_two_reads_is_read_again(storage_url: str) -> None:
    study, queue = fill(storage_url, [3.0, 1.0, 2.0])
    curves = StudyCurves(study, queue.storage, SPEC.objective.figure)
    assert [max(curve) for curve in curves.all().values()] == [1, 1, 1]
    trial = take(queue)
    pause(queue, trial, 2, 0.5)
    assert [max(curve) for curve in curves.all().values()] == [1, 2, 1]
    trial = take(queue)
    report(queue, trial, 3, 0.5)
    finish(queue, trial)
    assert [max(curve) for curve in curves.all().values()] == [1, 3, 1]
    queue.target = 4
    begun = take(queue)
    report(queue, begun, 2, 4.0)
    queue.give_back(begun)
    assert [max(curve) for curve in curves.all().values()] == [1, 3, 1, 2]


def test_the_sampler_keeps_nothing_of_trials_that_have_paused(storage_url: str) -> None:
    study, queue = fill(storage_url, [3.0, 1.0, 2.0])
    sampler = study.sampler
    assert isinstance(sampler, LearnsFrom)
    assert isinstance(sampler._sampler, SamplerPerTrial)
    assert sampler._sampler._samplers == {}
    again = take(queue)
    suggest(again, SPEC.search)
    pause(queue, again, 2, 1.0)
    assert sampler._sampler._samplers == {}


def test_plain_optuna_sees_a_trial_that_waits(storage_url: str) -> None:
    fill(storage_url, [3.0, 1.0, 2.0])
    plain = optuna.load_study(study_name="lab", storage=RDBStorage(storage_url))
    assert {trial.state for trial in plain.trials} == {TrialState.WAITING}
    assert plain.ask().number == 0


def test_the_sampler_learns_from_paused_trials(tmp_path: Path) -> None:
    """With the same seed, a study whose trials have paused proposes what one whose trials were pruned proposes."""
    spec = study_spec(
        pruner={"kind": "promotion"},
        objective={"metric": "validation_loss"},
        sampler={"seed": 3, "startup_trials": 3},
        enqueue=[],
    )
    proposed = []
    for how in ("paused", "pruned", "running"):
        _, study, queue = open_queue(f"sqlite:///{tmp_path}/{how}.db", 20, spec)
        for trial in [take(queue) for _ in range(6)]:
            loss = suggest(trial, spec.search)["optimizer.lr"]
            if how == "paused":
                pause(queue, trial, 1, loss)
            else:
                report(queue, trial, 1, loss)
            if how == "pruned":
                assert queue.finish(trial, TrialState.PRUNED, system={"constraints:alignment": -0.4})
        proposed.append(suggest(take(Queue(study, queue.storage, 7)), spec.search))
    assert proposed[0] == proposed[1] != proposed[2]
