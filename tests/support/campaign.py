"""Rounds of the fault campaign: faults at random moments, each followed until all that it struck has gone on."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from arena import Arena, events_of
from invariants import check_end, check_now, check_opens
from strikes import Field, Strike

from smart_tuner.run.pool import FAILURES_IN_A_ROW
from trainer.protocol import Event, EventKind

Fault = Callable[[Field], Strike]
RATE = 4.0  # seconds that a fault takes; the trials are paced by it, so that they last as long as the faults
SLOTS = 2  # trials at once in each worker


@dataclass
class Tally:
    """What came of all faults so far. Filled even by a round that fails."""

    seed: str
    strikes: list[tuple[str, Strike]] = field(default_factory=list)  # the store, the strike
    trials: int = 0
    failed: list[str] = field(default_factory=list)  # rounds, and after which kind of fault
    skipped: list[str] = field(default_factory=list)


def fight(at: Field, faults: Sequence[Fault], tally: Tally, store: str, name: str) -> None:
    """Let the faults strike in a random order, then let the study come to its end."""
    faults = list(faults)
    at.rng.shuffle(faults)
    at.arena.wait(at.arena.at_work, "the first trial is at work")
    for done, fault in enumerate(faults):
        place = f"seed {tally.seed}, round {name}, fault {done + 1} of {len(faults)}: {fault.__name__}"
        try:
            keep_pace(at.arena, len(faults) - done)
            at.arena.sleep(at.rng.uniform(0, 1.2))
            strike = fault(at)
            place = f"seed {tally.seed}, round {name}, fault {done + 1} of {len(faults)}: {strike}"
            follow(at, strike)
        except Exception as error:
            tally.failed.append(f"{name}: {fault.__name__}")
            raise AssertionError(f"{place}\n{type(error).__name__}: {error}\n{at.arena.describe()}") from error
        tally.strikes.append((store, strike))
    try:
        finish(at)
    except Exception as error:
        tally.failed.append(f"{name}: its end")
        place = f"seed {tally.seed}, end of round {name}"
        raise AssertionError(f"{place}\n{type(error).__name__}: {error}\n{at.arena.describe()}") from error
    tally.trials += at.arena.target


def keep_pace(arena: Arena, faults_left: int) -> None:
    """Trials that last as long as the faults; where they do not, more of them."""
    places = SLOTS * max(1, sum(worker.wanted for worker in arena.workers))
    left = arena.target * arena.reports - sum(arena.reports if row.finished else row.reached for row in arena.rows())
    if left < places * arena.reports / 2:
        arena.file(arena.target + 2)
    seconds = (faults_left + 1) * RATE * places / max(1, left)
    arena.pace(min(2.0, max(0.1, seconds)))


def follow(at: Field, strike: Strike) -> None:
    """Until each trial has said something new, or ended; then look at everything."""
    strike.over = time.monotonic()
    arena = at.arena
    for number, struck in strike.trials.items():
        struck.reached = max(struck.reached, arena.reached(number))  # of what it said while the fault went on

    def all_went_on() -> bool:
        rows = {row.number: row for row in arena.rows()}
        return all(
            rows[number].finished or rows[number].reached > struck.reached for number, struck in strike.trials.items()
        )

    arena.wait(all_went_on, "the trials go on")
    strike.seconds = time.monotonic() - strike.over
    for number, struck in strike.trials.items():
        record = arena.record(number)
        before, after = events_of(record[: struck.size]), events_of(record[struck.size :])
        start = next((i for i, event in enumerate(after) if event.kind is EventKind.STARTED), None)
        if start is None:
            continue
        resumed = after[start].update
        assert resumed >= struck.good, f"trial {number} went on from update {resumed}, not from {struck.good}"
        before_it, since = _reports(before + after[:start]), _reports(after[start:])
        strike.again.append(max(0, max(before_it) - since[0] + 1) if before_it and since else 0)
    assert FAILURES_IN_A_ROW * arena.broken <= sum(at.failures.values()), "a worker gave up too soon"
    check_now(arena)
    check_opens(arena)


def _reports(events: Sequence[Event]) -> list[int]:
    return [event.data["index"] for event in events if event.kind is EventKind.VALIDATION]


def finish(at: Field) -> None:
    arena = at.arena
    arena.pace(0.02)
    arena.wait(lambda: sum(row.finished for row in arena.rows()) >= arena.target, "the study has its trials", 90)
    arena.sleep(0.5)  # nobody begins another one
    arena.end_workers()
    check_end(arena, at.expected)


HEAD = ("fault", "times", "trials struck", "reports again: max", "mean", "went on after, s: max", "mean", "verdict")


def table(tally: Tally) -> str:
    """Markdown."""
    rows = [HEAD, tuple("---" if i == 0 else "---:" for i in range(len(HEAD)))]
    kinds = sorted({strike.kind for _, strike in tally.strikes})
    for kind in kinds:
        strikes = [strike for _, strike in tally.strikes if strike.kind == kind]
        rows.append((kind, *_figures(strikes)))
    rows.append(("all", *_figures([strike for _, strike in tally.strikes])))
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    stores = {store: sum(1 for s, _ in tally.strikes if s == store) for store, _ in tally.strikes}
    told = ", ".join(f"{count} over {store}" for store, count in stores.items())
    verdict = f"Failed: {', '.join(tally.failed)}." if tally.failed else "None was lost, none ended twice."
    total = f"Seed {tally.seed}: {len(tally.strikes)} faults ({told}), {tally.trials} trials. {verdict}"
    return "\n".join([total, "", *lines, *(f"\nLeft out: {why}" for why in tally.skipped)])


def _figures(strikes: Sequence[Strike]) -> tuple[str, ...]:
    again = [count for strike in strikes for count in strike.again]
    seconds = [strike.seconds for strike in strikes]
    return (
        str(len(strikes)),
        str(sum(len(strike.trials) for strike in strikes)),
        str(max(again, default=0)),
        f"{statistics.mean(again) if again else math.nan:.2f}".replace("nan", "-"),
        f"{max(seconds, default=0):.1f}",
        f"{statistics.mean(seconds) if seconds else 0:.1f}",
        "ok",
    )
