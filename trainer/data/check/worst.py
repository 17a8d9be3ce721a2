"""The clips that most need a look, each kind of finding in turn, with their sounds and pictures."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from trainer.audio import log_mel, to_wav
from trainer.config import AudioConfig
from trainer.corpus_report import Severity, Worst
from trainer.data.audio_files import decode, prepare
from trainer.data.check.findings import Clip
from trainer.data.check.groups import Group
from trainer.data.progress import OnProgress
from trainer.pictures import draw_mels

WORST = 10  # clips
HEARD = 15.0  # seconds of a clip that can be heard; a page holds ten of them
MEDIA = "media"


def write_worst(
    groups: Sequence[Group], clips: Sequence[Clip], audio: AudioConfig, folder: Path, progress: OnProgress
) -> list[Worst]:
    """Write the media of up to `WORST` clips into `folder`."""
    (folder / MEDIA).mkdir()
    by_origin = {clip.origin: clip for clip in clips}
    chosen = _chosen(groups)
    written = []
    for number, (origin, faults) in enumerate(chosen.items(), start=1):
        written.append(_write(by_origin[origin], faults, f"{number:02d}", audio, folder))
        progress(number, len(chosen), "sounds and pictures of the worst clips")
    return written


def _chosen(groups: Sequence[Group]) -> dict[str, list[str]]:
    """Faults by origin: the worst of each kind, then the next worst of each. Notes alone choose no clip."""
    faults: dict[str, list[str]] = {}
    for group in groups:
        for finding in group.findings:
            faults.setdefault(finding.origin, []).append(finding.text)
    ranked = [
        sorted(group.findings, key=lambda finding: -len(faults[finding.origin]))
        for group in groups
        if group.severity is not Severity.NOTE
    ]
    order = dict.fromkeys(finding.origin for turn in zip_longest(*ranked) for finding in turn if finding)
    return {origin: faults[origin] for origin in list(order)[:WORST]}


def _write(clip: Clip, faults: Sequence[str], name: str, audio: AudioConfig, folder: Path) -> Worst:
    """The sound as it is in the file, mono; the picture as the model sees it."""
    decoded = decode(Path(clip.recording))
    heard = decoded.channels.mean(axis=0)[: round(HEARD * decoded.sample_rate)]
    sound, picture = f"{MEDIA}/{name}.wav", f"{MEDIA}/{name}.png"
    (folder / sound).write_bytes(to_wav(heard, decoded.sample_rate))
    mel = log_mel(prepare(decoded, audio), audio)
    (folder / picture).write_bytes(draw_mels({"": mel}, clip.text))
    return Worst(
        clip.id, clip.origin, clip.written, clip.text, list(dict.fromkeys(faults)), clip.sound.seconds, sound, picture
    )
