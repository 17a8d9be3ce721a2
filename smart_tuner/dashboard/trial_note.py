"""The note of a trial: one paragraph with what was tried, how far the trial came, and why it ended. Pure.

`Story` collects the events of the trial's record; `trial_note` makes the text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import TextWrapper
from typing import Any

from smart_tuner.artifacts import ARTIFACT_EVENTS
from smart_tuner.figures import advice, listed, verdict
from smart_tuner.formatting import readable
from smart_tuner.masking import masked
from smart_tuner.outcome import Outcome, State
from trainer.protocol import Event, EventKind

# The dashboard makes a trial's page as wide as its longest attribute, so a longer line would run out of the window.
_lines = TextWrapper(width=120, break_long_words=False, break_on_hyphens=False)
_LINE_BREAK = "\\\n"
_CODE = re.compile(r"(?<!\\)`[^`]+`")
_NO_BREAK = "\x1f"
_MARKUP = re.compile(r"[\\`*_\[\]<>~$&|#!]")
_LONGEST = 400  # characters of a text that is not ours, such as a line of a log
_PARTS = ("diagonality", "focus", "coverage", "monotonicity")
_OUTCOME = {
    State.COMPLETE: "Complete",
    State.PRUNED: "Pruned",
    State.FAIL: "Failed",
    State.PAUSED: "Paused, to be continued if it is worth it",
    State.INTERRUPTED: "Interrupted, to be continued",
    State.RETRIED: "Failed, to be tried again",
    State.NO_SPACE: "Waits for space, to be continued",
}


@dataclass
class Story:
    """What one trial's record says so far. Takes each event once, from the first start on."""

    params: Mapping[str, Any] = field(default_factory=dict)
    starts: int = 0
    last: Event | None = None
    best: Event | None = None  # the best report
    corrections: list[Event] = field(default_factory=list)
    artifact_events: list[Event] = field(default_factory=list)  # of pictures and sounds, for `artifacts_of`

    def take(self, event: Event) -> None:
        self.last = event
        if event.kind in ARTIFACT_EVENTS:
            self.artifact_events.append(event)
        match event.kind:
            case EventKind.STARTED:
                self.starts += 1
            case EventKind.VALIDATION if event.data["best"] or self.best is None:
                self.best = event
            case EventKind.CORRECTION:
                self.corrections.append(event)


@dataclass(frozen=True)
class NoteDetails:
    """What a note says besides the trial's record."""

    budget: int  # in frames
    floor: float  # of the alignment score
    folder: str  # of the trial, within the workspace
    metrics: Mapping[str, float] = field(default_factory=dict)  # as stored; empty for a trial that has not ended
    failures: Sequence[Mapping[str, Any]] = ()  # attempts that failed
    again: str = ""  # the command that enqueues a trial like it
    first: str = ""  # what to do before that
    origin: str = ""  # whose setting it is; empty: the sampler's, or the definition's
    pauses: str = ""  # where it was paused and went on
    best: bool = False  # whether the trial is the best of its study so far


def trial_note(story: Story, outcome: Outcome, details: NoteDetails) -> str:
    sentences = [
        _outcome(outcome, details),
        _tried(story.params),
        f"The setting comes from {_plain(details.origin)}." if details.origin else "",
        _came(story.last, details.budget),
        _best(story.best, details),
        _heard(details.metrics),
        _corrections(story.corrections),
        f"It was paused at {details.pauses} of the budget, and promoted." if details.pauses else "",
        _starts(story.starts, details.failures),
        f"Its folder is `{details.folder}` in the workspace.",
        f"A trial like it, with something changed: `{details.again}`. {details.first}".strip() if details.again else "",
    ]
    body = " ".join(sentence for sentence in sentences if sentence)
    whole = _CODE.sub(lambda code: code[0].replace(" ", _NO_BREAK), body)  # within code a break would be shown
    return _LINE_BREAK.join(_lines.wrap(whole)).replace(_NO_BREAK, " ")


def _outcome(outcome: Outcome, details: NoteDetails) -> str:
    words = _OUTCOME[outcome.state]
    if outcome.state is State.COMPLETE:
        return f"**{words}**{', and the best trial when it ended' if details.best else ''}."
    first, *log = masked(outcome.reason).strip().splitlines() or [""]
    end = f" The log ends: {_plain(log[-1])}." if log else ""
    cause = f" ({outcome.cause})" if outcome.state.is_final else ""  # the other states name their cause
    return f"**{words}**{cause}: {_plain(first)}.{end}"


def _tried(params: Mapping[str, Any]) -> str:
    named = [f"`{name}`\N{NO-BREAK SPACE}{_plain(readable(value))}" for name, value in params.items()]
    return f"It tried {', '.join(named)}." if named else ""


def _came(last: Event | None, budget: int) -> str:
    if last is None or not last.update:
        return "It came to no update."
    share = last.frames / budget
    return f"It came to {last.frames:,} frames of speech, {share:.0%} of the budget, in {last.update:,} updates."


def _best(best: Event | None, details: NoteDetails) -> str:
    if best is None:
        return "It never reported."
    data = best.data
    parts = ", ".join(f"{part} {data[part]:.2f}" for part in _PARTS if isinstance(data.get(part), float))
    enough = "enough" if data["alignment"] >= details.floor else "too little"
    return (
        f"Its best report, after {best.update:,} updates ({best.frames / details.budget:.0%}), has validation loss "
        f"{data['loss']:.4g} and alignment {data['alignment']:.2f}{f' ({parts})' if parts else ''}: {enough}, "
        f"where {details.floor:.2f} is feasible."
    )


def _heard(metrics: Mapping[str, float]) -> str:
    """What it says without a teacher, with the figures behind the verdict, and what to do next."""
    if not metrics:
        return ""
    return f"What is heard without a teacher: **{verdict(metrics)}**{listed(metrics)}. {advice(metrics)}".strip()


def _corrections(corrections: Sequence[Event]) -> str:
    if not corrections:
        return ""
    last = corrections[-1]
    times = "One correction was" if len(corrections) == 1 else f"{len(corrections)} corrections were"
    return f"{times} made, the last after {last.update:,} updates: {_plain(masked(last.data['reason']))}."


def _starts(starts: int, failures: Sequence[Mapping[str, Any]]) -> str:
    sentence = f"It was started {starts} times." if starts > 1 else ""
    if failures:
        last = masked(str(failures[-1]["reason"])).strip().partition("\n")[0]
        count = "One attempt" if len(failures) == 1 else f"{len(failures)} attempts"
        sentence = f"{sentence} {count} failed, the last one with: {_plain(last)}.".strip()
    return sentence


def _plain(text: str) -> str:
    """The text on one line, escaped so that nothing in it is markup, a link, a picture or a formula."""
    line = " ".join(text.split())
    return _MARKUP.sub(r"\\\g<0>", line if len(line) <= _LONGEST else line[:_LONGEST] + " ...")
