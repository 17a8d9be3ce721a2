"""Which correction is proposed at a report: none while all is well, one at a time, measured, undone, bounded."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainer.corrections.correction import Action, Cause, Correction
from trainer.corrections.history import Attempt, History, Report
from trainer.corrections.policy import (
    ALIGNED,
    GUIDED_WEIGHTS,
    LEAST_RATE,
    MEASURED_AFTER,
    MOST_FAILED,
    PLATEAU_REPORTS,
    Setting,
    figure_of,
    is_aligned,
    propose,
)

ROOT = Path(__file__).parents[3]
EVERY = 10_000  # frames between two reports, and 100 updates
REPORTS = 50


def falling(i: int, alignment: float) -> float:
    """A loss that falls by 0.1 at each report, and is the higher the worse the model aligns."""
    return 10 - 0.1 * i + (0.0 if math.isnan(alignment) else 5 * (1 - alignment))


def reports(alignments: Sequence[float], losses: Sequence[float] = ()) -> tuple[Report, ...]:
    losses = losses or [falling(i, alignment) for i, alignment in enumerate(alignments)]
    return tuple(
        Report(100 * i, EVERY * i, loss, alignment)
        for i, (alignment, loss) in enumerate(zip(alignments, losses, strict=True), start=1)
    )


SETTING = Setting(EVERY * REPORTS, guided_weight=0.1, lr_scale=1.0)


def proposed(alignments: Sequence[float], losses: Sequence[float] = (), setting: Setting = SETTING) -> str:
    correction = propose(History(reports(alignments, losses)), setting)
    return "" if correction is None else f"{correction.action} {correction.cause}"


class Story:
    """A run whose reports come one by one, and whose corrections are made."""

    def __init__(self, setting: Setting = SETTING) -> None:
        self.setting = setting
        self.history = History()
        self.made: list[tuple[int, Correction]] = []

    def report(self, *alignments: float, loss: float | None = None) -> "Story":
        for alignment in alignments:
            i = len(self.history.reports) + 1
            report = Report(100 * i, EVERY * i, falling(i, alignment) if loss is None else loss, alignment)
            self.history = self.history.with_report(report)
            if (correction := propose(self.history, self.setting)) is not None:
                self.made.append((i, correction))
                self.history = self.history.with_correction(correction, figure_of(correction.cause, self.history))
                if correction.cause in (Cause.LOST, Cause.PLATEAU):
                    self.setting = replace(self.setting, lr_scale=correction.after)
        return self

    @property
    def actions(self) -> list[tuple[int, str]]:
        return [(i, str(correction.action)) for i, correction in self.made]

    @property
    def last(self) -> Correction:
        return self.made[-1][1]


FLAT = [0.05] * 9
GOOD = [0.1, 0.4, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9]


@pytest.mark.parametrize(
    ("alignments", "expected"),
    [
        ([], ""),
        ([0.0], ""),
        (FLAT, ""),  # 18% of the budget
        ([0.05] * 10, "guide alignment_late"),  # 20%
        ([0.05] * 20, "guide alignment_late"),
        ([0.0] * 10, "guide alignment_late"),
        ([0.29] * 10, "guide alignment_late"),
        ([0.31] * 10, ""),
        ([*[0.05] * 8, 0.31, 0.05], ""),  # one report may be noise
        ([*[0.05] * 8, 0.31, 0.05, 0.05], "guide alignment_late"),
        ([*[0.05] * 8, 0.08, 0.11], ""),  # it rises
        ([*[0.05] * 8, 0.06, 0.08], "guide alignment_late"),
        ([*[0.05] * 9, math.nan], ""),  # texts too short to tell
        ([math.nan] * 20, ""),
        (GOOD, ""),
        ([*GOOD, 0.44], ""),  # one report may be noise
        ([*GOOD, 0.44, 0.46], ""),
        ([*GOOD, 0.44, 0.44], "roll_back alignment_lost"),
        ([*GOOD, 0.6, 0.6, 0.6, 0.6], ""),
        ([*GOOD, 0.0, 0.9], ""),
        ([*GOOD, 0.0, math.nan], ""),
        ([0.4, 0.45, 0.49, 0.1, 0.1, 0.1], ""),  # it never was there
        ([0.52, 0.1, 0.1], "roll_back alignment_lost"),
    ],
)
def test_what_is_proposed_by_the_alignment(alignments: list[float], expected: str) -> None:
    assert proposed(alignments) == expected


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([10 - 0.1 * i for i in range(40)], ""),
        ([5.0] * (2 * PLATEAU_REPORTS - 1), ""),
        ([5.0] * 2 * PLATEAU_REPORTS, "lower_rate plateau"),
        ([*[6.0] * PLATEAU_REPORTS, *[5.98] * PLATEAU_REPORTS], "lower_rate plateau"),
        ([*[6.0] * PLATEAU_REPORTS, *[5.96] * PLATEAU_REPORTS], ""),
        ([*[6.0] * PLATEAU_REPORTS, *[6.5] * (PLATEAU_REPORTS - 1), 5.5], "lower_rate plateau"),  # one lucky report
        ([6.3 if i == 3 else 7 - 0.03 * i for i in range(2 * PLATEAU_REPORTS)], ""),  # hides no plateau and makes none
        ([8.0 if i == 12 else 7 - 0.03 * i for i in range(2 * PLATEAU_REPORTS)], ""),  # nor does one spike
        ([*[6.0] * PLATEAU_REPORTS, *[5.9] * (PLATEAU_REPORTS - 2), math.nan, math.inf], ""),
        ([*[6.0] * PLATEAU_REPORTS, *[math.nan] * PLATEAU_REPORTS], "lower_rate plateau"),
        ([math.nan] * 2 * PLATEAU_REPORTS, "lower_rate plateau"),
        ([*[5.0] * PLATEAU_REPORTS, *[7.0] * PLATEAU_REPORTS], "lower_rate plateau"),
    ],
)
def test_what_is_proposed_by_the_loss_of_a_voice_that_aligns(losses: list[float], expected: str) -> None:
    assert proposed([0.9] * len(losses), losses) == expected


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ([3.0 - 0.02 * i for i in range(2 * PLATEAU_REPORTS)], ""),
        ([3.0 - 0.02 * i if i % 3 == 0 else math.nan for i in range(2 * PLATEAU_REPORTS)], ""),  # not heard at each
        ([3.0] * 2 * PLATEAU_REPORTS, "lower_rate plateau"),
        ([math.nan] * PLATEAU_REPORTS + [2.0] * PLATEAU_REPORTS, ""),
        ([2.0] * PLATEAU_REPORTS + [math.nan] * PLATEAU_REPORTS, "lower_rate plateau"),
    ],
)
def test_a_loss_that_rises_is_no_plateau_while_the_voice_is_heard_to_come_nearer(
    distances: list[float], expected: str
) -> None:
    rising = reports([0.98] * len(distances), [1.0 + 0.01 * i for i in range(len(distances))])
    heard = tuple(replace(report, distance=distance) for report, distance in zip(rising, distances, strict=True))
    correction = propose(History(heard), SETTING)
    assert ("" if correction is None else f"{correction.action} {correction.cause}") == expected


@pytest.mark.parametrize(("nearer", "action"), [(2.9, Action.KEEP), (3.0, Action.UNDO), (math.nan, Action.UNDO)])
def test_a_lower_rate_after_which_the_voice_is_heard_to_come_nearer_is_kept(nearer: float, action: Action) -> None:
    count = 2 * PLATEAU_REPORTS
    later = count + MEASURED_AFTER[Cause.PLATEAU]
    heard = tuple(
        replace(report, distance=3.0 if i < count else nearer)
        for i, report in enumerate(reports([0.98] * later, [1.0] * later))
    )
    attempt = Attempt(Cause.PLATEAU, count, 100 * count, figure=1.0, before=1.0, after=0.25)
    correction = propose(History(heard, attempt), replace(SETTING, lr_scale=0.25))
    assert correction is not None
    assert correction.action is action


def test_a_history_of_an_earlier_version_opens() -> None:
    story = Story().report(*[0.05] * 10)
    mapping = story.history.to_mapping()
    for report in mapping["reports"]:
        del report["distance"], report["heard_alignment"]
    del mapping["attempt"]["guided_weight"], mapping["returned"]
    assert repr(History.from_mapping(mapping)) == repr(story.history)


def heard(*alignments: float, distances: Sequence[float] = ()) -> History:
    """With a teacher all is well; the distance stays where it is not given."""
    with_teacher = reports([0.9] * len(alignments))
    spoken = zip(with_teacher, alignments, distances or [9.0] * len(alignments), strict=True)
    return History(tuple(replace(report, heard_alignment=own, distance=far) for report, own, far in spoken))


@pytest.mark.parametrize(
    ("alignments", "is_lost"),
    [
        ([0.9, 0.9, 0.9], False),
        ([0.9, 0.4, 0.5], False),
        ([0.9, 0.4, 0.4], True),
        ([0.9, math.nan, 0.4, math.nan, 0.4, math.nan], True),  # not every report is heard
        ([0.9, 0.4, math.nan, math.nan], False),
        ([0.4, 0.1, 0.1], False),  # it never was there
        ([math.nan] * 5, False),
    ],
)
def test_alignment_that_is_lost_without_a_teacher_is_gone_back_for(alignments: list[float], is_lost: bool) -> None:
    correction = propose(heard(*alignments), SETTING)
    assert (correction is not None) is is_lost
    if correction is not None:
        assert (correction.action, correction.cause) == (Action.ROLL_BACK, Cause.SPEECH_LOST)
        assert correction.reason == "alignment without a teacher 0.90 was lost: 0.40 and 0.40; learning rate x 0.5"
        assert figure_of(Cause.SPEECH_LOST, heard(*alignments)) == 0.4


def test_alignment_that_is_lost_while_the_voice_takes_on_another_speaker_is_not_gone_back_for() -> None:
    alignments, far, near = (0.96, 0.8, 0.4, 0.44), (11.4, 8.4, 8.6, 8.5), (11.4, 8.4, 8.1, 7.9)
    assert propose(heard(*alignments, distances=far), SETTING) is not None
    assert propose(heard(*alignments, distances=near), SETTING) is None
    dips = (0.7, 0.6, 0.2, 0.1)
    assert proposed(dips, (9.8, 6.0, 6.1, 6.2)) == "roll_back alignment_lost"
    assert proposed(dips, (9.8, 6.0, 4.7, 4.5)) == ""


@pytest.mark.parametrize(
    ("alignments", "expected"),
    [
        ([math.nan], True),
        ([0.2], True),  # it does not speak yet
        ([0.9, 0.4], False),
        ([0.9, 0.8], True),
        ([0.9, math.nan], False),  # unknown
    ],
)
def test_a_report_is_aligned_where_it_is_without_a_teacher_too_once_it_was(
    alignments: list[float], expected: bool
) -> None:
    assert is_aligned(heard(*alignments)) is expected


@pytest.mark.parametrize(
    ("after", "action", "at"),
    [
        ([0.9] * 8, Action.KEEP, 4),  # as long as it took to be lost
        ([0.9, 0.9, 0.1, 0.1], Action.UNDO, 4),
        ([0.1, 0.1], Action.UNDO, 2),
        ([0.9, 0.9, 0.9, 0.6], Action.UNDO, 4),
        ([math.nan] * 5 + [0.9, 0.9], Action.KEEP, 7),
    ],
)
def test_lost_alignment_that_comes_back_is_kept_when_it_has_lasted(after: list[float], action: Action, at: int) -> None:
    history = heard(0.9, math.nan, 0.1, math.nan, 0.1)
    made = propose(history, SETTING)
    assert made is not None
    history = history.with_correction(made, figure_of(made.cause, history))
    setting = replace(SETTING, lr_scale=made.after)
    for count, alignment in enumerate(after, start=1):
        i = len(history.reports) + 1
        history = history.with_report(Report(100 * i, EVERY * i, 10 - 0.1 * i, 0.9, 9.0, alignment))
        if (found := propose(history, setting)) is not None:
            assert (found.action, found.cause, count) == (action, Cause.SPEECH_LOST, at)
            return
    pytest.fail("the correction is never measured")


def test_a_correction_is_measured_also_where_nothing_is_heard_any_more() -> None:
    history = heard(0.9, math.nan, 0.1, math.nan, 0.1)
    made = propose(history, SETTING)
    assert made is not None
    history = history.with_correction(made, figure_of(made.cause, history))
    for _ in range(30):
        i = len(history.reports) + 1
        history = history.with_report(Report(100 * i, EVERY * i, 10 - 0.1 * i, 0.9))
        if (found := propose(history, replace(SETTING, lr_scale=made.after))) is not None:
            assert (found.action, found.cause) == (Action.UNDO, Cause.SPEECH_LOST)
            assert "0.10 -> not heard" in found.reason
            return
    pytest.fail("it is never measured")


@pytest.mark.parametrize("worse", [math.nan, math.inf])
def test_an_alignment_that_is_lost_with_a_loss_that_is_not_finite_is_gone_back_for(worse: float) -> None:
    assert proposed([*GOOD, 0.2, 0.2], [math.nan, *[5.0] * 7, worse, worse]) == "roll_back alignment_lost"


def test_guided_attention_that_was_raised_and_kept_is_gone_back_to() -> None:
    story = Story().report(*[0.05] * 10).report(0.1, 0.15, 0.2)
    assert story.last.action is Action.KEEP
    story.report(*[0.2] * 5)
    assert [correction.after for _, correction in story.made] == [10, 10, 30, 10]
    assert (story.last.action, story.history.guided_weight) == (Action.UNDO, 10)


def test_the_loss_of_a_voice_that_does_not_align_is_no_reason() -> None:
    assert proposed([0.4] * 40, [5.0] * 40) == ""


def test_few_updates_prove_nothing_however_small_the_budget() -> None:
    few = tuple(replace(report, update=i) for i, report in enumerate(reports([0.05] * 20), start=1))
    assert propose(History(few), SETTING) is None


@pytest.mark.parametrize(
    ("weight", "after"), [(0.0, 10), (0.1, 10), (9.9, 10), (10.0, 30), (15.0, 30), (30.0, None), (100.0, None)]
)
def test_guided_attention_is_raised_to_the_next_weight_within_its_bound(weight: float, after: float | None) -> None:
    correction = propose(History(reports([0.05] * 10)), replace(SETTING, guided_weight=weight))
    assert correction is not None
    if after is None:
        assert (correction.action, correction.after) == (Action.NOTHING, weight)
    else:
        assert (correction.action, correction.before, correction.after) == (Action.GUIDE, weight, after)


def test_late_alignment_that_comes_is_told_and_guided_attention_is_given_back() -> None:
    story = Story().report(*[0.05] * 10)
    assert story.history.guided_weight == 10
    story.report(0.1, 0.3, 0.5)
    assert story.last.reason == "alignment 0.05 -> 0.50 after 300 updates; kept"
    assert story.history.guided_weight == 10
    story.report(0.7, 0.8)
    assert (story.last.action, story.last.before, story.last.after) == (Action.LESSEN, 10, pytest.approx(10 / 3))
    assert story.history.guided_weight == pytest.approx(10 / 3)
    assert story.report(0.6, 0.6).actions[3:] == []  # it needs that help
    story.report(*[0.9] * 6)
    assert story.history.guided_weight is None
    assert story.actions[:2] == [(10, "guide"), (13, "keep")]
    assert story.actions[2:] == [(15, "lessen"), (19, "lessen"), (21, "give_back")]
    assert (story.last.before, story.last.after) == (pytest.approx(10 / 9), 0.1)
    assert story.report(*[0.9] * 10).actions[5:] == []


def test_guided_attention_that_does_not_help_is_undone_then_raised_further_then_left_alone() -> None:
    story = Story().report(*[0.05] * 50)
    assert story.actions == [(10, "guide"), (13, "undo"), (15, "guide"), (18, "undo"), (20, "nothing")]
    assert [correction.after for _, correction in story.made] == [10, 0.1, 30, 0.1, 0.1]
    assert story.history.guided_weight is None
    assert "alignment 0.05 -> 0.05 after 300 updates; it did not help and is undone" in story.made[1][1].reason
    assert "nothing is left to try" in story.last.reason
    assert len(GUIDED_WEIGHTS) == MOST_FAILED == 2


def test_lost_alignment_goes_back_to_the_last_aligned_report_at_a_lower_rate() -> None:
    story = Story().report(*GOOD, 0.2, 0.2)
    assert (story.last.action, story.last.before, story.last.after) == (Action.ROLL_BACK, 1.0, 0.5)
    assert story.last.reason == "alignment 0.90 was lost: 0.20 and 0.20; learning rate x 0.5"
    story.report(0.85, 0.9)
    assert story.last.reason == "alignment 0.20 -> 0.90 after 200 updates; kept"
    assert story.report(0.9, 0.9, 0.9).actions == [(10, "roll_back"), (12, "keep")]
    assert story.setting.lr_scale == 0.5


def test_alignment_that_is_lost_again_and_again_is_left_alone_at_the_rate_before() -> None:
    story = Story().report(*GOOD, *[0.2] * 40)
    assert story.actions == [(10, "roll_back"), (12, "undo"), (14, "roll_back"), (16, "undo"), (18, "nothing")]
    assert [correction.after for _, correction in story.made] == [0.5, 1.0, 0.25, 1.0, 1.0]


def test_a_rate_that_was_lowered_meanwhile_stays_lower_when_a_correction_is_undone() -> None:
    story = Story().report(*GOOD, 0.2, 0.2)
    story.setting = replace(story.setting, lr_scale=0.25)  # after a rollback for updates that were not finite
    story.report(0.2, 0.2)
    assert (story.last.action, story.last.before, story.last.after) == (Action.UNDO, 0.25, 0.5)


def test_a_lower_rate_that_helps_is_kept_and_lowered_again_at_the_next_plateau_until_its_bound() -> None:
    story = Story(replace(SETTING, budget_frames=EVERY * 1000))
    loss = 8.0
    for _ in range(12):
        while not story.made or story.last.action is not Action.LOWER_RATE:
            story.report(0.9, loss=loss)
            if story.made and story.last.action is Action.NOTHING:
                break
        loss *= 0.9
        story.report(*[0.9] * 6, loss=loss)
    rates = [correction.after for _, correction in story.made if correction.action is Action.LOWER_RATE]
    assert rates == [0.25, LEAST_RATE]
    assert [action for _, action in story.actions].count("nothing") == 1


def test_a_lower_rate_that_does_not_help_is_undone() -> None:
    story = Story().report(*[0.9] * 40, loss=5.0)
    assert [action for _, action in story.actions] == ["lower_rate", "undo", "lower_rate", "undo", "nothing"]
    assert [correction.after for _, correction in story.made] == [0.25, 1.0, LEAST_RATE, 1.0, 1.0]
    assert "validation loss 5.000 -> 5.000 after 400 updates; it did not help" in story.made[1][1].reason


def test_nothing_else_is_proposed_while_a_correction_is_measured_and_cools_down() -> None:
    story = Story().report(*[0.05] * 10).report(0.9, 0.1, 0.3)  # lost, were it not being measured
    assert story.actions == [(10, "guide"), (13, "keep")]
    assert story.report(0.1).actions[2:] == []  # cools down
    assert story.report(0.1).actions[2:] == [(15, "roll_back")]


@pytest.mark.parametrize(
    ("alignments", "expected"),
    [([], False), ([0.4], False), ([0.5], True), ([0.9, 0.7], False), ([0.9, 0.73], True), ([0.9, math.nan], False)],
)
def test_a_report_is_aligned_near_the_best_so_far(alignments: list[float], expected: bool) -> None:
    assert is_aligned(History(reports(alignments))) is expected


def test_a_history_survives_being_stored_at_every_report() -> None:
    story = Story()
    for alignment in [*[0.05] * 21, *GOOD, *[0.2] * 10, math.nan]:
        story.report(alignment)
        mapping = story.history.to_mapping()
        assert repr(History.from_mapping(mapping)) == repr(story.history)
    assert len(story.made) > 5


def test_a_proposal_depends_on_nothing_else() -> None:
    history = History(reports([0.05] * 10))
    assert propose(history, SETTING) == propose(History.from_mapping(history.to_mapping()), SETTING)


def _replayed(run: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a recorded training ends aligned, and whether it would be corrected."""
    by_index = sorted(run["reports"], key=lambda report: report["report"])
    curve = tuple(
        Report(
            *(each[name] for name in ("update", "frames", "loss", "alignment")),
            *(each.get(f"free_running_{name}", math.nan) for name in ("distance", "alignment")),
        )
        for each in by_index
    )
    weight = run["params"].get("guided_attention.weight", 0.1)
    if not run["params"].get("guided_attention.enabled", True):
        weight = 0.0
    setting = Setting(curve[-1].frames, weight, lr_scale=1.0)
    corrected = any(propose(History(curve[: i + 1]), setting) for i in range(len(curve)))
    return curve[-1].alignment >= ALIGNED, corrected


