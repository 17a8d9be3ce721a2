"""How well attention aligns text and speech: one score in [0, 1] per utterance, and its four parts.

Diagonality alone is what guided attention optimises, and mean(A[i, i]) is the same for a perfect line and for uniform
attention. So four parts are multiplied: each is near 1 for intelligible speech, and near 0 for one way in which
attention fails.

Shapes: B batch, T decoder steps, N input tokens.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

MIN_TOKENS = 6  # shorter texts have no meaningful diagonal
KERNEL_WIDTH = 0.2  # Tachibana et al. 2017 (arXiv:1710.08969, section 4.1): g
COVERED = 0.5  # a token counts as spoken when some step gives it half of the attention
GOOD = 0.6  # an utterance above this score is intelligible
REPEATED = 3  # tokens by which attention may move back before it counts as repeating


@dataclass(frozen=True)
class AlignmentScore:
    """Scores per utterance, each (B,) float32; NaN for utterances of fewer than `MIN_TOKENS` tokens."""

    alignment: Tensor  # sqrt(diagonality * focus * coverage * monotonicity)
    diagonality: Tensor  # mass near the line from first to last token, corrected for chance
    focus: Tensor  # mass within one token of each step's peak, corrected for chance (cf. arXiv:1905.09263)
    coverage: Tensor  # share of tokens that some step attends to
    monotonicity: Tensor  # share of steps that neither move back nor jump
    backtracking: Tensor  # how far the attention's centre moves back, in text lengths; not part of the score

    def summary(self) -> dict[str, float]:
        """Return means over the scored utterances, the median, and the share above `GOOD`; NaN if there are none."""
        names = [f.name for f in fields(self)]
        together = torch.stack([getattr(self, name) for name in names]).cpu()  # waits for the device once
        is_scored = ~together[names.index("alignment")].isnan()
        scored = {name: row[is_scored] for name, row in zip(names, together, strict=True)}
        alignment = scored["alignment"]
        means = {name: values.mean().item() for name, values in scored.items()}
        median = alignment.median().item() if len(alignment) else float("nan")
        return {**means, "alignment_median": median, "alignment_share_good": (alignment > GOOD).float().mean().item()}

    def rows(self) -> list[dict[str, float]]:
        """The scores of each utterance."""
        together = torch.stack([getattr(self, f.name) for f in fields(self)], 1).cpu()
        return [dict(zip((f.name for f in fields(self)), row, strict=True)) for row in together.tolist()]

    @staticmethod
    def concatenate(scores: list["AlignmentScore"]) -> "AlignmentScore":
        return AlignmentScore(*(torch.cat([getattr(s, f.name) for s in scores]) for f in fields(AlignmentScore)))


def alignment_score(attention: Tensor, tokens: Tensor, steps: Tensor) -> AlignmentScore:
    """Score attention matrices.

    attention: (B, T, N), rows are decoder steps; values beyond the true lengths are ignored. tokens: (B,) true N of
    each utterance; steps: (B,) true T, at least 1.
    """
    _, max_steps, max_tokens = attention.shape
    tokens, steps = tokens.to(attention.device), steps.to(attention.device)
    step_index = torch.arange(max_steps, device=attention.device)
    token_index = torch.arange(max_tokens, device=attention.device)
    step_valid = step_index < steps[:, None]  # (B, T)
    valid = step_valid[:, :, None] & (token_index < tokens[:, None])[:, None, :]  # (B, T, N)
    weights = torch.where(valid, attention.float(), 0.0)
    weights = weights / weights.sum(2, keepdim=True).clamp_min(1e-12)
    n, t = tokens.float(), steps.float()

    def over_steps(per_step: Tensor) -> Tensor:
        return torch.where(step_valid, per_step, 0.0).sum(1) / t

    kernel = _kernel(token_index, step_index, n, t) * valid
    chance = kernel.sum((1, 2)) / (n * t)
    diagonality = _above_chance(over_steps((weights * kernel).sum(2)), chance)

    peak = weights.argmax(2)  # (B, T)
    near_peak = (token_index - peak[:, :, None]).abs() <= 1
    focus = _above_chance(over_steps((weights * near_peak).sum(2)), 3 / n)

    covered = (weights.amax(1) / COVERED).clamp(max=1).sum(1) / n
    coverage = (covered / (t / n).clamp(max=1)).clamp(max=1)

    score = AlignmentScore(
        alignment=torch.empty(0),
        diagonality=diagonality,
        focus=focus,
        coverage=coverage,
        monotonicity=_monotonicity(peak, step_valid, n, t),
        backtracking=_backtracking((weights * token_index).sum(2), step_valid, n),
    )
    alignment = (score.diagonality * score.focus * score.coverage * score.monotonicity).sqrt()
    values = {f.name: getattr(score, f.name) for f in fields(score)} | {"alignment": alignment}
    return AlignmentScore(**{name: value.masked_fill(tokens < MIN_TOKENS, torch.nan) for name, value in values.items()})


def _kernel(token_index: Tensor, step_index: Tensor, n: Tensor, t: Tensor) -> Tensor:
    """exp(-(n/N - t/T)^2 / (2 g^2)) at bin centres: (B, T, N)."""
    across = (token_index + 0.5)[None, None, :] / n[:, None, None]
    along = (step_index + 0.5)[None, :, None] / t[:, None, None]
    return torch.exp(-((across - along) ** 2) / (2 * KERNEL_WIDTH**2))


def _above_chance(value: Tensor, chance: Tensor) -> Tensor:
    """Rescale so that chance and below is 0, and 1 stays 1."""
    return ((value - chance) / (1 - chance).clamp_min(1e-6)).clamp(0, 1)


def furthest_move(tokens: Tensor, steps: Tensor) -> Tensor:
    """The most tokens by which attention moves on in one step without skipping any: max(3, ceil(4N/T))."""
    return torch.ceil(4 * tokens / steps).clamp_min(3)


def _monotonicity(peak: Tensor, step_valid: Tensor, n: Tensor, t: Tensor) -> Tensor:
    """Share of steps whose peak moves by -1 .. `furthest_move` tokens; 1 where there is one step only."""
    move = peak[:, 1:] - peak[:, :-1]
    orderly = (move >= -1) & (move <= furthest_move(n, t)[:, None]) & step_valid[:, 1:]
    moves = (t - 1).clamp_min(1)
    return torch.where(t > 1, orderly.sum(1) / moves, torch.ones_like(t))


def _backtracking(centre: Tensor, step_valid: Tensor, n: Tensor) -> Tensor:
    """sum_t max(0, c[t-1] - c[t]) / N with c the row's centroid (cf. Regotron, arXiv:2204.13437)."""
    back = (centre[:, :-1] - centre[:, 1:]).clamp_min(0)
    return torch.where(step_valid[:, 1:], back, 0.0).sum(1) / n


def attention_figures(attention: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Of one utterance's attention, (T, N): `skipped`, the share of tokens that it jumps over, and `repeats`."""
    steps, tokens = attention.shape
    peaks = attention.argmax(1)
    return {
        "skipped": _skipped(peaks, tokens, int(furthest_move(torch.tensor(tokens), torch.tensor(steps)))),
        "repeats": int((np.diff(peaks) < -REPEATED).sum()),
    }


def _skipped(peaks: npt.NDArray[np.int64], tokens: int, furthest: int) -> float:
    """Share of tokens that lie in jumps further than an orderly move, also before the first and after the last peak."""
    reached = np.maximum.accumulate([-1, *peaks.tolist(), tokens])
    return float(np.maximum(np.diff(reached) - furthest, 0).sum() / tokens)
