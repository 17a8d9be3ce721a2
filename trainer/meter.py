"""The training figures between two reports, and whether updates were finite, without waiting for the device."""

import time
from collections import deque

import torch
from torch import Tensor

from trainer.losses import Losses

NAMES = ("loss", "mel_loss", "gate_loss", "guided_attention_loss", "gradient_norm")


class Meter:
    """Means of the training figures since the last look, added up where they were computed."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._sums: Tensor | None = None
        self._updates, self._frames, self._lr, self._since = 0, 0, 0.0, time.monotonic()

    def add(self, losses: Losses, gradient_norm: Tensor, lr: float, frames: int) -> None:
        terms = (losses.total.detach(), losses.mel, losses.gate, losses.guided_attention, gradient_norm)
        now = torch.stack([term.double() for term in terms])
        self._sums = now if self._sums is None else self._sums + now
        self._updates, self._frames, self._lr = self._updates + 1, self._frames + frames, lr

    def take(self) -> dict[str, float]:
        """Return the means and begin anew."""
        sums = self._sums.tolist() if self._sums is not None else [0.0] * len(NAMES)
        figures = {name: total / max(1, self._updates) for name, total in zip(NAMES, sums, strict=True)}
        figures |= {"lr": self._lr, "frames_per_second": self._frames / max(1e-9, time.monotonic() - self._since)}
        self._clear()
        return figures


class Outcomes:
    """Whether updates were finite, in their order, told once the device knows."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._pending: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def add(self, finite: Tensor) -> None:
        """finite: () bool, on the device."""
        if not self._cuda:
            self._pending.append((finite, None))
            return
        told = torch.empty((), dtype=torch.bool, pin_memory=True)
        told.copy_(finite, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._pending.append((told, event))

    def ready(self) -> list[bool]:
        """Those that are known by now; each is told once."""
        known = []
        while self._pending and _is_past(self._pending[0][1]):
            known.append(bool(self._pending.popleft()[0]))
        return known

    def all(self) -> list[bool]:
        """Wait for the device and tell the rest."""
        if self._cuda and self._pending:
            torch.cuda.synchronize()
        return self.ready()

    def forget(self) -> None:
        """Those not told yet belong to a state that was left."""
        self._pending.clear()


def _is_past(event: torch.cuda.Event | None) -> bool:
    return event is None or bool(event.query())  # type: ignore[no-untyped-call]
