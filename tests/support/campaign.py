"""Rounds of the fault campaign: faults at random moments. After each, wait until all trials it hit have continued."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deployment import Deployment, events_of
from fault_injection import Injection, Injector
from invariants import check_end, check_now, check_opens

from smart_tuner.run.pool import FAILURES_IN_A_ROW
from trainer.protocol import Event, EventKind

Fault = Callable[[Injector], Injection]
PAUSING_PACE = 4.0  # seconds that a report takes in rounds in which trials pause
RATE = 4.0  # seconds that a fault takes; trials are slowed so that they last as long as the faults


@dataclass
class Tally:
    """The results of all faults so far. A round that fails also adds to it."""

    seed: str
    injections: list[tuple[str, Injection]] = field(default_factory=list)  # kind of store, injection
    trials: int = 0
    failed: list[str] = field(default_factory=list)  # round and kind of fault
    skipped: list[str] = field(default_factory=list)


def run_round(injector: Injector, faults: Sequence[Fault], tally: Tally, store: str, name: str) -> None:
    """Cause the faults in a random order, then let the study finish."""
    faults = list(faults)
    injector.rng.shuffle(faults)
    injector.deployment.wait(injector.deployment.at_work, "the first trial is at work")
    for done, fault in enumerate(faults):
        place = f"seed {tally.seed}, round {name}, fault {done + 1} of {len(faults)}: {fault.__name__}"
        try:
            keep_pace(injector.deployment, len(faults) - done)
            injector.deployment.sleep(injector.rng.uniform(0, 1.2))
            injection = fault(injector)
            place = f"seed {tally.seed}, round {name}, fault {done + 1} of {len(faults)}: {injection}"
            follow(injector, injection)
        except Exception as error:
            tally.failed.append(f"{name}: {fault.__name__}")
            raise AssertionError(
                f"{place}\n{type(error).__name__}: {error}\n{injector.deployment.describe()}"
            ) from error
        print(f"{place}: ok", flush=True)  # shown with `pytest -s`
        tally.injections.append((store, injection))
    try:
        finish(injector)
    except Exception as error:
        tally.failed.append(f"{name}: its end")
        place = f"seed {tally.seed}, end of round {name}"
        raise AssertionError(f"{place}\n{type(error).__name__}: {error}\n{injector.deployment.describe()}") from error
    tally.trials += injector.deployment.target


def keep_pace(deployment: Deployment, faults_left: int) -> None:
    """Slow the trials so that they last as long as the faults; add trials if that is not enough.

    Where trials pause, it is not known how many reports are to come: further trials begin as long as there are faults.
    """
    slots = deployment.jobs * max(1, sum(worker.wanted for worker in deployment.workers))
    if deployment.pauses:
        if deployment.target - len(deployment.rows()) < slots:
            deployment.submit(deployment.target + 2 * slots)
        deployment.pace(PAUSING_PACE)
        return
    left = deployment.target * deployment.reports - sum(
        deployment.reports if row.finished or row.paused else row.reached for row in deployment.rows()
    )
    if left < slots * deployment.reports / 2:
        deployment.submit(deployment.target + 2)
    seconds = (faults_left + 1) * RATE * slots / max(1, left)
    deployment.pace(min(2.0, max(0.1, seconds)))


def follow(injector: Injector, injection: Injection) -> None:
    """Wait until each trial has reported something new or ended; then check everything."""
    injection.over = time.monotonic()
    deployment = injector.deployment
    for number, trial in injection.trials.items():
        trial.reached = max(trial.reached, deployment.reached(number))  # it may have reported during the fault

    def all_continued() -> bool:
        rows = {row.number: row for row in deployment.rows()}
        return all(
            rows[number].finished or rows[number].paused or rows[number].reached > trial.reached
            for number, trial in injection.trials.items()
        )

    deployment.wait(all_continued, "the trials continue")
    injection.seconds = time.monotonic() - injection.over
    for number, trial in injection.trials.items():
        record = deployment.record(number)
        before, after = events_of(record[: trial.size]), events_of(record[trial.size :])
        start = next((i for i, event in enumerate(after) if event.kind is EventKind.STARTED), None)
        if start is None:
            continue
        resumed = after[start].update
        assert resumed >= trial.good, f"trial {number} continued from update {resumed}, not from {trial.good}"
        earlier = _reports(before + after[:start])
        later = _reports(after[start:])
        injection.again.append(max(0, max(earlier) - later[0] + 1) if earlier and later else 0)
    assert FAILURES_IN_A_ROW * deployment.broken <= sum(injector.failures.values()), "a worker gave up too soon"
    check_now(deployment)
    check_opens(deployment)


def _reports(events: Sequence[Event]) -> list[int]:
    return [event.data["index"] for event in events if event.kind is EventKind.VALIDATION]


def finish(injector: Injector) -> None:
    deployment = injector.deployment
    deployment.pace(0.02)
    deployment.wait(
        lambda: sum(row.finished for row in deployment.rows()) >= deployment.target,
        "the study has its trials",
        2 * deployment.patience,
    )
    deployment.sleep(0.5)  # no worker begins another trial
    deployment.end_workers()
    check_end(deployment, injector.expected)


HEAD = ("fault", "times", "trials hit", "repeated reports: max", "mean", "continued after, s: max", "mean", "verdict")


def table(tally: Tally) -> str:
    """In Markdown."""
    rows = [HEAD, tuple("---" if i == 0 else "---:" for i in range(len(HEAD)))]
    kinds = sorted({injection.kind for _, injection in tally.injections})
    for kind in kinds:
        injections = [injection for _, injection in tally.injections if injection.kind == kind]
        rows.append((kind, *_figures(injections)))
    rows.append(("all", *_figures([injection for _, injection in tally.injections])))
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    stores = {store: sum(1 for s, _ in tally.injections if s == store) for store, _ in tally.injections}
    over = ", ".join(f"{count} over {store}" for store, count in stores.items())
    verdict = f"Failed: {', '.join(tally.failed)}." if tally.failed else "No trial was lost, none ended twice."
    total = f"Seed {tally.seed}: {len(tally.injections)} faults ({over}), {tally.trials} trials. {verdict}"
    return "\n".join([total, "", *lines, *(f"\nSkipped: {why}" for why in tally.skipped)])


def _figures(injections: Sequence[Injection]) -> tuple[str, ...]:
    again = [count for injection in injections for count in injection.again]
    seconds = [injection.seconds for injection in injections]
    return (
        str(len(injections)),
        str(sum(len(injection.trials) for injection in injections)),
        str(max(again, default=0)),
        f"{statistics.mean(again) if again else math.nan:.2f}".replace("nan", "-"),
        f"{max(seconds, default=0):.1f}",
        f"{statistics.mean(seconds) if seconds else 0:.1f}",
        "ok",
    )
