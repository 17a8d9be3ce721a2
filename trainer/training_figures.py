"""What is measured at each update: mean losses between two reports, usual gradient norms, and how the update went.

None of them waits for the device at an update.
"""

import math
import time
from collections import deque

import torch
from torch import Tensor

from trainer.corrections.gradients import EXPLODING, LAST_NORMS, PERCENTILE, UpdateFigures

NAMES = ("loss", "mel_loss", "gate_loss", "guided_attention_loss", "gradient_norm")


class MeanFigures:
    """Means of the training figures since the last report. Sums stay on the device that computes them."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._sums: Tensor | None = None
        self._updates = 0
        self._frames = 0
        self._lr = 0.0
        self._since = time.monotonic()

    def add(self, figures: Tensor, lr: float, frames: int) -> None:
        """figures: (5,) float64, what `NAMES` names. It is copied."""
        self._sums = figures.clone() if self._sums is None else self._sums + figures
        self._updates += 1
        self._frames += frames
        self._lr = lr

    def take(self) -> dict[str, float]:
        """Return the means, and start again."""
        sums = self._sums.tolist() if self._sums is not None else [0.0] * len(NAMES)
        figures = {name: total / max(1, self._updates) for name, total in zip(NAMES, sums, strict=True)}
        figures |= {"lr": self._lr, "frames_per_second": self._frames / max(1e-9, time.monotonic() - self._since)}
        self._clear()
        return figures


class RecentNorms:
    """The gradient norms of the last updates, on the device, and where an exploding one is clipped. Never waits for it.

    Nothing explodes before most of the `LAST_NORMS` are known.
    """

    def __init__(self, device: torch.device) -> None:
        self._sorted_rank = math.ceil(PERCENTILE * LAST_NORMS)
        self.norms = torch.full((LAST_NORMS,), math.inf, device=device)

    def limit(self, norm: Tensor, clip: float) -> Tensor:
        """The percentile where `norm` explodes, and `clip` would not limit it to that; else infinite. Remembers `norm`.

        norm: () of this update, may be NaN. clip: the norm at which gradients are clipped anyway.
        """
        usual = self.norms.kthvalue(self._sorted_rank).values
        explodes = norm.isfinite() & (norm > EXPLODING * usual) & (usual < clip)
        known = torch.where(norm.isfinite(), norm.float(), usual)
        self.norms.copy_(torch.cat([self.norms[1:], known[None]]))  # in place: a graph knows where they are
        return torch.where(explodes, usual, math.inf)


class UpdateChecks:
    """The figures of each update, in order: each is returned once, when the device has it."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._pending: deque[tuple[int, Tensor, torch.cuda.Event | None]] = deque()

    def add(self, update: int, measured: Tensor) -> None:
        """measured: (4,) float32, on the device: whether it was finite, loss, gradient norm, and its limit."""
        if not self._cuda:
            self._pending.append((update, measured, None))
            return
        on_host = torch.empty(measured.shape, pin_memory=True)
        on_host.copy_(measured, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._pending.append((update, on_host, event))

    def ready(self) -> list[UpdateFigures]:
        """The results that the device has by now."""
        results = []
        while self._pending and _is_past(self._pending[0][2]):
            update, measured, _ = self._pending.popleft()
            finite, loss, norm, limit = measured.tolist()
            results.append(UpdateFigures(update, bool(finite), loss, norm, limit))
        return results

    def all(self) -> list[UpdateFigures]:
        """Wait for the device, and return the remaining results."""
        if self._cuda and self._pending:
            torch.cuda.synchronize()
        return self.ready()

    def forget(self) -> None:
        """Drop the pending results: they belong to a state that was rolled back."""
        self._pending.clear()


def _is_past(event: torch.cuda.Event | None) -> bool:
    return event is None or bool(event.query())  # type: ignore[no-untyped-call]