def test_of_the_recorded_trainings_that_end_aligned_hardly_one_is_corrected() -> None:
    files = sorted((ROOT / "benchmarks/results/curves").glob("*.jsonl"))
    runs = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    outcomes = Counter(map(_replayed, runs))
    assert sum(outcomes.values()) == 237
    # One has 0.12 at 30% of the budget, and comes to 0.56; the other, without a teacher, 0.8, 0.1, 0.09, then 0.92.
    assert outcomes[True, True] == 2
    assert outcomes[True, False] == 127
    assert outcomes[False, True] == 102  # of 108 that do not


def _plateaus(run: dict[str, Any]) -> bool:
    """Whether the learning rate of a recorded training would be lowered."""
    curve = reports(run["alignments"], run["losses"])
    setting = Setting(curve[-1].frames, guided_weight=10.0, lr_scale=1.0)
    found = (propose(History(curve[: i + 1]), setting) for i in range(len(curve)))
    return any(correction is not None and correction.cause is Cause.PLATEAU for correction in found)


def test_of_the_benchmark_trainings_those_at_too_high_a_rate_are_corrected_and_no_healthy_one() -> None:
    """Curves of trainings whose learning rate nothing has changed."""
    runs = json.loads((ROOT / "benchmarks/results/corrections.json").read_text(encoding="utf-8"))["results"]
    healthy = [_plateaus(run) for run in runs if not run["fault"] and not run["corrections"]]
    faulty = [_plateaus(run) for run in runs if run["fault"] == "plateau" and not run["corrected"]]
    assert healthy == [False] * 10
    assert faulty == [True] * 5
