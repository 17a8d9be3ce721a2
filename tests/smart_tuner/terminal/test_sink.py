"""A study in the terminal of the process that runs it: events come in, lines or a table go out."""

import io
import re
import threading
from typing import Any

import pytest
from finished_study import HUM
from rich.console import Console
from waiting import wait_until

import smart_tuner.terminal.sink
from smart_tuner.outcome import Cause, Outcome, State
from smart_tuner.spec import BudgetSpec
from smart_tuner.terminal.live_table import StudyTable
from smart_tuner.terminal.sink import LINE_SECONDS, STANDING_SECONDS, ConsoleSink
from smart_tuner.terminal.view import Ended, Tally
from trainer.protocol import Event, EventKind

REASON = "attention does not align: alignment 0.04 at 40%, 0.06 at 50% of the budget; at least 0.30 is expected"
START = 1_000_000.0
BEST = Ended(3, "COMPLETE", 3.25, 0.75, spoken=HUM)
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "


class Study:
    """A sink with a console, a clock that tests set (`now`), and a store that returns `tally`."""

    def __init__(self, width: int = 80, *, terminal: bool = False, live: bool = True) -> None:
        self.now = START
        self.tally = Tally(finished=3)
        self.out = io.StringIO()
        self.looks = 0
        self.answers = threading.Event()
        self.answers.set()
        self.console = Console(file=self.out, width=width, height=24, force_terminal=terminal)
        self.sink = ConsoleSink(
            self.console,
            "quickstart",
            budget=BudgetSpec(frames=1000, reports=2),
            target=lambda: 50,
            tally=self.read_tally,
            live=live,
            clock=lambda: self.now,
        )

    def read_tally(self) -> Tally:
        self.answers.wait(30)
        self.looks += 1
        return self.tally

    def look(self) -> None:
        """Wait until the sink has read the store, and has handled what it read."""
        looked = self.looks
        wait_until(lambda: self.looks >= looked + 2)

    def progress(self, number: int, frames: int, loss: float, speed: float = 250.0) -> None:
        data = {"loss": loss, "frames_per_second": speed}
        self.sink.event(number, Event(EventKind.PROGRESS, frames, 1, data, time=self.now))

    def validation(self, number: int, loss: float, alignment: float, index: int = 1) -> None:
        data = {"index": index, "loss": loss, "alignment": alignment, "best": True}
        self.sink.event(number, Event(EventKind.VALIDATION, 500 * index, 1, data, time=self.now))

    def run(self) -> None:
        """Trial 3 is complete, 4 was pruned, 5 failed, 6 is halfway, 7 has started."""
        for number in range(3, 8):
            params: dict[str, Any] = {"optimizer.lr": 0.00123456, "guided_attention.enabled": True}
            self.sink.trial_started(number, params, resumed=number == 4)
        for number in (3, 4, 6):
            self.progress(number, 400, 4.0)
            self.validation(number, 3.25, 0.75)
        failed = Ended(
            5, "FAIL", reason="the trainer was killed by SIGSEGV\nthe log\nof many lines", cause=Cause.KILLED
        )
        pruned = Ended(4, "PRUNED", 3.25, 0.75, REASON, cause=Cause.ATTENTION)
        self.tally = Tally(
            finished=6,
            pruned={Cause.ATTENTION: 1},
            failed={Cause.KILLED: 1},
            best=BEST,
            ended=(failed, pruned, BEST),
            running=frozenset({6, 7}),
        )
        self.sink.trial_ended(3, Outcome(State.COMPLETE))
        self.sink.trial_ended(4, Outcome(State.PRUNED, Cause.ATTENTION, REASON))
        self.sink.trial_ended(5, Outcome(State.FAIL, Cause.KILLED, failed.reason))

    def lines(self) -> list[str]:
        """The printed lines, each without its time."""
        output = self.out.getvalue()
        assert "\x1b" not in output
        return [re.sub(STAMP, "", line) for line in output.splitlines()]

    def shown(self) -> list[str]:
        screen = Console(file=io.StringIO(), force_terminal=True, width=self.console.width, record=True)
        screen.print(self.sink._render())
        return screen.export_text().splitlines()


