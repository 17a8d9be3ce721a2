"""Turns what happens in one study into messages.

Of several workers on a study only one sends each message. A new best is sent by the worker that ended the trial, and
anything else by the worker that claims it in the store first (`store.claims`). Everything here runs in a thread of its
own, since it reads the store.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.artifacts import ArtifactKind, artifacts_of, last_of
from smart_tuner.formatting import readable
from smart_tuner.masking import masked
from smart_tuner.notify.dispatcher import Dispatcher
from smart_tuner.notify.message import Level, Message
from smart_tuner.notify.texts import (
    ATTENTION_FAILS,
    BEST,
    CONTINUED,
    FINISHED,
    NO_SPACE,
    NONE_FEASIBLE,
    STARTED,
    STOPPED,
    THE_BEST,
    TIME_IS_UP,
    WORKER_LOST,
    Text,
    duration,
    say,
)
from smart_tuner.results import best_trial
from smart_tuner.sinks import Detached, Sink
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import Attr
from smart_tuner.store.claims import claim_once
from smart_tuner.store.control import Request, read_control
from smart_tuner.store.queue import Queue
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.verdict import State, Verdict
from smart_tuner.working_time import seconds_at_work, stored_spans
from smart_tuner.workspace import Workspace
from trainer.protocol import Event, all_events

BEST_SECONDS = 600.0  # between two messages of a new best
LOOKED_AT, FAILING = 8, 6  # attention fails "in most trials": in so many of the last ended ones


class NotificationSink:
    """A sink that also takes the study's beginning and end, and lost workers. For one thread."""

    def __init__(
        self, post: Dispatcher, spec: StudySpec, queue: Queue, storage: RetryingStorage, workspace: Workspace
    ) -> None:
        self._post, self._spec, self._queue = post, spec, queue
        self._storage, self._workspace = storage, workspace
        self._study: optuna.Study = queue.study
        self._had_work = False

    def study_began(self) -> None:
        done, target = self._queue.finished(), self._queue.target
        self._had_work = done < target and read_control(self._study).halt is None
        if self._had_work and self._may_tell(Level.INFO, "started", ""):
            self._say(Level.INFO, CONTINUED if done else STARTED, trials=target, done=done, jobs=self._post.jobs)

    def workers_lost(self, numbers: Sequence[int]) -> None:
        """numbers: the trials that this worker gave back; no other worker did."""
        self._say(Level.WARNING, WORKER_LOST, count=len(numbers), numbers=", ".join(map(str, numbers)))

    def trial_started(
        self, number: int, params: Mapping[str, Any], *, history: Sequence[Event] = (), resumed: bool
    ) -> None:
        pass

    def event(self, number: int, event: Event) -> None:
        pass

    def trial_ended(self, number: int, verdict: Verdict) -> None:
        if verdict.state is State.NO_SPACE and self._may_tell(Level.WARNING, f"space {self._post.machine}", ""):
            self._say(Level.WARNING, NO_SPACE, reason=verdict.reason)
        if verdict.state is State.COMPLETE:
            self._tell_best(number)
        if verdict.state.is_final:
            self._tell_attention()
        self.look_for_end()

    def look_for_end(self) -> None:
        """Send that the study is finished or halted, if it is."""
        if not self._had_work:
            return
        control = read_control(self._study)
        if self._queue.finished() >= control.target:
            if self._may_tell(Level.SUCCESS, "finished", str(control.target)):
                self._tell_finished()
        elif control.request is not Request.RUN:
            self._tell_halt(Level.INFO, STOPPED)
        elif control.halt is not None:
            self._tell_halt(Level.WARNING, TIME_IS_UP)

    def _tell_halt(self, level: Level, text: Text) -> None:
        if self._may_tell(level, "halted", ""):
            self._say(level, text, done=self._queue.finished(), trials=self._queue.target)

    def _tell_best(self, number: int) -> None:
        best = best_trial(self._study)
        if best is not None and best.number == number:
            done, target = self._queue.finished(), self._queue.target
            text = self._words(BEST, **_figures(best), done=done, trials=target)
            self._tell(Level.SUCCESS, text, picture=self._picture(best), topic="best", spacing=BEST_SECONDS)

    def _tell_attention(self) -> None:
        ended = [t for t in self._study.get_trials(deepcopy=False) if t.state.is_finished() and t.datetime_complete]
        last = sorted(ended, key=lambda trial: (trial.datetime_complete, trial.number))[-LOOKED_AT:]
        failing = sum(self._fails_to_align(trial) for trial in last)
        if failing >= FAILING and self._may_tell(Level.WARNING, "attention", ""):
            self._say(Level.WARNING, ATTENTION_FAILS, failing=failing, seen=len(last))

    def _fails_to_align(self, trial: FrozenTrial) -> bool:
        figures = trial.user_attrs.get(Attr.METRICS, {})
        return "alignment" in figures and figures["alignment"] < self._spec.constraints.alignment.at_least

    def _tell_finished(self) -> None:
        trials = self._study.get_trials(deepcopy=False)
        best, states = best_trial(self._study), Counter(trial.state for trial in trials)
        spans = (span for trial in trials for span in stored_spans(trial, until=time.time()))
        lines = [
            self._words(
                FINISHED,
                trials=self._queue.finished(),
                duration=duration(self._post.language, seconds_at_work(spans)),
                complete=states[TrialState.COMPLETE],
                pruned=states[TrialState.PRUNED],
                failed=states[TrialState.FAIL],
            )
        ]
        if best is None:
            lines.append(self._words(NONE_FEASIBLE))
        else:
            params = "\n".join(f"  {name} = {readable(value)}" for name, value in best.params.items())
            lines.append(self._words(THE_BEST, **_figures(best), params=params))
        self._tell(Level.SUCCESS, "\n".join(lines), picture=self._picture(best) if best else None, topic="best")

    def _picture(self, trial: FrozenTrial) -> Path | None:
        """The alignment at the trial's best validation, where this machine has it."""
        run_dir = self._workspace.run_dir(self._spec.name, trial.number)
        of_best = (each for each in artifacts_of(run_dir, all_events(run_dir.events)) if each.of_best)
        picture = last_of(of_best, ArtifactKind.ALIGNMENT)
        return picture.file if picture else None

    def _may_tell(self, level: Level, what: str, which: str) -> bool:
        return self._post.wants(level) and claim_once(self._storage, self._study, what, which)

    def _words(self, text: Text, **values: object) -> str:
        return masked(say(self._post.language, text, study=self._spec.name, machine=self._post.machine, **values))

    def _say(self, level: Level, text: Text, **values: object) -> None:
        self._tell(level, self._words(text, **values))

    def _tell(self, level: Level, text: str, *, topic: str | None = None, **more: Any) -> None:
        self._post.tell(Message(level, text, topic=f"{topic} of {self._spec.name}" if topic else None, **more))


@dataclass(frozen=True)
class Heralds:
    """sinks: empty where nothing is to be sent. workers_lost: takes the numbers of their trials; returns at once."""

    sinks: Sequence[Sink] = ()
    workers_lost: Callable[[Sequence[int]], None] = lambda numbers: None


@contextmanager
def notifying(
    post: Dispatcher, spec: StudySpec, queue: Queue, storage: RetryingStorage, workspace: Workspace
) -> Iterator[Heralds]:
    """Send the study's beginning, what happens in the block, and the study's end."""
    if not post.wants(Level.FAILURE):
        yield Heralds()
        return
    herald = NotificationSink(post, spec, queue, storage, workspace)
    behind = Detached(herald)
    behind.call(herald.study_began)
    try:
        yield Heralds([behind], lambda numbers: behind.call(partial(herald.workers_lost, numbers)))
    finally:
        behind.call(herald.look_for_end)  # which may have come by another worker, or by an order
        behind.close()


def _figures(trial: FrozenTrial) -> dict[str, object]:
    alignment = trial.user_attrs.get(Attr.METRICS, {}).get("alignment", float("nan"))
    return {"number": str(trial.number), "loss": f"{trial.value:.4f}", "alignment": f"{alignment:.2f}"}
