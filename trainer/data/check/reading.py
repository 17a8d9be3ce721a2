"""Measures all recordings of a corpus on all cores. Rows that cannot be used become faults, and the rest goes on."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.audio import log_mel
from trainer.config import AudioConfig, TrainerConfig
from trainer.data.audio_files import decode, prepare
from trainer.data.check.agreement import bands_of
from trainer.data.check.findings import Clip
from trainer.data.check.measures import Sound, measure
from trainer.data.corpus import ReadList, read_lists, split_lists
from trainer.data.faults import OF_THE_CORPUS, Fault, FaultKind, RecordingError, refuse
from trainer.data.processes import Step, cores, spread
from trainer.data.progress import OnProgress
from trainer.data.texts import Texts, read_texts
from trainer.data.utterance import Utterance
from trainer.text import Reading

CLIPS_OF_A_TASK = 32
FEW_CLIPS = 64  # fewer are measured faster than processes start
HOPS = 2  # from one frame of the spectrum to the next: half as many say as much
NO_TEXTS = Texts((), "", ())


@dataclass(frozen=True)
class Row:
    """A line whose text can be read."""

    line: Utterance
    reading: Reading
    validates: bool


@dataclass(frozen=True)
class Task:
    """Rows to measure; first: the number of the first one."""

    rows: tuple[Row, ...]
    first: int
    audio: AudioConfig


@dataclass(frozen=True)
class Read:
    """A corpus with the figures of its usable clips, and its faults. rows: all of the list."""

    layout: str
    language: str
    clips: Sequence[Clip]
    faults: Sequence[Fault]
    rows: int


def read_corpus(config: TrainerConfig, progress: OnProgress) -> Read:
    """Raises CorpusFaults where the list or the language of its texts cannot be understood, or no speaker is chosen."""
    lists = read_lists(config.corpus, Path(config.paths.cache), progress)
    faults = [fault for each in lists for fault in each.faults]
    lines = _split(lists, config)
    listed = len(lines) + len(faults)
    texts = read_texts([(line.origin, line.text) for line, _ in lines], config.text) if lines else NO_TEXTS
    faults += texts.faults
    refuse([fault for fault in faults if fault.kind in OF_THE_CORPUS])
    rows = [Row(line, text, of) for (line, of), text in zip(lines, texts.readings, strict=True) if text]
    clips = []
    for row, sound in zip(rows, _sounds(rows, config.audio, progress), strict=True):
        if isinstance(sound, Fault):
            faults.append(sound)
        else:
            clips.append(_clip(row, sound))
    listed_as = {line.origin: line for line, _ in lines}
    faults = [_with_its_line(fault, listed_as.get(fault.origin)) for fault in faults]
    layout = "; for validation: ".join(each.layout for each in lists)
    return Read(layout, texts.language, clips, faults, listed)


def _with_its_line(fault: Fault, line: Utterance | None) -> Fault:
    """line: that of the same origin, if it is none of the faulty ones of the list."""
    if line is None or fault.recording:
        return fault
    return replace(fault, recording=str(line.wav), written=line.text)


def _split(lists: Sequence[ReadList], config: TrainerConfig) -> list[tuple[Utterance, bool]]:
    """Each usable line, and whether it is for validation. Lines too few for two splits are all for training."""
    if len(lists) == 1 and len(lists[0].clips) < 2:
        return [(line, False) for line in lists[0].clips]
    listing = split_lists(lists, config.corpus)
    return [*((line, False) for line in listing.train), *((line, True) for line in listing.validation)]


def _clip(row: Row, sound: Sound) -> Clip:
    line, reading = row.line, row.reading
    return Clip(
        id=line.id,
        origin=line.origin,
        recording=str(line.wav),
        written=line.text,
        words=reading.words,
        text=reading.text,
        expansions=reading.expansions,
        validates=row.validates,
        sound=sound,
    )


def _sounds(rows: Sequence[Row], audio: AudioConfig, progress: OnProgress) -> list[Sound | Fault]:
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, len(rows), "reading the recordings")

    starts = range(0, len(rows), CLIPS_OF_A_TASK)
    tasks = [Task(tuple(rows[first : first + CLIPS_OF_A_TASK]), first, audio) for first in starts]
    processes = cores() if len(rows) >= FEW_CLIPS else 1
    progress(0, len(rows), "reading the recordings")
    found: dict[int, list[Sound | Fault]] = {}
    with closing(spread(measure_rows, tasks, processes, step)) as results:
        for first, sounds in results:
            found[first] = sounds
    return [sound for first in starts for sound in found[first]]


def measure_rows(task: Task, step: Step) -> tuple[int, list[Sound | Fault]]:
    """The number of the first row, and for each row its figures, or what is wrong with its recording."""
    sounds = []
    for row in task.rows:
        sounds.append(_sound(row, task.audio))
        step()
    return task.first, sounds


def _sound(row: Row, audio: AudioConfig) -> Sound | Fault:
    try:
        decoded = decode(row.line.wav)
        samples = prepare(decoded, audio)
    except RecordingError as error:
        return Fault(error.kind, row.line.origin, str(error))
    frames = 1 + len(samples) // audio.hop_length
    if frames < len(row.reading.text):
        text = f"{row.line.wav} has {frames} frames for {len(row.reading.text)} symbols; is it another sentence?"
        return Fault(FaultKind.TOO_SHORT, row.line.origin, text)
    sound = measure(decoded.channels, decoded.sample_rate, len(samples) / audio.sample_rate)
    return replace(sound, bands=bands_of(log_mel(samples, replace(audio, hop_length=HOPS * audio.hop_length))))