def test_a_continued_trial_prints_no_lines_for_its_history() -> None:
    study = Study()
    with study.sink:
        data = {"index": 1, "loss": 3.75, "alignment": 0.5, "best": True}
        history = [Event(EventKind.VALIDATION, 500, 1, data, time=study.now + 60)]  # by a clock that is fast
        study.sink.trial_started(4, {}, history=history, resumed=True)
        (row,) = study.sink._view().running
        assert (row.reports, row.loss, row.share, row.doing) == (1, 3.75, 0.5, "starting")
        study.validation(4, 3.25, 0.75, index=2)
    continued, *others = study.lines()
    assert continued.startswith("trial 4 continued")
    assert [line for line in others if "loss" in line] == [line for line in others if "loss 3.250" in line] != []


def test_trials_that_pause_can_be_followed() -> None:
    study = Study()
    paused = "distance 9.1 at 20% of the budget: 3 of 4 trials are as good there or better, and 1 may go on"
    with study.sink:
        study.sink.trial_started(4, {"optimizer.lr": 0.002}, resumed=False)
        study.validation(4, 3.25, 0.75)
        study.tally = Tally(finished=3, paused=(Ended(4, "PAUSED", 3.25, 0.75, paused),))
        study.sink.trial_ended(4, Outcome(State.PAUSED, Cause.PAUSED, paused))
        view = study.sink._view()
        assert [row.number for row in (*view.tally.paused, *view.tally.waiting)] == [4]
        study.console.print(StudyTable(view))
        data = {"index": 1, "loss": 3.25, "alignment": 0.75, "best": True}
        history = [Event(EventKind.VALIDATION, 500, 1, data, time=study.now)]
        study.sink.trial_started(4, {"optimizer.lr": 0.002}, history=history, resumed=True, promoted=True)
        assert study.sink._view().tally.paused == ()
        study.sink.trial_ended(4, Outcome(State.PAUSED, Cause.PAUSED, paused))
        study.sink.paused_ended(4, Outcome(State.PRUNED, Cause.NOT_PROMOTED, "the study ended"))
    shown = study.out.getvalue()
    assert "quickstart: 3 of 50 trials finished, 0 running, 1 paused" in shown
    lines = study.lines()
    assert f"trial 4 PAUSED: {paused}" in lines
    assert "trial 4 promoted at 50% of the budget: optimizer.lr=0.002" in lines
    assert "trial 4 PRUNED: the study ended" in lines


def test_fewer_finished_trials_are_shown_where_some_were_revived_and_nowhere_else() -> None:
    study = Study()
    paused = (Ended(4, "PAUSED", 3.25, 0.75), Ended(5, "PAUSED", 3.25, 0.75))
    study.tally = ended = Tally(finished=5)
    study.sink._look()
    study.tally = Tally(finished=4)  # read before the one that is shown
    study.sink._look()
    assert study.sink._view().tally.finished == 5
    study.tally = Tally(finished=3, paused=paused, revivals=1)
    study.sink._look()
    assert study.sink._view().tally == study.tally
    study.tally = ended  # read before they were revived
    study.sink._look()
    assert study.sink._view().tally.paused == paused
    study.tally = Tally(finished=4, paused=paused[1:], revivals=1)
    study.sink._look()
    assert study.sink._view().tally.finished == 4


def test_without_a_terminal_each_event_is_a_plain_line_with_its_time() -> None:
    study = Study()
    with study.sink:
        study.run()
    assert re.fullmatch(STAMP + "trial 3 started: .*", study.out.getvalue().splitlines()[0])
    lines = study.lines()
    assert lines[0] == "trial 3 started: optimizer.lr=0.001235  guided_attention.enabled=true"
    assert lines[1].startswith("trial 4 continued: ")
    assert "trial 3  50%  loss 3.250  alignment 0.75  2 s left" in lines
    assert "trial 3 COMPLETE (heard: aligned, but a hum; loss 3.25; alignment 0.75)" in lines
    assert f"trial 4 PRUNED: {REASON}" in lines  # whole, although it is long
    assert lines.count("best so far: trial 3 (heard: aligned, but a hum), loss 3.25, alignment 0.75") == 1


def _correct(study: Study, number: int, what: str, reason: str) -> None:
    event = Event(EventKind.CORRECTION, 500, 1, {"what": what, "reason": reason}, time=study.now)
    study.sink.event(number, event)


