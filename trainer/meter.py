"""The training figures between two reports: means of the losses, and how fast it goes."""

import time

from trainer.losses import Losses


class Meter:
    """Means of the training figures since the last look."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._sums = dict.fromkeys(("loss", "mel_loss", "gate_loss", "guided_attention_loss", "gradient_norm"), 0.0)
        self._updates, self._frames, self._lr, self._since = 0, 0, 0.0, time.monotonic()

    def add(self, losses: Losses, gradient_norm: float, lr: float, frames: int) -> None:
        terms = (losses.total.detach(), losses.mel, losses.gate, losses.guided_attention)
        for name, value in zip(self._sums, [*(term.item() for term in terms), gradient_norm], strict=True):
            self._sums[name] += value
        self._updates, self._frames, self._lr = self._updates + 1, self._frames + frames, lr

    def take(self) -> dict[str, float]:
        """Return the means and begin anew."""
        figures = {name: total / max(1, self._updates) for name, total in self._sums.items()}
        figures |= {"lr": self._lr, "frames_per_second": self._frames / max(1e-9, time.monotonic() - self._since)}
        self._clear()
        return figures
