"""Clips that are outliers while they are trained on: their texts or recordings may be wrong.

`ClipFigures` collects the loss and the alignment of each clip in each epoch, on the device and without waiting for it.
`SuspectsFile` lists the clips that were outliers in `EPOCHS` epochs in a row, once the others align. Nothing is left
out by itself: `corpus.leave_out` names a copy of the list for that.
"""

import csv
import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
EPOCHS = 3  # in a row in which a clip is an outlier: in a single one others are by chance
SPREADS = 3.0  # robust standard deviations from the median from which a clip is an outlier
LOSS_RATIO = 1.3  # times the others' median, at least: where all clips are alike, small differences mean nothing
ALIGNMENT_RATIO = 0.75  # times the others' median, at most
ALIGNED = 0.5  # the median alignment from which losses and alignments show anything about a clip
NEWS = 0.25  # share of the clips logged so far; so many new ones are logged again
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
    epochs: int  # in a row in which it was an outlier


class ClipFigures:
    """The figures of each clip in the present epoch. On the device: `add` does not wait for it.

    reduction: frames of a decoder step.
    """

    def __init__(self, features: Features, reduction: int, device: torch.device) -> None:
        self._features = features
        self._reduction = reduction
        self._device = device
        self._seen = torch.full((2, len(features)), torch.nan, device=device)  # mel loss, alignment; NaN: not seen
        self._epochs = torch.zeros(len(features), dtype=torch.int64)  # in a row as an outlier
        self._usual: Array | None = None

    def add(self, indices: Sequence[int], loss: Tensor, alignment: Tensor) -> None:
        """loss, alignment: (B,) of the clips `indices`, on the device."""
        at = torch.tensor(indices)
        if self._device.type == "cuda":
            at = at.pin_memory().to(self._device, non_blocking=True)
        self._seen[:, at] = torch.stack([loss.float(), alignment.float()])

    def end_epoch(self) -> list[Suspect]:
        """The outliers, the worst first; then begin another epoch. Waits for the device."""
        loss, alignment = self._seen.double().cpu().numpy()
        self._seen.fill_(torch.nan)
        if self._usual is None:
            self._usual = loss_of_repeating(self._features, self._reduction)
        loss = loss / self._usual
        is_outlier = outliers(loss, alignment)
        self._epochs = torch.where(torch.from_numpy(is_outlier), self._epochs + 1, 0)
        epochs = self._epochs.numpy()
        others = ~is_outlier
        medians = _median(loss[others]), _median(alignment[others])
        found = [
            Suspect(int(clip), float(loss[clip]), medians[0], float(alignment[clip]), medians[1], int(epochs[clip]))
            for clip in np.flatnonzero(epochs >= EPOCHS)
        ]
        return sorted(found, key=lambda each: (-each.loss, each.clip))

    def state(self) -> dict[str, Tensor]:
        return {"seen": self._seen, "apart": self._epochs}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._seen = state["seen"].to(self._device)
        self._epochs = state["apart"].cpu()


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


def outliers(loss: Array, alignment: Array) -> npt.NDArray[np.bool_]:
    """Which clips are outliers in one epoch; none before clips align. Both (clips,), NaN: not seen. loss: relative."""
    usual = _median(alignment)
    if not usual >= ALIGNED:
        return np.zeros(len(loss), bool)
    high = (loss > _median(loss) + SPREADS * _spread(loss)) & (loss > LOSS_RATIO * _median(loss))
    low = (alignment < usual - SPREADS * _spread(alignment)) & (alignment < ALIGNMENT_RATIO * usual)
    found: npt.NDArray[np.bool_] = high | low
    return found


def _median(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _spread(values: Array) -> float:
    """The standard deviation, by the median of the absolute deviations, so that outliers do not count."""
    return 1.4826 * _median(np.abs(values - _median(values)))


class SuspectsFile:
    """Writes `suspects.csv`, and copies the recordings of the `WORST`. They are advice: errors only log a warning."""

    def __init__(self, config: TrainerConfig, features: Features, run_dir: RunDir) -> None:
        self._config = config
        self._features = features
        self._path = run_dir.suspects
        self._sounds = run_dir.suspects.with_suffix("")
        self._recordings: dict[str, Path] | None = None
        self._copied: list[int] = []  # in the order of their names
        self._logged: set[int] = set()

    def write(self, suspects: Sequence[Suspect]) -> None:
        if not suspects and not self._path.exists():
            return
        try:
            self._write_table(suspects)
            self._copy_sounds(suspects[:WORST])
        except OSError as error:
            log.warning("the list of suspect clips is not complete: %s", error)
        new = {each.clip for each in suspects} - self._logged
        if len(new) > NEWS * len(self._logged):
            self._logged |= new
            log.info("%d clips have a loss or an alignment far from the others': %s", len(suspects), self._path)

    def _write_table(self, suspects: Sequence[Suspect]) -> None:
        with write_atomically(self._path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            table.writerows(self._row(each) for each in suspects)

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
        """Names begin with the rank, so that another order is copied again."""
        clips = [each.clip for each in suspects]
        if clips == self._copied:
            return
        shutil.rmtree(self._sounds, ignore_errors=True)
        for rank, clip in enumerate(clips, start=1):
            recording = self._recording(self._features.id(clip))
            if recording is not None:
                self._sounds.mkdir(exist_ok=True)
                with suppress(FileNotFoundError):  # moved or deleted since
                    shutil.copyfile(recording, self._sounds / f"{rank:02d}-{recording.name}")
        self._copied = clips

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
