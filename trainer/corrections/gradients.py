"""Exploding gradients: how they are recognised, and whether clipping them helped. Pure.

An update explodes where its gradient norm is far above the usual ones. Adam would remember it for a thousand updates.
So the device clips it at once, at a percentile of the last norms (`trainer.training_figures.RecentNorms`; cf. AutoClip,
Seetharaman et al. 2020, arXiv:2007.14469). Here clipping is recorded, its effect is measured,
and it is switched off where it does not help.
"""

import math
from dataclasses import dataclass, replace

from trainer.corrections.correction import Action, Cause, Correction

LAST_NORMS = 64  # updates whose norms are remembered
PERCENTILE = 0.9  # of them, at which an exploding update is clipped
EXPLODING = 10.0  # times that percentile; in trainings that go well a norm reaches 3 to 4 times

MEASURED_AFTER = 100  # updates
COOL_DOWN = 400  # updates after that in which nothing new is recorded; the device goes on clipping
SMOOTHING = 50  # updates over which the training loss is averaged
HARMED = 1.1  # times the loss before; above it clipping did not help


@dataclass(frozen=True)
class UpdateFigures:
    """The figures of one update. limit: at which it was clipped as exploding, infinite where it was not."""

    update: int
    finite: bool
    loss: float
    norm: float
    limit: float


@dataclass(frozen=True)
class Clipping:
    """Exploding updates so far. Frozen; `after` returns what comes next."""

    is_on: bool = True
    loss: float = math.nan  # smoothed, of updates that do not explode
    since: int = 0  # first update of the explosions that are being measured; 0: none are
    count: int = 0  # of them
    norm: float = 0.0  # the largest of them
    limit: float = 0.0  # of the first one
    loss_before: float = math.nan
    rests_until: int = 0  # update

    def after(self, figures: UpdateFigures) -> tuple["Clipping", Correction | None]:
        """What comes next, and the correction to record."""
        if not figures.finite:
            return self, None
        if math.isinf(figures.limit):
            then = replace(self, loss=_smoothed(self.loss, figures.loss))
            return then._measured(figures.update) if then._is_due(figures.update) else (then, None)
        if self.since:
            then = replace(self, count=self.count + 1, norm=max(self.norm, figures.norm))
            return then._measured(figures.update) if then._is_due(figures.update) else (then, None)
        if figures.update < self.rests_until:
            return self, None
        reason = (
            f"gradient norm {figures.norm:.3g}, usually below {figures.limit:.3g}; such updates are clipped at that"
        )
        begun = replace(
            self,
            since=figures.update,
            count=1,
            norm=figures.norm,
            limit=figures.limit,
            loss_before=self.loss,
        )
        return begun, Correction(Action.CLIP, Cause.GRADIENT, reason, figures.norm, figures.limit)

    def _is_due(self, update: int) -> bool:
        return bool(self.since) and update >= self.since + MEASURED_AFTER

    def _measured(self, update: int) -> tuple["Clipping", Correction]:
        helped = not self.loss > HARMED * self.loss_before
        times = "update was" if self.count == 1 else "updates were"
        what = (
            f"training loss {self.loss_before:.3f} -> {self.loss:.3f} after {update - self.since:,} updates, of which "
            f"{self.count} exploding {times} clipped (largest norm {self.norm:.3g})"
        )
        then = replace(self, since=0, count=0, norm=0.0, rests_until=update + COOL_DOWN, is_on=helped)
        if helped:
            return then, Correction(Action.KEEP, Cause.GRADIENT, f"{what}; kept", self.limit, self.limit)
        reason = f"{what}; it did not help and is undone, and nothing else is tried"
        return then, Correction(Action.UNDO, Cause.GRADIENT, reason, self.limit, math.inf)


def _smoothed(before: float, now: float) -> float:
    return now if math.isnan(before) else before + (now - before) / SMOOTHING
