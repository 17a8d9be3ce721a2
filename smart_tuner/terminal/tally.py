"""The tally of a study from the store: counts, the best trial, and each trial that has ended, with its reason."""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.figures import missed
from smart_tuner.outcome import Cause
from smart_tuner.results import feasible_of
from smart_tuner.store.attributes import PAUSED, Attr, shown_state, stored_cause
from smart_tuner.store.replicates import is_replicate
from smart_tuner.terminal.view import ENOUGH_TRIALS, Ended, Tally
from smart_tuner.working_time import Span, seconds_at_work, stored_spans
from trainer.evaluation.verdict import PREFIX

_NEWEST = 50  # trials whose duration predicts that of the next ones best


class TallyCache:
    """What was worked out of the trials of one study, for the next tally. Optuna reads a trial that changes anew."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[FrozenTrial, Ended]] = {}
        self._spans: dict[int, tuple[FrozenTrial, list[Span]]] = {}

    def row(self, trial: FrozenTrial) -> Ended:
        return _once(self._rows, trial, _paused if _is_paused(trial) else _ended)

    def spans(self, trial: FrozenTrial) -> list[Span]:
        return _once(self._spans, trial, stored_spans)


_T = TypeVar("_T")


def _once(known: dict[int, tuple[FrozenTrial, _T]], trial: FrozenTrial, of: Callable[[FrozenTrial], _T]) -> _T:
    before = known.get(trial.number)
    if before is not None and before[0] is trial:
        return before[1]
    known[trial.number] = trial, (found := of(trial))
    return found


def tally_of(trials: Sequence[FrozenTrial], rows: int | None = None, kept: TallyCache | None = None) -> Tally:
    """trials: all of a study. rows: how many of the newest ended ones it has; None: all. kept: of its last tally."""
    kept = kept or TallyCache()
    finished = sorted((t for t in trials if t.state.is_finished()), key=_end, reverse=True)
    best = next(iter(feasible_of(trials)), None)
    return Tally(
        finished=sum(not is_replicate(trial) for trial in finished),
        replicates=sum(is_replicate(trial) for trial in finished),
        pruned=_causes(finished, TrialState.PRUNED),
        failed=_causes(finished, TrialState.FAIL),
        best=kept.row(best) if best else None,
        ended=tuple(kept.row(trial) for trial in finished[:rows]),
        paused=tuple(kept.row(t) for t in sorted(filter(_is_paused, trials), key=_paused_at, reverse=True)),
        waiting=tuple(_waiting(t) for t in trials if t.state is TrialState.WAITING and t.params and not _is_paused(t)),
        running=frozenset(trial.number for trial in trials if trial.state is TrialState.RUNNING),
        seconds=_usual_seconds(finished),
        worked=seconds_at_work(span for trial in trials for span in kept.spans(trial)),
    )


def _end(trial: FrozenTrial) -> tuple[datetime, int]:
    return trial.datetime_complete or datetime.min, trial.number


def _is_paused(trial: FrozenTrial) -> bool:
    return shown_state(trial) == PAUSED


def _paused_at(trial: FrozenTrial) -> float:
    return float(trial.user_attrs[Attr.PAUSED]["time"])


def _usual_seconds(finished: Sequence[FrozenTrial]) -> float | None:
    taken = [seconds_at_work(spans) for trial in finished[:_NEWEST] if (spans := stored_spans(trial))]
    return statistics.fmean(taken) if len(taken) >= ENOUGH_TRIALS else None


def _causes(trials: Sequence[FrozenTrial], state: TrialState) -> Mapping[Cause, int]:
    return Counter(cause for t in trials if t.state is state and (cause := stored_cause(t)) is not None)


def _ended(trial: FrozenTrial) -> Ended:
    metrics = trial.user_attrs.get(Attr.METRICS, {})
    complete = trial.state is TrialState.COMPLETE
    feasible = not complete or trial.user_attrs.get(Attr.FEASIBLE, True)
    return Ended(
        number=trial.number,
        state=trial.state.name,
        loss=metrics.get("validation_loss"),
        alignment=metrics.get("alignment"),
        reason=str(trial.user_attrs.get(Attr.REASON, "")) if feasible else _not_feasible(trial),
        params=trial.params,
        cause=stored_cause(trial),
        feasible=feasible,
        spoken={name: value for name, value in metrics.items() if name.startswith(PREFIX)},
        value=trial.value if complete else None,
        replicate_of=trial.user_attrs.get(Attr.REPLICATE_OF),
    )


def _not_feasible(trial: FrozenTrial) -> str:
    why = missed(trial.constraints)
    return f"cannot be the best{': ' if why else ''}{why}"


def _paused(trial: FrozenTrial) -> Ended:
    return replace(_ended(trial), state=PAUSED, reason=trial.user_attrs[Attr.PAUSED]["reason"], feasible=True)


def _waiting(trial: FrozenTrial) -> Ended:
    failures = trial.user_attrs.get(Attr.FAILURES, [])
    why = f": {failures[-1]['reason']}" if failures else ""
    return Ended(
        trial.number,
        "WAITING",
        reason=f"interrupted, will be continued{why}",
        params=trial.params,
        replicate_of=trial.user_attrs.get(Attr.REPLICATE_OF),
    )
