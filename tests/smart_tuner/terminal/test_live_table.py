"""The live table of a study on terminals of all kinds."""

import io
import random
from dataclasses import replace

import pytest
from finished_study import HUM
from rich.console import Console

from smart_tuner.figures import DISTANCE
from smart_tuner.formatting import duration
from smart_tuner.machine.load import GpuLoad, Load
from smart_tuner.outcome import Cause, with_opening
from smart_tuner.terminal.lines import line_of_progress
from smart_tuner.terminal.live_table import StudyTable
from smart_tuner.terminal.screen import open_console
from smart_tuner.terminal.summary import SHOWN_TRIALS, print_trials
from smart_tuner.terminal.view import Ended, Running, Tally, View

REASON = "loss too high among trials that align: 3.100 > 2.900 at 40%, 3.000 > 2.800 at 50% of the budget"
PARAMS = {"optimizer.lr": 0.00123456, "guided_attention.enabled": True}
GPUS = tuple(GpuLoad(f"cuda:{index}", 0.98, 70.1e9, 80e9) for index in range(4))


def running(number: int) -> Running:
    return Running(number, PARAMS, 0.5, 5, 3.25, True, 0.75, 123_456.0, 45_000.0, 60.0, "training")


def a_view(at_work: int = 2, ended: int = 3) -> View:
    rows = tuple(Ended(number, "PRUNED", 3.5, 0.6, REASON, PARAMS, cause=Cause.LOSS) for number in range(ended))
    best = Ended(99, "COMPLETE", 2.75, 0.91, spoken=HUM)
    tally = Tally(ended + 1, {Cause.LOSS: ended}, {}, best, (*rows, best), seconds=600.0)
    trials = tuple(running(100 + number) for number in range(at_work))
    return View("quickstart", 200, tally, trials, elapsed=7200.0, load=Load(0.97, 3.1e9, 7.8e9, GPUS))


def drawn(view: View, width: int = 80, height: int | None = 24, **options: object) -> str:
    console = Console(file=io.StringIO(), width=width, height=height or 24, **{"force_terminal": True, **options})  # type: ignore[arg-type]
    console.print(StudyTable(view, height))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def plain(view: View, width: int = 80, height: int | None = 24) -> list[str]:
    return drawn(view, width, height, color_system=None).splitlines()


def test_at_80_columns_no_figure_is_cut() -> None:
    lines = plain(a_view())
    assert all(len(line) <= 80 for line in lines)
    assert lines[0] == "quickstart: 4 of 200 trials finished, 2 running, 2 h 00 min so far"
    assert lines[1].startswith("about 16 h")
    for expected in (
        "best: trial 99 (heard: aligned, but a hum), loss 2.75, alignment 0.91",
        "pruned 3: loss",
        "CPU 97%",
        "memory 3.1 of 7.8 GB",
    ):
        assert expected in "\n".join(lines)
    row = next(line for line in lines if line.split()[0] == "100")
    assert " ".join(row.split()) == "100 ██████░░░░░ 50% 3.25 0.75 ██████░░ 123,456 12 h 30 min training"
    assert sum("cuda:" in line for line in lines) > 1, "many cards take several lines"
    assert all(f"cuda:{index} 98% 70.1 of 80.0 GB" in "\n".join(lines) for index in range(4))


def test_the_objective_of_the_study_and_what_is_heard_are_shown() -> None:
    at_work = replace(running(100), spoken={"free_running_distance": 10.404})
    mute = replace(a_view().tally.ended[0], spoken=HUM | {"free_running_failed": 1.0})
    unknown = Ended(98, "COMPLETE", 3.0, 0.8)  # of an earlier version
    tally = replace(a_view().tally, ended=(mute, unknown, *a_view().tally.ended[-1:]))
    view = replace(a_view(), tally=tally, objective=DISTANCE, running=(at_work,), load=None)
    lines = [" ".join(line.split()) for line in plain(view)]
    assert "best: trial 99 (heard: aligned, but a hum), distance 9.21 dB, alignment 0.91" in lines
    assert next(line for line in lines if "progress" in line).startswith("trial progress distance alignment")
    assert any(line.startswith("100 ██████░░░░░ 50% 10.40 dB 0.75") for line in lines)
    assert any(line.startswith("0 PRUNED loss 9.21 dB 0.60 █████░░░ mute; 3.100 > 2.900") for line in lines)
    assert "98 COMPLETE 0.80 ██████░░ not measured" in lines
    assert "99 COMPLETE 9.21 dB 0.91 ███████░ best: aligned, but a hum" in lines
    assert not any(line.startswith("trial 100 heard") for line in lines), "the distance alone has no verdict"
    evaluated = replace(view, running=(replace(at_work, spoken=mute.spoken),))
    assert "trial 100 heard: mute" in plain(evaluated)
    assert "trial 100 heard: mute" not in plain(replace(evaluated, running=(*evaluated.running, running(101))))
    wide = [" ".join(line.split()) for line in plain(view, 100)]
    assert "99 COMPLETE 9.21 dB 2.75 0.91 ███████░ best: aligned, but a hum" in wide, "the loss is shown beside it"


