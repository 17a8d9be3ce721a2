import io
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial
from rich.console import Console

from smart_tuner.spec import BudgetSpec
from smart_tuner.terminal.live import ConsoleSink
from smart_tuner.verdict import State, Verdict
from trainer.protocol import Event, EventKind

REASON = "attention does not align: alignment 0.04 at 40%, 0.06 at 50% of the budget; at least 0.30 is expected"


def sink_on(console: Console, best: FrozenTrial | None = None, study: str = "quickstart") -> ConsoleSink:
    return ConsoleSink(
        console, study, budget=BudgetSpec(frames=1000, reports=2), target=50, finished=3, best=lambda: best
    )


def validation(frames: int, loss: float, alignment: float, best: bool = True) -> Event:
    data = {"index": 1, "loss": loss, "alignment": alignment, "best": best}
    return Event(EventKind.VALIDATION, frames, 1, data)


def progress(frames: int, loss: float) -> Event:
    return Event(EventKind.PROGRESS, frames, 1, {"loss": loss, "frames_per_second": 250.0})


def a_study(sink: ConsoleSink) -> None:
    """Trial 3 was completed, 4 pruned, 5 failed, 6 is halfway, 7 has begun."""
    for number in range(3, 8):
        params: dict[str, Any] = {"optimizer.lr": 0.00123456, "guided_attention.enabled": True}
        sink.trial_started(number, params, resumed=number == 4)
    for number in (3, 4, 6):
        sink.event(number, progress(400, 4.0))
        sink.event(number, validation(500, 3.25, 0.75))
    sink.trial_ended(3, Verdict(State.COMPLETE, ""))
    sink.trial_ended(4, Verdict(State.PRUNED, REASON))
    sink.trial_ended(5, Verdict(State.FAIL, "the trainer was killed by SIGSEGV\nthe log\nof many lines"))


def test_without_a_terminal_each_step_is_a_plain_line() -> None:
    out = io.StringIO()
    best = create_trial(state=TrialState.COMPLETE, value=3.25)
    best.number = 3
    with sink_on(Console(file=out, width=80), best) as sink:
        a_study(sink)
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    assert lines[0] == "trial 3 started: optimizer.lr=0.001235  guided_attention.enabled=True"
    assert lines[1].startswith("trial 4 continued: ")
    assert "trial 3  50%  loss 3.250  alignment 0.75" in lines
    assert "trial 3 COMPLETE" in lines
    assert f"trial 4 PRUNED: {REASON}" in lines  # whole, however long
    assert "best so far: trial 3, validation loss 3.2500" in lines


def test_square_brackets_are_no_markup() -> None:
    out = io.StringIO()
    with sink_on(Console(file=out, width=80)) as sink:
        sink.trial_started(1, {}, resumed=False)
        sink.trial_ended(1, Verdict(State.FAIL, "[red]/tmp[/]"))
    assert "trial 1 FAIL: [red]/tmp[/]" in out.getvalue()


def shown(sink: ConsoleSink, width: int) -> list[str]:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, record=True)
    console.print(sink._render())
    return console.export_text().splitlines()


def test_in_a_terminal_a_table_shows_what_runs_and_what_became_of_the_others() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with sink_on(console) as sink:
        a_study(sink)
        lines = shown(sink, 80)
    assert lines[0].rstrip() == "quickstart: 6/50 trials finished, no feasible trial yet"
    assert len(lines) == 1 + 1 + 5  # headline, names of the columns, one line per trial: nothing wraps
    rows = {line.split()[0]: line for line in lines[2:]}
    assert "COMPLETE" in rows["3"]
    assert "0.75 ██████░░" in rows["3"]
    assert "PRUNED" in rows["4"]
    assert "attention does" in rows["4"]
    assert "FAIL" in rows["5"]
    assert "━" in rows["6"]
    assert "2 s left" in rows["6"]
    assert "starting" in rows["7"]
    assert "\x1b" in console.file.getvalue()  # type: ignore[attr-defined]


def test_no_line_of_the_table_wraps_whatever_the_width_and_the_name() -> None:
    best = create_trial(state=TrialState.COMPLETE, value=3.25)
    for width in (80, 50):
        console = Console(file=io.StringIO(), force_terminal=True, width=width)
        with sink_on(console, best, study="a-rather-long-name-of-a-study" * 3) as sink:
            a_study(sink)
            lines = shown(sink, width)
        assert len(lines) == 7
        assert all(len(line) <= width for line in lines)


def test_the_table_keeps_the_last_of_the_trials_that_ended() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with sink_on(console) as sink:
        for number in range(30):
            sink.trial_started(number, {}, resumed=False)
            sink.trial_ended(number, Verdict(State.PRUNED, REASON))
        lines = shown(sink, 80)
    assert [line.split()[0] for line in lines[2:]] == [str(n) for n in range(22, 30)]


def test_an_interrupted_trial_is_not_counted_as_finished() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with sink_on(console) as sink:
        sink.trial_started(3, {}, resumed=False)
        sink.trial_ended(3, Verdict(State.INTERRUPTED, "stopped by SIGINT"))
        assert shown(sink, 80)[0].startswith("quickstart: 3/50")


def test_figures_that_are_not_finite_are_shown_all_the_same() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with sink_on(console) as sink:
        sink.trial_started(3, {}, resumed=False)
        sink.event(3, validation(500, float("nan"), float("nan")))
        assert "nan" in shown(sink, 80)[2]