def test_corrections_are_lines_but_single_skipped_updates_are_not() -> None:
    study = Study()
    with study.sink:
        study.sink.trial_started(3, {}, resumed=False)
        _correct(study, 3, "skip", "not finite; was skipped")
        _correct(study, 3, "keep", "alignment 0.31 -> 0.72 after 4,000 updates; kept")
    corrected = [line for line in study.lines() if "corrected" in line]
    assert corrected == ["trial 3 corrected: alignment 0.31 -> 0.72 after 4,000 updates; kept"]


def test_a_table_shows_the_last_correction_of_a_running_trial_in_one_line() -> None:
    study = Study(terminal=True)
    with study.sink:
        study.sink.trial_started(3, {}, resumed=False)
        _correct(study, 3, "guide", "a long reason " * 20)
        _correct(study, 3, "skip", "not finite; was skipped")
        lines = [line for line in study.shown() if "corrected" in line]
        _correct(study, 3, "keep", "kept")
        assert "trial 3 corrected: kept" in [line.rstrip() for line in study.shown()]
    (line,) = lines
    assert line.startswith("trial 3 corrected: a long reason")


def test_a_dumb_terminal_gets_lines_too(monkeypatch: Any) -> None:
    monkeypatch.setenv("TERM", "dumb")
    study = Study(terminal=True)
    with study.sink:
        study.run()
    assert "trial 3 COMPLETE (heard: aligned, but a hum; loss 3.25; alignment 0.75)" in study.lines()


def test_of_frequent_reports_not_every_one_is_a_line() -> None:
    study = Study()
    study.sink.trial_started(0, {}, resumed=False)
    for index in range(1, 8):
        study.validation(0, 3.0, 0.5, index)
        study.now += LINE_SECONDS / 2
    assert len([line for line in study.lines() if "loss" in line]) == 4


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_tuner.terminal.sink, "LOOK_SECONDS", 0.01)


def test_after_a_long_silence_a_line_shows_the_progress_of_the_study(looks_often: None) -> None:
    study = Study()
    with study.sink:
        study.sink.trial_started(0, {}, resumed=False)
        study.now += STANDING_SECONDS / 2
        study.progress(0, 100, 4.0)
        study.look()
        assert len(study.lines()) == 1
        study.now += STANDING_SECONDS / 2  # without any event
        study.look()
    assert study.lines()[1:] == [
        "quickstart: 3 of 50 trials finished, 1 running, 10 min so far; no trial is feasible yet",
    ]


