"""A study at one moment, as frozen values from events or from the store; `live_table` and `lines` show them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smart_tuner.figures import ALIGNMENT, LOSS, Figure
from smart_tuner.machine.load import Load
from smart_tuner.outcome import Cause

ENOUGH_TRIALS = 3  # ended ones that are needed to predict the time of the rest


@dataclass(frozen=True)
class Running:
    """A trial at work. None: not known."""

    number: int
    params: Mapping[str, Any]
    share: float | None = None  # of its budget
    reports: int = 0
    loss: float | None = None  # of the last validation; before the first validation, of training
    validated: bool = False  # whether the loss is of a validation
    alignment: float | None = None
    speed: float | None = None  # frames per second
    left: float | None = None  # seconds until its budget is spent
    age: float = 0.0  # seconds since it was started
    doing: str = ""  # in one or two words
    here: bool = True  # on this machine
    spoken: Mapping[str, float] = field(default_factory=dict)  # figures of what was heard last, by name
    correction: str = ""  # the last one, in one line
    replicate_of: int | None = None  # the trial whose setting it trains with another seed


@dataclass(frozen=True)
class Ended:
    """A trial that has ended, has paused, or waits to be continued."""

    number: int
    state: str
    loss: float | None = None
    alignment: float | None = None
    reason: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    cause: Cause | None = None  # why it was pruned or its attempt failed
    feasible: bool = True  # of a complete one
    spoken: Mapping[str, float] = field(default_factory=dict)  # figures of what is heard, by name
    value: float | None = None  # of a complete one: the figure that the study minimises
    replicate_of: int | None = None  # the trial whose setting it trained with another seed


def value_of(row: Running | Ended, figure: Figure) -> float | None:
    """The figure of a trial; None where it was not measured."""
    return {LOSS.name: row.loss, ALIGNMENT.name: row.alignment, **row.spoken}.get(figure.name)


@dataclass(frozen=True)
class Tally:
    """The trials of a study by the store.

    finished: of the search; replicates: finished ones beside them. ended, paused: newest first. waiting: interrupted
    ones. running: the numbers of those at work, on any machine. seconds: the usual time until a trial ends, pruned ones
    included; None if too few have ended. worked: seconds in which any trial was at work, without attempts that run now.
    revivals: how often finished trials that had paused were let wait again before this was read.
    """

    finished: int = 0
    pruned: Mapping[Cause, int] = field(default_factory=dict)
    failed: Mapping[Cause, int] = field(default_factory=dict)
    best: Ended | None = None
    ended: tuple[Ended, ...] = ()
    paused: tuple[Ended, ...] = ()
    waiting: tuple[Ended, ...] = ()
    running: frozenset[int] = frozenset()
    seconds: float | None = None
    worked: float = 0.0
    replicates: int = 0
    revivals: int = 0


@dataclass(frozen=True)
class View:
    """target: trials that are asked for. elsewhere: the number of trials at work that are not in `running`."""

    study: str
    target: int
    tally: Tally
    running: tuple[Running, ...] = ()
    elsewhere: int = 0
    elapsed: float | None = None
    load: Load | None = None
    notice: str = ""  # why it stops or waits
    goes_on: bool = True  # whether anything may still happen
    objective: Figure = LOSS

    def seconds_left(self) -> float | None:
        """Until the study has its trials, if the next ones take as long as those that ended; None if unpredictable."""
        each, at_work = self.tally.seconds, len(self.running) + self.elsewhere
        missing = self.target - self.tally.finished - len(self.tally.paused)
        if each is None or not at_work or missing <= 0 or self.notice:
            return None
        to_begin = max(0, missing - at_work)
        if not to_begin:
            rest = [each - row.age if row.left is None else row.left for row in self.running]
            return max(0.0, *rest, *([each / 2] if self.elsewhere else []))
        usual = [_usual_rest(row, each) for row in self.running] + [each / 2] * self.elsewhere
        return (sum(usual) + to_begin * each) / at_work


def _usual_rest(row: Running, each: float) -> float:
    """The rest of a trial that may be pruned: the usual time less its age, or past that the time to its full budget."""
    if row.age >= each:
        return row.left or 0.0
    return each - row.age if row.left is None else min(row.left, each - row.age)
