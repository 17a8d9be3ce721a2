"""TensorBoard of one run: curves, pictures, sound, and the layout of the Custom Scalars page.

The only user of SummaryWriter, which is imported when first needed: a run without TensorBoard does not need the
package. A curve is named by its event and its figure, as in MLflow: `validation/alignment`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter as Writer

# The tab Custom Scalars: category -> chart -> curves.
LAYOUT: Mapping[str, Mapping[str, Sequence[str]]] = {
    "What is heard": {
        "distance to the recordings, and a hum's, dB": (
            "validation/free_running_distance",
            "validation/free_running_hum_mcd",
        ),
        "sentences that fail, half seconds recognised, alignment without a teacher": (
            "validation/free_running_failed",
            "validation/free_running_recognised",
            "validation/free_running_alignment",
        ),
    },
    "Loss": {
        "training and validation": ("train/loss", "validation/loss"),
        "validation": ("validation/loss",),
        "parts of the training loss": ("train/mel_loss", "train/gate_loss", "train/guided_attention_loss"),
    },
    "Alignment": {
        "score": ("validation/alignment", "validation/alignment_median", "validation/alignment_share_good"),
        "its parts": (
            "validation/diagonality",
            "validation/focus",
            "validation/coverage",
            "validation/monotonicity",
        ),
        "running back": ("validation/backtracking",),
    },
    "Gate": {
        "F1": ("validation/gate_f1",),
        "frames off": ("validation/stop_error_frames",),
    },
    "Training": {
        "learning rate": ("train/lr",),
        "gradient norm": ("train/gradient_norm",),
        "frames per second": ("train/frames_per_second",),
        "memory, bytes": ("train/memory_bytes",),
    },
}


class Summaries:
    """Writes event files, whose steps are updates. Files of the run before a resume are kept.

    folder: None switches TensorBoard off. resumed_at: hides what the interrupted run logged after this update, since it
    is logged again.
    """

    def __init__(self, folder: Path | None, resumed_at: int | None = None) -> None:
        self._writer: Writer | None = None
        if folder is not None:
            from torch.utils.tensorboard.writer import SummaryWriter  # takes 1.6 s, so only when needed

            purge = None if resumed_at is None else resumed_at + 1
            self._writer = SummaryWriter(str(folder), purge_step=purge)
            if resumed_at is None:
                self._writer.add_custom_scalars(_with_kinds(LAYOUT))

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

    def picture(self, tag: str, png: bytes, update: int) -> None:
        self._add(tag, update, image={"encoded_image_string": png})

    def sound(self, tag: str, wav: bytes, update: int) -> None:
        self._add(tag, update, audio={"encoded_audio_string": wav, "content_type": "audio/wav"})

    def text(self, tag: str, markdown: str, update: int) -> None:
        if self._writer is not None:
            self._writer.add_text(tag, markdown, update)

    def _add(self, tag: str, update: int, **content: Mapping[str, Any]) -> None:
        """Log encoded content as it is: SummaryWriter would encode it again."""
        if self._writer is not None:
            from tensorboard.compat.proto.summary_pb2 import Summary

            summary = Summary(value=[Summary.Value(tag=tag, **content)])
            files = self._writer._get_file_writer()  # type: ignore[no-untyped-call]
            files.add_summary(summary, update)


def _with_kinds(layout: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, dict[str, list[Any]]]:
    """The layout in SummaryWriter's form. TensorBoard reads a curve's name as a pattern, matched from its start."""
    return {
        category: {title: ["Multiline", [f"^{tag}$" for tag in tags]] for title, tags in charts.items()}
        for category, charts in layout.items()
    }
