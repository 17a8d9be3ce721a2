"""Turns what happens in one study into messages.

When several workers run a study, each message is sent by one of them only: a new best by the worker that ended the
trial, any other message by the worker that claims it in the store first (`store.claims`). All of this runs in a thread
of its own, since it reads the store.
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
from smart_tuner.figures import names_of_missed
from smart_tuner.figures import objective as figure_of
from smart_tuner.formatting import readable
from smart_tuner.masking import masked
from smart_tuner.notify.attention import attention_of
from smart_tuner.notify.dispatcher import Dispatcher
from smart_tuner.notify.message import Level, Message
from smart_tuner.notify.texts import (
    ADVICE,
    ATTENTION_FAILS,
    BEST,
    CONTINUED,
    FINISHED,
    FRAMES_ARE_TRAINED,
    MISSED,
    NEAREST,
    NO_SPACE,
    NONE_FEASIBLE,
    OBJECTIVES,
    STARTED,
    STOPPED,
    THE_BEST,
    TIME_IS_UP,
    UNFINISHED,
    VERDICTS,
    WORKER_LOST,
    Text,
    duration,
    render,
)
from smart_tuner.outcome import Outcome, State
from smart_tuner.results import best_trial, nearest_trial
from smart_tuner.sinks import Detached, Sink
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import Attr
from smart_tuner.store.claims import claim_once
from smart_tuner.store.control import Request, read_control
from smart_tuner.store.queue import Queue
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.working_time import seconds_at_work, stored_spans
from smart_tuner.workspace import Workspace
from trainer.evaluation.verdict import Heard, heard
from trainer.protocol import Event, all_events

BEST_SECONDS = 600.0  # between two messages of a new best


class NotificationSink:
    """A sink that also reports the study's start and end, and lost workers. Not thread-safe."""

    def __init__(
        self, dispatcher: Dispatcher, spec: StudySpec, queue: Queue, storage: RetryingStorage, workspace: Workspace
    ) -> None:
        self._dispatcher = dispatcher
        self._spec = spec
        self._queue = queue
        self._storage = storage
        self._workspace = workspace
        self._study: optuna.Study = queue.study
        self._had_work = False

    def study_started(self) -> None:
        done, target = self._queue.finished(), self._queue.target
        self._had_work = self._queue.left() > 0 and read_control(self._study).halt is None
        if self._had_work and self._claims(Level.INFO, "started", ""):
            self._send_text(
                Level.INFO, CONTINUED if done else STARTED, trials=target, done=done, jobs=self._dispatcher.jobs
            )

    def workers_lost(self, numbers: Sequence[int]) -> None:
        """numbers: the trials that this worker gave back; no other worker did."""
        self._send_text(Level.WARNING, WORKER_LOST, count=len(numbers), numbers=", ".join(map(str, numbers)))

    def trial_started(
        self,
        number: int,
        params: Mapping[str, Any],
        *,
        history: Sequence[Event] = (),
        resumed: bool,
        promoted: bool = False,
        replicate_of: int | None = None,
    ) -> None:
        pass

    def event(self, number: int, event: Event) -> None:
        pass

    def trial_ended(self, number: int, outcome: Outcome) -> None:
        if outcome.state is State.NO_SPACE and self._claims(Level.WARNING, f"space {self._dispatcher.machine}", ""):
            self._send_text(Level.WARNING, NO_SPACE, reason=outcome.reason)
        if outcome.state is State.COMPLETE:
            self._send_best(number)
        if outcome.state.is_final or outcome.state is State.PAUSED:
            self._send_attention()
        self.look_for_end()

    def paused_ended(self, number: int, outcome: Outcome) -> None:
        self.look_for_end()

    def look_for_end(self) -> None:
        """Report that the study is finished or halted, if it is."""
        if not self._had_work:
            return
        control = read_control(self._study)
        if self._queue.left() <= 0:
            if self._claims(Level.SUCCESS, "finished", str(control.target)):
                self._send_finished()
        elif control.request is not Request.RUN:
            self._send_halt(Level.INFO, STOPPED)
        elif control.has_trained_all:
            self._send_halt(Level.WARNING, FRAMES_ARE_TRAINED, frames=f"{control.frames:,}")
        elif control.halt is not None:
            self._send_halt(Level.WARNING, TIME_IS_UP)

    def _send_halt(self, level: Level, text: Text, **values: object) -> None:
        if self._claims(level, "halted", ""):
            self._send_text(level, text, done=self._queue.finished(), trials=self._queue.target, **values)

    def _send_best(self, number: int) -> None:
        best = best_trial(self._study)
        if best is not None and best.number == number:
            done, target = self._queue.finished(), self._queue.target
            text = self._text(BEST, **self._figures(best), done=done, trials=target)
            self._send(Level.SUCCESS, text, picture=self._picture(best), topic="best", spacing=BEST_SECONDS)

    def _send_attention(self) -> None:
        found = attention_of(self._study.get_trials(deepcopy=False), self._spec)
        if found.fails and self._claims(Level.WARNING, "attention", ""):
            self._send_text(Level.WARNING, ATTENTION_FAILS, failing=found.failing, seen=found.seen)

    def _send_finished(self) -> None:
        trials = self._study.get_trials(deepcopy=False)
        best, states = best_trial(self._study), Counter(trial.state for trial in trials)
        spans = (span for trial in trials for span in stored_spans(trial, until=time.time()))
        lines = [
            self._text(
                FINISHED,
                trials=self._queue.finished(),
                duration=duration(self._dispatcher.language, seconds_at_work(spans)),
                complete=states[TrialState.COMPLETE],
                pruned=states[TrialState.PRUNED],
                failed=states[TrialState.FAIL],
            )
        ]
        if best is None:
            nearest = nearest_trial(self._study)
            texts = {"nearest": self._nearest(nearest), "advice": self._render(ADVICE[_heard(nearest)])}
            lines.append(self._text(NONE_FEASIBLE, **texts))
        else:
            params = "\n".join(f"  {name} = {readable(value)}" for name, value in best.params.items())
            lines.append(self._text(THE_BEST, **self._figures(best), params=params))
        self._send(Level.SUCCESS, "\n".join(lines), picture=self._picture(best) if best else None, topic="best")

    def _nearest(self, trial: FrozenTrial | None) -> str:
        """Why the nearest trial is not feasible; empty without one."""
        if trial is None:
            return ""
        names = names_of_missed(trial.constraints)
        missed = [self._render(MISSED.get(name, Text(name, name))) for name in names] or [self._render(UNFINISHED)]
        return self._text(NEAREST, number=str(trial.number), missed=", ".join(missed))

    def _figures(self, trial: FrozenTrial) -> dict[str, object]:
        objective = figure_of(self._spec.objective.metric)
        assert trial.value is not None
        words = f"{objective.words} {{value}}"
        text = OBJECTIVES.get(objective.name, Text(words, words))
        figure = render(self._dispatcher.language, text, value=objective.text(trial.value))
        alignment = trial.user_attrs.get(Attr.METRICS, {}).get("alignment", float("nan"))
        verdict = _heard(trial)
        return {
            "number": str(trial.number),
            "figure": figure,
            "alignment": f"{alignment:.2f}",
            "heard": self._render(VERDICTS[verdict]),
            "advice": f" {self._render(ADVICE[verdict])}" if verdict else "",
        }

    def _render(self, text: Text) -> str:
        return render(self._dispatcher.language, text)

    def _picture(self, trial: FrozenTrial) -> Path | None:
        """The alignment at the trial's best validation, where this machine has it."""
        run_dir = self._workspace.run_dir(self._spec.name, trial.number)
        of_best = (artifact for artifact in artifacts_of(run_dir, all_events(run_dir.events)) if artifact.of_best)
        picture = last_of(of_best, ArtifactKind.ALIGNMENT)
        return picture.file if picture else None

    def _claims(self, level: Level, what: str, which: str) -> bool:
        return self._dispatcher.wants(level) and claim_once(self._storage, self._study, what, which)

    def _text(self, text: Text, **values: object) -> str:
        return masked(
            render(self._dispatcher.language, text, study=self._spec.name, machine=self._dispatcher.machine, **values)
        )

    def _send_text(self, level: Level, text: Text, **values: object) -> None:
        self._send(level, self._text(text, **values))

    def _send(self, level: Level, text: str, *, topic: str | None = None, **more: Any) -> None:
        self._dispatcher.send(Message(level, text, topic=f"{topic} of {self._spec.name}" if topic else None, **more))


@dataclass(frozen=True)
class Notifications:
    """sinks: empty if no channel is configured. workers_lost: reports lost trials by number; returns at once."""

    sinks: Sequence[Sink] = ()
    workers_lost: Callable[[Sequence[int]], None] = lambda numbers: None


@contextmanager
def notifying(
    dispatcher: Dispatcher, spec: StudySpec, queue: Queue, storage: RetryingStorage, workspace: Workspace
) -> Iterator[Notifications]:
    """Report the study's start, what happens in the block, and the study's end."""
    if not dispatcher.wants(Level.FAILURE):
        yield Notifications()
        return
    sink = NotificationSink(dispatcher, spec, queue, storage, workspace)
    detached = Detached(sink)
    detached.call(sink.study_started)
    try:
        yield Notifications([detached], lambda numbers: detached.call(partial(sink.workers_lost, numbers)))
    finally:
        detached.call(sink.look_for_end)  # another worker may have finished it, or a request halted it
        detached.close()


def _heard(trial: FrozenTrial | None) -> Heard | None:
    return heard(trial.user_attrs.get(Attr.METRICS, {})) if trial else None
