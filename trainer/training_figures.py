"""What is measured at each update: mean losses between two reports, and whether the updates were finite.

Neither waits for the device at an update.
"""

import time
from collections import deque

import torch
from torch import Tensor

from trainer.losses import Losses

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

    def add(self, losses: Losses, gradient_norm: Tensor, lr: float, frames: int) -> None:
        terms = (losses.total.detach(), losses.mel, losses.gate, losses.guided_attention, gradient_norm)
        now = torch.stack([term.double() for term in terms])
        self._sums = now if self._sums is None else self._sums + now
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


class FiniteChecks:
    """Whether each update was finite, in order. A result is returned once, when the device has it."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._pending: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def add(self, finite: Tensor) -> None:
        """finite: () bool, on the device."""
        if not self._cuda:
            self._pending.append((finite, None))
            return
        on_host = torch.empty((), dtype=torch.bool, pin_memory=True)
        on_host.copy_(finite, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._pending.append((on_host, event))

    def ready(self) -> list[bool]:
        """The results that the device has by now."""
        results = []
        while self._pending and _is_past(self._pending[0][1]):
            results.append(bool(self._pending.popleft()[0]))
        return results

    def all(self) -> list[bool]:
        """Wait for the device, and return the remaining results."""
        if self._cuda and self._pending:
            torch.cuda.synchronize()
        return self.ready()

    def forget(self) -> None:
        """Drop the pending results: they belong to a state that was rolled back."""
        self._pending.clear()


def _is_past(event: torch.cuda.Event | None) -> bool:
    return event is None or bool(event.query())  # type: ignore[no-untyped-call]