def test_with_a_live_table_no_line_is_composed(looks_often: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(smart_tuner.terminal.sink, "line_of_standing", lambda view: made.append(view) or "")
    study = Study(terminal=True)
    with study.sink:
        study.sink.trial_started(0, {}, resumed=False)
        study.now += 2 * STANDING_SECONDS
        study.progress(0, 100, 4.0)
        study.look()
    assert not made


def test_markup_control_codes_and_passwords_of_a_reason_are_neutralised() -> None:
    study = Study()
    study.sink.trial_started(1, {}, resumed=False)
    study.sink.trial_ended(
        1, Outcome(State.FAIL, Cause.CRASHED, "[red]/tmp[/]\x1b[31m\x07 postgresql://me:hunter2@host")
    )
    assert study.lines()[-1] == "trial 1 FAIL: [red]/tmp[/] postgresql://me:***@host"


def test_lines_of_several_studies_begin_with_the_name() -> None:
    study = Study(live=False)
    study.sink.trial_started(1, {}, resumed=False)
    assert study.lines() == ["quickstart: trial 1 started"]


def test_in_a_terminal_a_table_shows_running_and_ended_trials() -> None:
    study = Study(terminal=True)
    with study.sink:
        study.run()
        study.now += 60
        study.progress(7, 100, 5.125)
        lines = study.shown()
    assert lines[0] == "quickstart: 6 of 50 trials finished, 2 running, 1 min so far"
    assert lines[1:3] == [
        "best: trial 3 (heard: aligned, but a hum), loss 3.25, alignment 0.75",
        "pruned 1: attention; failed 1: killed",
    ]
    rows = {line.split()[0]: line for line in lines[4:]}
    assert list(rows) == ["6", "7", "5", "4", "3"]
    assert "50%" in rows["6"]
    assert "0.75 ██████░░" in rows["6"]
    assert re.search(r"\(5.12\) +250 +4 s training", rows["7"])
    assert "PRUNED attention" in rows["4"]
    assert "alignment 0.04 at 40%" in rows["4"]
    assert "the trainer was killed by SIGSEGV" in rows["5"]
    assert re.search(r"COMPLETE +3.25 .* best: aligned, but a hum$", rows["3"].rstrip())
    assert "\x1b" in study.out.getvalue()


def test_an_interrupted_trial_waits_and_does_not_count_as_finished() -> None:
    study = Study(terminal=True)
    study.sink.trial_started(3, {}, resumed=False)
    study.sink.trial_ended(3, Outcome(State.INTERRUPTED, Cause.INTERRUPTED, "stopped by SIGINT"))
    lines = study.shown()
    assert lines[0].startswith("quickstart: 3 of 50 trials finished, 0 running")
    assert re.search("3 INTERRUPTED .*stopped by SIGINT", lines[-1])


def test_trials_of_other_workers_are_shown_and_an_unavailable_store_delays_nothing(looks_often: None) -> None:
    study = Study(terminal=True)
    with study.sink:
        study.sink.trial_started(3, {}, resumed=False)
        study.tally = Tally(finished=4, running=frozenset({3, 4, 5}))
        wait_until(lambda: "4 of 50 trials finished, 1 running here, 2 elsewhere" in study.shown()[0])
        study.answers.clear()
        study.progress(3, 400, 4.0)
        assert "40%" in "\n".join(study.shown())
        study.tally = Tally(finished=5)
        study.answers.set()
        wait_until(lambda: "5 of 50" in study.shown()[0])


@pytest.mark.parametrize("outcome", [State.LOST, State.INTERRUPTED], ids=str)
def test_a_trial_that_another_worker_took_over_is_shown_as_its(looks_often: None, outcome: State) -> None:
    study = Study(terminal=True)
    with study.sink:
        study.sink.trial_started(5, {}, resumed=False)
        study.tally = Tally(finished=3, running=frozenset({5}))
        study.sink.trial_ended(5, Outcome(outcome, Cause.TAKEN_OVER, "taken by another worker"))
        study.look()
        assert "0 running here, 1 elsewhere" in study.shown()[0]
        assert "taken by another worker" not in "\n".join(study.shown())
        study.tally = Tally(finished=4, ended=(Ended(5, "COMPLETE", 3.25, 0.75),))
        study.look()
        assert [line.split()[:2] for line in study.shown() if line.split()[:1] == ["5"]] == [["5", "COMPLETE"]]


def test_a_trial_that_is_lost_is_counted_elsewhere_at_once() -> None:
    study = Study(terminal=True)
    study.sink.trial_started(5, {}, resumed=False)
    study.tally = Tally(finished=3, running=frozenset({5}))
    study.sink.trial_ended(5, Outcome(State.LOST, Cause.TAKEN_OVER, "another worker has it"))
    assert "0 running here, 1 elsewhere" in study.shown()[0]
    assert "another worker has it" not in "\n".join(study.shown())


def test_figures_that_are_not_finite_are_shown() -> None:
    study = Study(terminal=True)
    study.sink.trial_started(3, {}, resumed=False)
    study.validation(3, float("nan"), float("nan"))
    assert study.shown()[-1].split()[3:5] == ["nan", "nan"]


def test_a_notice_is_printed_once_and_shown_until_the_next_trial() -> None:
    study = Study()
    for _ in range(2):
        study.sink.say("waiting for 1 trial")
    wait_until(study.lines)
    assert study.lines() == ["waiting for 1 trial"]
    assert "waiting for 1 trial" in study.shown()
    study.sink.trial_started(3, {}, resumed=False)
    assert "waiting for 1 trial" not in study.shown()


def test_a_notice_does_not_wait_for_a_paused_terminal() -> None:
    released = threading.Event()

    class Paused(io.StringIO):
        def write(self, text: str) -> int:
            released.wait(30)
            return super().write(text)

    study = Study()
    study.console.file = Paused()
    saying = threading.Thread(target=study.sink.say, args=("stopping",))
    saying.start()
    saying.join(5)
    assert not saying.is_alive()
    released.set()
