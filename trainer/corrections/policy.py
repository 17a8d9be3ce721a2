"""Which correction to make at a report: none or one. A pure function of the history.

Three things are looked for, the most urgent first: alignment that was there and is lost, with a teacher or without one,
alignment that is late, and a validation loss that does not improve. After a correction nothing else is proposed until
its effect is measured, and for `COOL_DOWN_REPORTS` more. One that did not help is undone, and a stronger one is tried;
after `MOST_FAILED` of them nothing more is done about that cause, and this is said once.

The limits are chosen by the recorded curves of 110 trainings (`benchmarks/results/curves`), of which one that ends
aligned is corrected: without a teacher its alignment is lost for three reports in between. Of 50 that were recorded
later one is, which comes to an alignment of 0.56 at its end. `tests/trainer/corrections/test_policy.py` replays them.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trainer.corrections.correction import Action, Cause, Correction
from trainer.corrections.history import Attempt, History, Report

ALIGNED = 0.5  # alignment score from which a voice can speak, as `validation.alignment_floor`
ALMOST_PEAK = 0.8  # share of the best alignment so far from which a report counts as aligned
LOST = 0.5  # share of the best alignment so far below which alignment counts as lost
IN_A_ROW = 2  # reports that must agree: one may be noise

LATE_SHARE = 0.2  # of the budget; those that will align have begun by then
LATE_UPDATES = 50  # fewer prove nothing, however small the budget
LATE_ALIGNMENT = 0.3  # that they have
RISING = 0.05  # growth since the report before the last one; alignment that grows so is not late

# Weights of guided attention to try, in turn. Chosen; not measured as corrections. Of the recorded trials of 600,000
# frames (benchmarks/results/curves/quickstart-*.jsonl) 30 of 32 with 3 to 26 aligned, 5 of 8 below 3, 0 of 40 without.
GUIDED_WEIGHTS = (10.0, 30.0)
GIVE_BACK = 0.7  # alignment from which attention needs less help
STEP_BACK = 3.0  # by which the weight is divided, at each step back: attention forgets what it is given too suddenly
LEAST_RAISED = 1.0  # a raised weight below it is given back whole

PLATEAU_REPORTS = 9  # compared with as many before; of fewer the noise of the loss looks like a plateau
PLATEAU_GAIN = 0.005  # share by which a loss must be less to count as better
LOWER_RATE = {
    Cause.LOST: 1 / 2,
    Cause.SPEECH_LOST: 1 / 2,
    Cause.PLATEAU: 1 / 4,
}  # at a plateau a quarter gains more than a half or an eighth
LEAST_RATE = 1 / 16  # of the scheduled learning rate

# Reports. Lost alignment is measured when as many have come as it took to be lost, if that is later.
MEASURED_AFTER = {Cause.LATE: 3, Cause.LOST: 2, Cause.SPEECH_LOST: 2, Cause.PLATEAU: PLATEAU_REPORTS // 2}
MOST_UNHEARD = 4  # times as many reports as that, after which an alignment that is not heard counts as lost
HELPED = 0.1  # growth of alignment that a correction must bring
MOST_FAILED = 2  # attempts without effect, after which a cause is left alone


@dataclass(frozen=True)
class Setting:
    """What a proposal depends on besides the history.

    guided_weight: of guided attention, as scheduled; lr_scale: the present factor of the scheduled learning rate.
    """

    budget_frames: int
    guided_weight: float
    lr_scale: float


@dataclass(frozen=True)
class _Alignment:
    """One of the two of a report. Either may be lost alone.

    error: falls while a voice learns. One that takes on another speaker loses its alignment for a while, and finds it
    again where it is left to learn; so what is lost while the error falls is not gone back for.
    """

    name: str
    of: Callable[[Report], float]
    error: Callable[[Report], float]

    def measured(self, reports: Iterable[Report]) -> list[float]:
        return [value for value in map(self.of, reports) if not math.isnan(value)]

    def peak(self, reports: Iterable[Report]) -> float:
        return max(self.measured(reports), default=0.0)

    def is_there(self, report: Report, peak: float) -> bool:
        return self.of(report) >= max(ALIGNED, ALMOST_PEAK * peak)

    def lost(self, reports: Sequence[Report], since: int) -> list[float]:
        """The last figures of `reports[since:]`, where all say that it is lost; else none."""
        peak = self.peak(reports)
        recent = [report for report in reports[since:] if not math.isnan(self.of(report))][-IN_A_ROW:]
        if peak < ALIGNED or len(recent) < IN_A_ROW or any(self.of(report) >= LOST * peak for report in recent):
            return []
        errors = [self.error(report) for report in reports if self.is_there(report, peak)]
        learns = _mean(map(self.error, recent)) < min(filter(math.isfinite, errors), default=math.inf)
        return [] if learns else self.measured(recent)


_TAUGHT = _Alignment("alignment", lambda report: report.alignment, lambda report: report.loss)
_HEARD = _Alignment(
    "alignment without a teacher", lambda report: report.heard_alignment, lambda report: report.distance
)
_CAN_BE_LOST = {Cause.LOST: _TAUGHT, Cause.SPEECH_LOST: _HEARD}


def propose(history: History, setting: Setting) -> Correction | None:
    """The correction to make after the last report, if any."""
    if not history.reports:
        return None
    if history.attempt is not None:
        return _measured(history, history.attempt, setting)
    if len(history.reports) < history.rests_until:
        return None
    return (
        _lost(history, setting)
        or _given_back(history, setting)
        or _late(history, setting)
        or _plateau(history, setting)
    )


def figure_of(cause: Cause, history: History) -> float:
    """What a correction of this cause should improve, at present."""
    if cause is Cause.PLATEAU:
        return mean_loss(history.reports[-PLATEAU_REPORTS:])
    return _CAN_BE_LOST.get(cause, _TAUGHT).measured(history.reports)[-1]


def is_aligned(history: History) -> bool:
    """Whether attention is aligned at the last report, and without a teacher, too, where it ever was: a rollback may
    return to it."""
    if not history.reports:
        return False
    last, heard = history.reports[-1], _HEARD.peak(history.reports)
    return _is_taught(history) and (heard < ALIGNED or _HEARD.is_there(last, heard))


def mean_loss(reports: tuple[Report, ...]) -> float:
    """Of those whose loss is finite; infinite where none is."""
    return _mean(report.loss for report in reports)


def _mean(figures: Iterable[float]) -> float:
    finite = [figure for figure in figures if math.isfinite(figure)]
    return statistics.fmean(finite) if finite else math.inf


def _is_taught(history: History) -> bool:
    return _TAUGHT.is_there(history.reports[-1], _TAUGHT.peak(history.reports))


def _lost(history: History, setting: Setting) -> Correction | None:
    for cause, alignment in _CAN_BE_LOST.items():
        peak = alignment.peak(history.reports)
        if recent := alignment.lost(history.reports, history.returned):
            what = f"{alignment.name} {peak:.2f} was lost: {_listed(recent)}"
            after = _lower_rate(cause, history, setting)
            if after is not None:
                reason = f"{what}; learning rate x {after / setting.lr_scale:g}"
                return Correction(Action.ROLL_BACK, cause, reason, setting.lr_scale, after)
            if (correction := _nothing(cause, history, what, setting.lr_scale)) is not None:
                return correction
    return None


def _given_back(history: History, setting: Setting) -> Correction | None:
    weight = history.guided_weight
    recent = [report.alignment for report in history.reports[-IN_A_ROW:]]
    if weight is None or len(recent) < IN_A_ROW or not all(alignment >= GIVE_BACK for alignment in recent):
        return None
    lower = weight / STEP_BACK
    if lower >= max(LEAST_RAISED, setting.guided_weight):
        reason = f"alignment {_listed(recent)}; guided attention {weight:.3g} -> {lower:.3g}"
        return Correction(Action.LESSEN, Cause.LATE, reason, weight, lower)
    reason = f"alignment {_listed(recent)}; guided attention {weight:.3g} -> {setting.guided_weight:.3g}, as scheduled"
    return Correction(Action.GIVE_BACK, Cause.LATE, reason, weight, setting.guided_weight)


def _late(history: History, setting: Setting) -> Correction | None:
    recent = history.reports[-IN_A_ROW:]
    last = recent[-1]
    is_early = last.frames < LATE_SHARE * setting.budget_frames or last.update < LATE_UPDATES
    if is_early or len(history.reports) <= IN_A_ROW:
        return None
    if _TAUGHT.peak(history.reports) >= ALIGNED or not all(each.alignment < LATE_ALIGNMENT for each in recent):
        return None
    if last.alignment >= history.reports[-IN_A_ROW - 1].alignment + RISING:
        return None
    share = last.frames / setting.budget_frames
    what = f"alignment {_listed(map(_TAUGHT.of, recent))} at {share:.0%} of the budget, below {LATE_ALIGNMENT:.2f}"
    present = setting.guided_weight if history.guided_weight is None else history.guided_weight
    stronger = [weight for weight in GUIDED_WEIGHTS if weight > present]
    failed = history.failed.count(Cause.LATE)
    if failed >= len(stronger):
        return _nothing(Cause.LATE, history, what, present)
    reason = f"{what}; guided attention {present:.3g} -> {stronger[failed]:g}"
    return Correction(Action.GUIDE, Cause.LATE, reason, present, stronger[failed])


def _plateau(history: History, setting: Setting) -> Correction | None:
    if len(history.reports) < 2 * PLATEAU_REPORTS or not _is_taught(history):
        return None
    earlier, recent = history.reports[-2 * PLATEAU_REPORTS : -PLATEAU_REPORTS], history.reports[-PLATEAU_REPORTS:]
    before, now = mean_loss(earlier), mean_loss(recent)
    if now < (1 - PLATEAU_GAIN) * before or _is_heard_nearer(earlier, recent):
        return None
    what = f"validation loss {before:.3f} -> {now:.3f} in {PLATEAU_REPORTS} reports"
    after = _lower_rate(Cause.PLATEAU, history, setting)
    if after is None:
        return _nothing(Cause.PLATEAU, history, what, setting.lr_scale)
    reason = f"{what}; learning rate x {after / setting.lr_scale:g}"
    return Correction(Action.LOWER_RATE, Cause.PLATEAU, reason, setting.lr_scale, after)


def _is_heard_nearer(earlier: tuple[Report, ...], later: tuple[Report, ...]) -> bool:
    """Whether the voice has come nearer to the recordings, whatever the loss with a teacher says."""
    return _mean(each.distance for each in later) < (1 - PLATEAU_GAIN) * _mean(each.distance for each in earlier)


def _lower_rate(cause: Cause, history: History, setting: Setting) -> float | None:
    """The next factor of the learning rate to try; None where none is left."""
    failed = history.failed.count(cause)
    after = setting.lr_scale * LOWER_RATE[cause] ** (failed + 1)
    return after if failed < MOST_FAILED and after >= LEAST_RATE else None


def _nothing(cause: Cause, history: History, what: str, present: float) -> Correction | None:
    if cause in history.at_bound:
        return None
    return Correction(Action.NOTHING, cause, f"{what}; nothing is left to try", present, present)


def _measured(history: History, attempt: Attempt, setting: Setting) -> Correction | None:
    since = history.reports[attempt.reports :]
    if attempt.cause in _CAN_BE_LOST:
        alignment = _CAN_BE_LOST[attempt.cause]
        helped = _has_come_back(alignment, history, attempt)
        if helped is None:
            return None
        measured = alignment.measured(since)
        what = f"{alignment.name} {attempt.figure:.2f} -> {f'{measured[-1]:.2f}' if measured else 'not heard'}"
    elif len(since) < MEASURED_AFTER[attempt.cause]:
        return None
    elif attempt.cause is Cause.PLATEAU:
        now = mean_loss(since)
        earlier = history.reports[attempt.reports - PLATEAU_REPORTS : attempt.reports]
        helped = now < (1 - PLATEAU_GAIN) * attempt.figure or _is_heard_nearer(earlier, since)
        what = f"validation loss {attempt.figure:.3f} -> {now:.3f}"
    else:
        helped = since[-1].alignment >= attempt.figure + HELPED
        what = f"alignment {attempt.figure:.2f} -> {since[-1].alignment:.2f}"
    what = f"{what} after {since[-1].update - attempt.update:,} updates"
    if helped:
        return Correction(Action.KEEP, attempt.cause, f"{what}; kept", attempt.after, attempt.after)
    return _undone(attempt, what, setting)


def _has_come_back(alignment: _Alignment, history: History, attempt: Attempt) -> bool | None:
    """Whether lost alignment is there again, for as long as it took to be lost; None where it is too early to tell."""
    before, since = history.reports[: attempt.reports], history.reports[attempt.reports :]
    peak = alignment.peak(before)
    if alignment.lost(history.reports, attempt.reports) or _TAUGHT.lost(history.reports, attempt.reports):
        return False
    there = max(number for number, report in enumerate(before, start=1) if alignment.is_there(report, peak))
    measured = alignment.measured(since)
    least = max(MEASURED_AFTER[attempt.cause], attempt.reports - there)
    if len(since) < least or (len(measured) < IN_A_ROW and len(since) < MOST_UNHEARD * least):
        return None
    return bool(measured) and measured[-1] >= max(ALIGNED, ALMOST_PEAK * peak)


def _undone(attempt: Attempt, what: str, setting: Setting) -> Correction:
    if attempt.cause is Cause.LATE:
        before = attempt.after
        after = setting.guided_weight if attempt.guided_weight is None else attempt.guided_weight
        changed = f"guided attention {before:g} -> {after:.3g}"
    else:  # what else changed the learning rate meanwhile stays
        before, after = setting.lr_scale, setting.lr_scale * attempt.before / attempt.after
        changed = f"learning rate x {after / before:g}"
    return Correction(Action.UNDO, attempt.cause, f"{what}; it did not help and is undone: {changed}", before, after)


def _listed(alignments: Iterable[float]) -> str:
    return " and ".join(f"{alignment:.2f}" for alignment in alignments)
