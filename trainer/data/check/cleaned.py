"""A cleaned copy of a corpus, in LJSpeech layout: only the rows that can be used, as the model hears and reads them.

Each recording is trimmed, without its offset, mono, at `audio.sample_rate`, at one loudness, in 16 bits. What is left
out is listed with its reason. The copy is written beside its place and renamed when it is whole; one that was killed is
begun again. Nothing is written into the corpus.
"""

import csv
import re
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.audio import to_wav
from trainer.config import AudioConfig
from trainer.data.atomic_folders import flush
from trainer.data.audio_files import decode, prepare
from trainer.data.check.findings import Clip
from trainer.data.check.groups import Group
from trainer.data.check.limits import Kind
from trainer.data.check.report import Report
from trainer.data.processes import Step, cores, spread
from trainer.data.progress import OnProgress
from trainer.data.space import check_space, saying_what_is_needed
from trainer.errors import CorpusError
from trainer.files import lock

LOUDNESS = -23.0  # LUFS, where `audio.level` names none: that of broadcasts (EBU R 128)
CLIPS_OF_A_TASK = 32
FEW_CLIPS = 64  # fewer are written faster than processes start
LEFT_OUT = "left-out.csv"
SPACE = "The cleaned copy needs"
LEAVES_OUT = frozenset({Kind.NO_SPEECH, Kind.SAME_AUDIO, Kind.SAME_AUDIO_OTHER_TEXT, Kind.TOO_LONG})
_LONGEST_NAME = 100  # characters


@dataclass(frozen=True)
class Copy:
    """One recording to write: its path, and that of the copy."""

    source: str
    target: str


@dataclass(frozen=True)
class Task:
    copies: tuple[Copy, ...]
    audio: AudioConfig


@dataclass(frozen=True)
class LeftOut:
    origin: str
    recording: str
    text: str
    reason: str


def refuse_place(out: Path, source: str) -> None:
    """Raises CorpusError where the copy would overwrite something, or be inside the corpus, or around it."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise CorpusError(f"--fix {out}: exists already; name a folder that does not.")
    corpus, place = Path(source).expanduser().resolve(), out.resolve()
    folder = corpus if corpus.is_dir() else corpus.parent
    if corpus.exists() and place.is_relative_to(folder):
        raise CorpusError(f"--fix {out}: is inside the corpus, which is never written to; name a folder outside of it.")


def write_cleaned(out: Path, report: Report, clips: Sequence[Clip], audio: AudioConfig, progress: OnProgress) -> int:
    """Write the copy to `out`; return how many clips it has.

    Raises CorpusError where none is left, DiskFull where there is too little space, OSError where it cannot be written.
    """
    left_out = _left_out(report, clips)
    origins = {row.origin for row in left_out}
    kept = [clip for clip in clips if clip.origin not in origins]
    if not kept:
        raise CorpusError("--fix: no usable clip is left; nothing was written.")
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.unfinished")
    needed = round(sum(clip.sound.kept for clip in kept) * audio.sample_rate * 2)  # 16 bits
    check_space(out, needed, SPACE)
    with saying_what_is_needed(out, lambda: needed, SPACE), lock(out.with_name(f".{out.name}.lock")):
        shutil.rmtree(beside, ignore_errors=True)  # left by a killed process
        (beside / "wavs").mkdir(parents=True)
        names = _names(kept)
        _write_recordings(kept, names, beside, audio, progress)
        _write_lists(kept, names, left_out, beside)
        flush(beside)
        if out.is_dir():
            out.rmdir()  # empty, as checked
        beside.rename(out)
        out.with_name(f".{out.name}.lock").unlink(missing_ok=True)
    return len(kept)


def _left_out(report: Report, clips: Sequence[Clip]) -> list[LeftOut]:
    written = {clip.origin: clip for clip in clips}
    rows = [
        LeftOut(fault.origin, fault.recording, fault.written, f"{refused.kind}: {fault.text}")
        for refused in report.refused
        for fault in refused.faults
    ]
    for group in report.groups:
        if group.kind in LEAVES_OUT:
            rows += [_left(written, finding.origin, finding.text) for finding in group.findings]
            rows += _firsts_with_other_text(group, written)
    return rows


def _left(written: dict[str, Clip], origin: str, reason: str) -> LeftOut:
    clip = written[origin]
    return LeftOut(origin, clip.recording, clip.written, reason)


def _firsts_with_other_text(group: Group, written: dict[str, Clip]) -> list[LeftOut]:
    """Of one audio with several texts, the first row too: no one knows which text is right."""
    if group.kind is not Kind.SAME_AUDIO_OTHER_TEXT:
        return []
    contents = {written[finding.origin].sound.content for finding in group.findings}
    found = {finding.origin for finding in group.findings}
    return [
        _left(written, clip.origin, "other rows have its audio and another text")
        for clip in written.values()
        if clip.sound.content in contents and clip.origin not in found
    ]


def _names(clips: Sequence[Clip]) -> list[str]:
    """One per clip, all different on file systems that ignore case too: its id, without what a name may not have."""
    taken: set[str] = set()
    names = []
    for clip in clips:
        stem = re.sub(r"[^\w.-]+", "_", Path(clip.id).with_suffix("").as_posix()).strip("._-")[:_LONGEST_NAME] or "clip"
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _write_recordings(
    clips: Sequence[Clip], names: Sequence[str], folder: Path, audio: AudioConfig, progress: OnProgress
) -> None:
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, len(clips), "writing the cleaned copy")

    at_one_level = audio if audio.level else replace(audio, level=LOUDNESS)
    copies = [
        Copy(clip.recording, str(folder / "wavs" / f"{name}.wav")) for clip, name in zip(clips, names, strict=True)
    ]
    tasks = [
        Task(tuple(copies[first : first + CLIPS_OF_A_TASK]), at_one_level)
        for first in range(0, len(copies), CLIPS_OF_A_TASK)
    ]
    processes = cores() if len(copies) >= FEW_CLIPS else 1
    progress(0, len(clips), "writing the cleaned copy")
    with closing(spread(write_recordings, tasks, processes, step)) as results:
        for _ in results:
            pass


def write_recordings(task: Task, step: Step) -> None:
    """Raises CorpusError where a recording changed since it was checked."""
    for copy in task.copies:
        samples = prepare(decode(Path(copy.source)), task.audio)
        Path(copy.target).write_bytes(to_wav(samples, task.audio.sample_rate))
        step()


def _write_lists(clips: Sequence[Clip], names: Sequence[str], left_out: Sequence[LeftOut], folder: Path) -> None:
    lines = [
        f"{name}|{_one_column(clip.written)}|{_one_column(clip.words)}\n"
        for clip, name in zip(clips, names, strict=True)
    ]
    (folder / "metadata.csv").write_text("".join(sorted(lines)), encoding="utf-8", newline="\n")
    with (folder / LEFT_OUT).open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["line", "recording", "text", "reason"])
        writer.writerows([row.origin, row.recording, row.text, row.reason] for row in left_out)


def _one_column(text: str) -> str:
    """A list has one line per clip, and `|` between its columns."""
    return " ".join(text.replace("|", " ").split())
