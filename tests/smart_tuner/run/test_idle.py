"""How often a worker without a trial asks the store, by a clock that the test moves."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy
from lab import open_queue, study_spec
from optuna.trial import TrialState
from queues import take

import smart_tuner.run.pool
from smart_tuner.machine.admission import FreeAdmission
from smart_tuner.machine.capacity import Capacity
from smart_tuner.run.context import Context
from smart_tuner.run.paused_ends import PausedEnds
from smart_tuner.run.pool import Pool
from smart_tuner.run.session import Session
from smart_tuner.run.trial import TrialLoop
from smart_tuner.store.control import Budget, Request, request_run, write_request
from smart_tuner.store.queue import Queue
from smart_tuner.workspace import Workspace

LIMIT = 180  # statements a minute, 60 of them for requests of people


class Waits:
    """In place of the pool's condition: its waits take no time. Meanwhile the pool watches every two seconds.

    until: seconds after which the worker is interrupted. at: what happens elsewhere, by the second.
    """

    def __init__(self, until: float, at: dict[int, Callable[[], object]]) -> None:
        self.now = 0.0
        self.waited: list[float] = []
        self._until = until
        self._at = at

    def begin(self, pool: Pool, session: Session) -> None:
        self._pool = pool
        self._session = session
        pool._news = cast(Any, self)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def notify_all(self) -> None:
        pass

    def wait_for(self, is_told: Callable[[], bool], seconds: float) -> bool:
        end = self.now + seconds
        begun = self.now
        while self.now < end and not is_told():
            self.now += 2
            self._at.pop(int(self.now), lambda: None)()
            self._pool._look_at(self._session, False)
            if self.now >= self._until:
                self._pool.interrupt("the test is over")
        self.waited.append(self.now - begun)
        return is_told()


class Idle:
    """A worker of a study of which all trials run in another queue."""

    def __init__(self, folder: Path, trials: int) -> None:
        self.spec = study_spec(enqueue=[])
        self.storage, self.study, self.other = open_queue(f"sqlite:///{folder}/studies.db", trials, self.spec)
        self.queue = Queue(self.study, cast(Any, self.storage), trials)
        request_run(self.study, Budget(trials), joins=False)
        self.trials = [take(self.other) for _ in range(trials)]
        self.statements = 0
        sqlalchemy.event.listen(self.storage.engine, "before_cursor_execute", self._count)
        ends = PausedEnds(self.spec, self.queue, Workspace(folder))
        loop = cast(TrialLoop, SimpleNamespace(end_paused=lambda: list(ends.end())))
        self.session = Session(self.spec, self.queue, loop)
        self.pool = Pool([self.session], cast(Context, None), Capacity(1, 1, ("cpu",)), FreeAdmission())

    def _count(self, *_: object) -> None:
        self.statements += 1

    def wait(self, until: float, **at: Callable[[], object]) -> tuple[bool, list[float]]:
        """Whether there is a trial now, and how long the waits for it were. at: s20=... at second 20."""
        self.waits = Waits(until, {int(name[1:]): act for name, act in at.items()})
        self.waits.begin(self.pool, self.session)
        self.statements = 0
        return self.pool._wait_for_a_trial(), self.waits.waited


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Idle]:
    monkeypatch.setattr(smart_tuner.run.pool, "WATCH_SECONDS", 2.0)
    return partial(Idle, tmp_path)


def test_while_nothing_changes_it_asks_less_and_less_often(begin: Callable[[int], Idle]) -> None:
    idle = begin(1)
    assert idle.wait(84) == (False, [2, 4, 8, 10, 10, 10, 10, 10, 10, 10])
    assert idle.statements / 84 * 60 <= LIMIT


def test_a_change_elsewhere_brings_it_back_to_short_waits(begin: Callable[[int], Idle]) -> None:
    idle = begin(2)

    def finish() -> None:
        assert idle.other.finish(idle.trials[0], TrialState.COMPLETE, 1.0)

    found, waited = idle.wait(100, s42=finish, s60=lambda: idle.other.give_back(idle.trials[1]))
    assert found
    assert waited == [2, 4, 8, 10, 10, 10, 2, 4, 8, 10]


def test_requests_of_people_wake_it(begin: Callable[[int], Idle]) -> None:
    idle = begin(1)
    found, waited = idle.wait(100, s30=lambda: request_run(idle.study, Budget(2), joins=True))
    assert found, "the target is higher"
    assert waited == [2, 4, 8, 10, 6]


def test_so_does_a_stop(begin: Callable[[int], Idle]) -> None:
    idle = begin(1)
    assert idle.wait(100, s20=lambda: write_request(idle.study, Request.STOP)) == (False, [2, 4, 8, 6])


def test_what_is_announced_while_it_asks_the_store_ends_the_wait_at_once(
    begin: Callable[[int], Idle], monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = begin(1)
    may_take = idle.session.may_take
    news = [idle.pool._announce_news]  # once

    def ask() -> bool:
        if idle.waits.now == 24 and news:
            news.pop()()
        return may_take()

    monkeypatch.setattr(idle.session, "may_take", ask)
    assert idle.wait(40) == (False, [2, 4, 8, 10, 0, 2, 4, 8, 2])
