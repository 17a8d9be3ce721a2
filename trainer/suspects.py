"""Clips that stay apart from the others while they are trained on: their texts or recordings may be wrong.

`ClipFigures` collects the loss and the alignment of each clip in each epoch, on the device and without waiting for it.
`SuspectsFile` lists the clips that were apart in `EPOCHS` epochs in a row. Nothing is left out by itself:
`corpus.leave_out` names the list for that.
"""

import csv
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.config import TrainerConfig
from trainer.data.corpus import read_lists
from trainer.data.features import Features
from trainer.errors import CorpusError
from trainer.files import write_atomically
from trainer.protocol import RunDir

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]

# Of 152 clips, 8 with the text of another clip of like length, trained for 35 epochs: six of the ten highest losses are
# theirs from the 25th epoch on. Of the other clips two or three reach these limits, and none that of the alignment.
EPOCHS = 3  # in a row in which a clip is apart: in a single one chance puts others there
SPREADS = 3.0  # robust standard deviations from the median from which a clip is apart
LOSS_RATIO = 1.3  # times the others' median, at least: where all clips are alike, small differences mean nothing
ALIGNMENT_RATIO = 0.75  # times the others' median, at most
ALIGNED = 0.5  # the others' median alignment from which alignment tells anything about a clip
WORST = 10  # clips whose recordings are copied beside the table
COLUMNS = ("id", "text", "loss", "others_loss", "alignment", "others_alignment", "epochs", "recording")


@dataclass(frozen=True)
class Suspect:
    """clip: its number; loss (relative), alignment: of the last epoch; others_...: the medians of the other clips."""

    clip: int
    loss: float
    others_loss: float
    alignment: float
    others_alignment: float
    epochs: int  # in a row in which it was apart


class ClipFigures:
    """The figures of each clip in the present epoch. On the device: `add` does not wait for it.

    reduction: frames of a decoder step.
    """

    def __init__(self, features: Features, reduction: int, device: torch.device) -> None:
        self._features = features
        self._reduction = reduction
        self._device = device
        self._seen = torch.full((2, len(features)), torch.nan, device=device)  # mel loss, alignment; NaN: not seen
        self._apart = torch.zeros(len(features), dtype=torch.int64)  # epochs in a row
        self._usual: Array | None = None

    def add(self, indices: Sequence[int], loss: Tensor, alignment: Tensor) -> None:
        """loss, alignment: (B,) of the clips `indices`, on the device."""
        at = torch.tensor(indices)
        if self._device.type == "cuda":
            at = at.pin_memory().to(self._device, non_blocking=True)
        self._seen[:, at] = torch.stack([loss.float(), alignment.float()])

    def end_epoch(self) -> list[Suspect]:
        """The clips that stay apart, the worst first; then begin another epoch. Waits for the device."""
        loss, alignment = self._seen.double().cpu().numpy()
        self._seen.fill_(torch.nan)
        if self._usual is None:
            self._usual = loss_of_repeating(self._features, self._reduction)
        loss = loss / self._usual
        apart = stay_apart(loss, alignment)
        self._apart = torch.where(torch.from_numpy(apart), self._apart + 1, 0)
        epochs = self._apart.numpy()
        others = ~apart
        medians = _median(loss[others]), _median(alignment[others])
        found = [
            Suspect(int(clip), float(loss[clip]), medians[0], float(alignment[clip]), medians[1], int(epochs[clip]))
            for clip in np.flatnonzero(epochs >= EPOCHS)
        ]
        return sorted(found, key=lambda each: (-each.loss, each.clip))

    def state(self) -> dict[str, Tensor]:
        return {"seen": self._seen, "apart": self._apart}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._seen = state["seen"].to(self._device)
        self._apart = state["apart"].cpu()


def loss_of_repeating(features: Features, reduction: int) -> Array:
    """(clips,) The loss of each clip where every frame is predicted as that of the decoder step before.

    A lively or noisy sentence has a high loss in any training. In units of this, sentences can be compared.
    """
    losses = np.full(len(features), np.nan)
    for clip in features.train:
        mel = features.mel(clip).astype(np.float32)
        if len(mel) > reduction:
            losses[clip] = 2 * np.mean((mel[reduction:] - mel[:-reduction]) ** 2)  # before and after the postnet
    return np.where(losses > 0, losses, np.nan)


def stay_apart(loss: Array, alignment: Array) -> npt.NDArray[np.bool_]:
    """Which clips are apart in one epoch. Both (clips,), NaN for clips that were not seen. loss: relative."""
    high = (loss > _median(loss) + SPREADS * _spread(loss)) & (loss > LOSS_RATIO * _median(loss))
    usual = _median(alignment)
    if not usual >= ALIGNED:
        return high
    low = (alignment < usual - SPREADS * _spread(alignment)) & (alignment < ALIGNMENT_RATIO * usual)
    apart: npt.NDArray[np.bool_] = high | low
    return apart


def _median(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _spread(values: Array) -> float:
    """The standard deviation, by the median of the absolute deviations, so that the clips apart do not count."""
    return 1.4826 * _median(np.abs(values - _median(values)))


class SuspectsFile:
    """Writes `suspects.csv`, and copies of the recordings of the `WORST`, each time there are others than before."""

    def __init__(self, config: TrainerConfig, features: Features, run_dir: RunDir) -> None:
        self._config = config
        self._features = features
        self._path = run_dir.suspects
        self._sounds = run_dir.suspects.with_suffix("")
        self._recordings: dict[str, Path] | None = None
        self._written: list[int] = []

    def write(self, suspects: Sequence[Suspect]) -> None:
        """Raises OSError where the disk is full."""
        if not suspects and not self._path.exists():
            return
        with write_atomically(self._path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            table.writerows(self._row(each) for each in suspects)
        if sorted(each.clip for each in suspects) != self._written:
            self._written = sorted(each.clip for each in suspects)
            self._copy_sounds(suspects[:WORST])
            log.info("%d clips stay apart from the others: %s", len(suspects), self._path)

    def _row(self, suspect: Suspect) -> tuple[str, ...]:
        figures = (suspect.loss, suspect.others_loss, suspect.alignment, suspect.others_alignment)
        clip_id = self._features.id(suspect.clip)
        recording = self._recording(clip_id)
        return (
            clip_id,
            self._features.text(suspect.clip),
            *(f"{figure:.4g}" for figure in figures),
            str(suspect.epochs),
            str(recording or ""),
        )

    def _copy_sounds(self, suspects: Sequence[Suspect]) -> None:
        shutil.rmtree(self._sounds, ignore_errors=True)
        for rank, suspect in enumerate(suspects, start=1):
            recording = self._recording(self._features.id(suspect.clip))
            if recording is not None and recording.is_file():
                self._sounds.mkdir(exist_ok=True)
                shutil.copyfile(recording, self._sounds / f"{rank:02d}-{recording.name}")

    def _recording(self, clip_id: str) -> Path | None:
        """None where the corpus is not here: a run may train on prepared features alone."""
        if self._recordings is None:
            self._recordings = {} if self._config.paths.features else self._find_recordings()
        return self._recordings.get(clip_id)

    def _find_recordings(self) -> dict[str, Path]:
        try:
            lists = read_lists(self._config.corpus, Path(self._config.paths.cache))
        except (CorpusError, OSError) as error:
            log.warning("the recordings of suspect clips are not named: %s", error)
            return {}
        return {clip.id: clip.wav for each in lists for clip in each.clips}