def test_more_finished_trials_than_asked_for_are_shown_as_such() -> None:
    assert plain(replace(a_view(), target=3), 120)[0].startswith("quickstart: 4 trials finished, 3 asked for")


def test_wide_terminals_show_parameters_and_narrow_ones_keep_the_figures() -> None:
    assert "optimizer.lr=0.001235  guided_attention.enabled=true" in "\n".join(plain(a_view(), 160))
    assert "optimizer.lr" not in "\n".join(plain(a_view(), 80))
    for width in (100, 79, 65, 50, 40, 30):
        lines = plain(a_view(), width)
        assert all(len(line) <= width for line in lines), width
        assert any(line.split()[:1] == ["100"] and "50%" in line and "3.25" in line for line in lines), width


@pytest.mark.parametrize("height", [5, 10, 24])
@pytest.mark.parametrize("at_work", [0, 1, 16, 40])
def test_the_table_fits_the_screen_and_running_trials_come_first(height: int, at_work: int) -> None:
    lines = plain(replace(a_view(at_work, 30), load=None), height=height)
    assert len(lines) < max(height, 7)
    shown = [line.split()[0] for line in lines if line.split()[0].isdecimal()]
    at_work_shown = [number for number in shown if int(number) >= 100]
    assert shown[: len(at_work_shown)] == at_work_shown
    if len(at_work_shown) < at_work:
        assert any(f"{at_work - len(at_work_shown)} " in line for line in lines)
        assert len(at_work_shown) == len(shown), "ended trials are shown although running ones are left out"


