"""What corrections are decided by: the figures of a run's reports, and what was tried so far.

Frozen, and stored in `last.pt` as text and numbers, so that a resumed run on a CPU decides as an uninterrupted one. On
CUDA the update from which exploding gradients are no longer clipped depends on when the device has its figures.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from trainer.corrections.correction import Action, Cause, Correction
from trainer.corrections.gradients import Clipping

COOL_DOWN_REPORTS = 2  # before the next correction, so that its effect is not taken for that of the one before


@dataclass(frozen=True)
class Report:
    """A validation. update, frames: when. loss, alignment: with a teacher; the loss may be NaN, the alignment, 0..1, is
    NaN for short texts. distance, in dB to the recordings, and heard_alignment, 0..1: of speech without a teacher; NaN
    where there was none."""

    update: int
    frames: int
    loss: float
    alignment: float
    distance: float = math.nan
    heard_alignment: float = math.nan


@dataclass(frozen=True)
class Attempt:
    """A correction whose effect is not measured yet."""

    cause: Cause
    reports: int  # that there were when it was made
    update: int
    figure: float  # before it: the alignment, or the mean validation loss
    before: float  # as in Correction
    after: float
    guided_weight: float | None = None  # of guided attention, before it


@dataclass(frozen=True)
class History:
    """A run so far. `with_report` and `with_correction` return what comes next."""

    reports: tuple[Report, ...] = ()
    attempt: Attempt | None = None
    rests_until: int = 0  # nothing is proposed before there are so many reports
    returned: int = 0  # reports that there were when lost alignment was corrected last; others are of other weights
    failed: tuple[Cause, ...] = ()  # an entry for each attempt without effect since the last one that had one
    at_bound: tuple[Cause, ...] = ()  # nothing is left to try for these
    guided_weight: float | None = None  # of guided attention; None: as scheduled
    clipping: Clipping = field(default_factory=Clipping)

    def with_report(self, report: Report) -> "History":
        return replace(self, reports=(*self.reports, report))

    def with_correction(self, made: Correction, figure: float) -> "History":
        """figure: what `made` should improve, before."""
        last = self.reports[-1]
        if made.action in (Action.GUIDE, Action.ROLL_BACK, Action.LOWER_RATE):
            before = self.guided_weight
            attempt = Attempt(made.cause, len(self.reports), last.update, figure, made.before, made.after, before)
            weight = made.after if made.action is Action.GUIDE else before
            returned = len(self.reports) if made.cause in (Cause.LOST, Cause.SPEECH_LOST) else self.returned
            return replace(self, attempt=attempt, guided_weight=weight, returned=returned)
        rested = replace(self, attempt=None, rests_until=len(self.reports) + COOL_DOWN_REPORTS)
        if made.action is Action.KEEP:
            return replace(rested, failed=tuple(cause for cause in self.failed if cause is not made.cause))
        if made.action is Action.UNDO:
            assert self.attempt is not None, made
            weight = self.attempt.guided_weight if made.cause is Cause.LATE else self.guided_weight
            return replace(rested, failed=(*self.failed, made.cause), guided_weight=weight)
        if made.action in (Action.LESSEN, Action.GIVE_BACK):
            return replace(rested, guided_weight=made.after if made.action is Action.LESSEN else None)
        assert made.action is Action.NOTHING, made
        return replace(rested, at_bound=(*self.at_bound, made.cause))

    def to_mapping(self) -> dict[str, Any]:
        """Numbers, text, lists and dictionaries only."""
        mapping: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return mapping

    @staticmethod
    def from_mapping(raw: Mapping[str, Any]) -> "History":
        attempt = raw["attempt"]
        return History(
            reports=tuple(Report(**report) for report in raw["reports"]),
            attempt=Attempt(**{**attempt, "cause": Cause(attempt["cause"])}) if attempt else None,
            rests_until=raw["rests_until"],
            returned=raw.get("returned", 0),
            failed=tuple(map(Cause, raw["failed"])),
            at_bound=tuple(map(Cause, raw["at_bound"])),
            guided_weight=raw["guided_weight"],
            clipping=Clipping(**raw["clipping"]),
        )
