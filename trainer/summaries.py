"""What people look at and listen to: TensorBoard, PNG files of alignments, samples to listen to.

The only owner of a SummaryWriter. matplotlib, tensorboard and librosa are imported where they are
first needed: a run with pictures, samples and TensorBoard switched off needs none of them.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainer.config import AudioConfig
from trainer.protocol import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.utils.tensorboard.writer import SummaryWriter as Writer

Array = npt.NDArray[np.float32]
Mel = npt.NDArray[np.floating[Any]]  # features are kept as float16


class Summaries:
    """TensorBoard of one trial; steps are updates. Files of an earlier part of the run are kept.

    folder: None switches TensorBoard off. resumed_at: what an interrupted run logged after this update is hidden,
    since it will be logged again.
    """

    def __init__(self, folder: Path | None, resumed_at: int | None = None) -> None:
        self._writer: Writer | None = None
        if folder is not None:
            from torch.utils.tensorboard.writer import SummaryWriter  # 1.6 s, so only where it is wanted

            purge = None if resumed_at is None else resumed_at + 1
            self._writer = SummaryWriter(str(folder), purge_step=purge)

    def __enter__(self) -> "Summaries":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def scalars(self, group: str, figures: Mapping[str, Any], update: int) -> None:
        """Log each number as `group/name`."""
        if self._writer is not None:
            for name, value in figures.items():
                if isinstance(value, int | float):
                    self._writer.add_scalar(f"{group}/{name}", value, update)

    def picture(self, name: str, figure: "Figure", path: Path, update: int) -> None:
        """Save a figure as PNG and show it in TensorBoard."""
        with write_atomically(path) as beside:
            figure.savefig(beside, dpi=80)
        if self._writer is not None:
            self._writer.add_figure(name, figure, update, close=False)

    def sample(self, name: str, mel: Array, audio: AudioConfig, path: Path, update: int) -> None:
        """Turn a log-mel (L, M) into sound by Griffin-Lim; save it and offer it in TensorBoard."""
        from trainer.audio import griffin_lim, write_wav

        samples = griffin_lim(mel, audio)
        write_wav(path, samples, audio.sample_rate)
        if self._writer is not None:
            loudest = max(1.0, float(np.abs(samples).max(initial=0.0)))  # as in the file: nothing is clipped
            self._writer.add_audio(name, samples[None] / loudest, update, audio.sample_rate)


def draw_alignment(attention: Array, text: str, title: str) -> "Figure":
    """Attention (T, N) with decoder steps to the right and the text's letters upwards."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    # One scale for all that is below half: uniform attention must look as dark as it is.
    top = max(0.5, float(attention.max()))
    image = axes.imshow(
        attention.T, aspect="auto", origin="lower", interpolation="none", cmap="magma", vmin=0, vmax=top
    )
    figure.colorbar(image, ax=axes, label="attention")
    axes.set_xlabel("decoder step")
    axes.set_yticks(range(len(text)), list(text), fontsize=6)
    axes.set_title(title, fontsize=10)
    return figure


def draw_mels(rows: Mapping[str, Mel], title: str) -> "Figure":
    """Log-mels (L, M) one above the other on one scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2 + 2 * len(rows)), layout="constrained")
    longest = max(len(mel) for mel in rows.values())
    low, high = min(m.min() for m in rows.values()), max(m.max() for m in rows.values())
    for i, (name, mel) in enumerate(rows.items()):
        axes = figure.add_subplot(len(rows), 1, i + 1)
        image = axes.imshow(mel.T, aspect="auto", origin="lower", interpolation="none", vmin=low, vmax=high)
        axes.set_xlim(-0.5, longest - 0.5)  # one scale of time
        axes.set_ylabel(f"{name}\nmel bin")
    axes.set_xlabel("frame")
    figure.colorbar(image, ax=figure.axes, label="log magnitude")
    figure.suptitle(title, fontsize=10)
    return figure