def test_no_color_removes_colour_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[36m" in drawn(a_view(), color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in drawn(a_view(), color_system="standard").replace("\x1b[3m", "")


def test_bars_are_ascii_in_an_ascii_terminal() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    odd = Ended(1, "FAIL", reason="файл …")
    view = replace(a_view(), tally=replace(a_view().tally, ended=(odd,)))
    Console(file=file, width=80, force_terminal=True, color_system=None).print(StudyTable(view, 24))
    file.seek(0)
    output = file.read()
    assert "######-----  50%" in output
    assert "0.75 ######--" in output
    assert "FAIL" in output


def test_the_time_left_is_shown_only_when_enough_trials_have_ended() -> None:
    view = a_view(at_work=2, ended=3)
    assert view.seconds_left() == pytest.approx(((600 - 60) * 2 + 194 * 600) / 2)
    assert replace(view, tally=replace(view.tally, seconds=None)).seconds_left() is None
    assert replace(view, running=()).seconds_left() is None
    assert replace(view, notice="the study was stopped").seconds_left() is None
    late = replace(view, running=(replace(running(100), age=700.0, left=50.0), running(101)))
    assert late.seconds_left() == pytest.approx((50 + 540 + 194 * 600) / 2)
    last = replace(view, target=6, running=(replace(running(100), left=100.0), replace(running(101), left=900.0)))
    assert last.seconds_left() == 900.0, "the longest of the rows, when no trial is left to start"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.7, "1 min"), (5400, "1 h 30 min"), (3599, "1 h 00 min"), (86_400 * 3 + 4 * 3600, "3 d 4 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_pruned_trial_shows_cause_and_figures_live_and_its_whole_reason_in_print() -> None:
    reason = with_opening(Cause.LOSS, "1.250 > 1.100 at 30% of the budget")
    failed = Ended(1, "FAIL", reason="the trainer refused its input", cause=Cause.BAD_INPUT)
    view = View("mine", 2, Tally(2, ended=(Ended(0, "PRUNED", 3.5, 0.6, reason, cause=Cause.LOSS), failed)))
    for height, reason_shown in (
        (24, "1.250 > 1.100 at 30%"),
        (None, "loss too high among trials that align: 1.250 > 1.100"),
    ):
        rows = [" ".join(line.split()) for line in plain(view, 110, height)]
        assert rows[3].startswith(f"0 PRUNED loss 3.5 0.60 █████░░░ {reason_shown}")
        assert rows[-1] == "1 FAIL bad input the trainer refused its input"


def test_in_a_file_the_table_is_as_wide_as_its_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    reason = " ".join([REASON, REASON])
    params = {f"model.parameter_{i}": i for i in range(9)}
    ended = (Ended(0, "PRUNED", 0.1, 0.1, reason, params=params), Ended(1, "COMPLETE", 0.1, 0.9, value=1.0))
    print_trials(View("mine", 2, Tally(2, {Cause.LOSS: 1}, {}, None, ended), goes_on=False), open_console())
    lines = capsys.readouterr().out.splitlines()
    (row,) = (line for line in lines if line.split()[:2] == ["0", "PRUNED"])
    assert reason in row
    assert "parameter_8" in row
    assert max(map(len, lines)) == len(row) < 1000


def test_of_many_trials_the_best_are_listed_with_the_command_to_list_all() -> None:
    complete = [Ended(n, "COMPLETE", 1.0, 0.9, value=5.0 - n / 100) for n in range(30)]
    infeasible = Ended(30, "COMPLETE", 0.1, 0.2, "too many sentences fail", feasible=False, value=0.1)
    pruned = [Ended(n, "PRUNED", 0.1, 0.1, REASON) for n in range(31, 60)]
    ended = [*complete, infeasible, *pruned]
    random.Random(1).shuffle(ended)
    view = View("mine", 60, Tally(60, {Cause.LOSS: 29}, {}, complete[29], tuple(ended)), goes_on=False)
    console = Console(file=io.StringIO(), width=120)
    print_trials(view, console)
    output = console.file.getvalue()  # type: ignore[attr-defined]
    numbers = [int(line.split()[0]) for line in output.splitlines() if line.split()[0].isdecimal()]
    assert numbers == list(range(29, 29 - SHOWN_TRIALS, -1))
    assert "The best 20 of 60; `smart-tuner status --study mine --all` lists all." in output
    console = Console(file=io.StringIO(), width=120)
    print_trials(view, console, every=True)
    output = console.file.getvalue()  # type: ignore[attr-defined]
    numbers = [int(line.split()[0]) for line in output.splitlines() if line.split()[0].isdecimal()]
    assert numbers == list(range(60))


def test_paused_trials_count_among_those_of_which_the_best_are_listed() -> None:
    complete = [Ended(n, "COMPLETE", 1.0, 0.9, value=5.0 - n / 100) for n in range(10)]
    paused = [Ended(n, "PAUSED", 1.0, n / 100, REASON) for n in range(10, 70)]
    tally = Tally(10, {}, {}, complete[9], tuple(complete), paused=tuple(paused))
    console = Console(file=io.StringIO(), width=120)
    print_trials(View("mine", 80, tally), console)
    output = console.file.getvalue()  # type: ignore[attr-defined]
    numbers = [int(line.split()[0]) for line in output.splitlines() if line.split()[0].isdecimal()]
    assert numbers == [*range(9, -1, -1), *range(69, 59, -1)]
    assert "60 paused" in output
    assert "The best 20 of 70 that have ended or paused; `smart-tuner status --study mine --all` lists all." in output
    console = Console(file=io.StringIO(), width=120)
    print_trials(View("mine", 80, tally), console, every=True)
    assert console.file.getvalue().count("PAUSED") == 60  # type: ignore[attr-defined]


def test_a_line_of_progress_says_what_is_heard_beside_the_distance() -> None:
    """With a teacher, a voice that is mute looks sound."""
    mute = replace(running(0), left=None, spoken=HUM | {"free_running_failed": 1.0})
    assert line_of_progress(mute, DISTANCE) == "trial 0  50%  loss 3.250  distance 9.21 dB (mute)  alignment 0.75"
    unknown = replace(mute, spoken={"free_running_distance": 9.21})  # of a trial elsewhere, from the store
    assert line_of_progress(unknown, DISTANCE) == "trial 0  50%  loss 3.250  distance 9.21 dB  alignment 0.75"
