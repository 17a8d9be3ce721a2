"""Losses and gate figures, averaged over valid frames and steps, never over padding.

Shapes: B batch, L frames, M mel bins, T decoder steps, N tokens.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.config import GuidedAttentionConfig, LossConfig
from trainer.model.layers import length_mask
from trainer.model.tacotron2 import Tacotron2Output


@dataclass(frozen=True)
class Losses:
    """Scalars, and (B,) the mel loss of each clip. `total` is minimised; the rest is unweighted and has no gradient."""

    total: Tensor
    mel: Tensor
    gate: Tensor
    guided_attention: Tensor
    mel_of_clips: Tensor


def mel_loss(output: Tacotron2Output, mels: Tensor, frames: Tensor) -> Tensor:
    """Squared error before and after the postnet, summed; mean over valid frames and bins. -> (B,) per utterance.

    mels: (B, L, M), frames: (B,) true lengths. (arXiv:1712.05884, section 2.2)
    """
    error = (output.mel_before.float() - mels) ** 2 + (output.mel.float() - mels) ** 2
    per_frame = error.mean(2) * length_mask(frames, mels.shape[1])
    return per_frame.sum(1) / frames


def gate_loss(logits: Tensor, steps: Tensor, positive_weight: float, tail: int = 0) -> Tensor:
    """Cross entropy of "the end is reached", mean over the valid steps and the tail. logits: (B, T), steps: (B,).

    positive_weight: of the last step and the `tail` steps after it, all together.
    """
    valid = length_mask(steps + tail, logits.shape[1])
    target = (torch.arange(logits.shape[1], device=logits.device) >= steps[:, None] - 1).float()
    weight = torch.full((), positive_weight / (1 + tail), device=logits.device)
    entropy = F.binary_cross_entropy_with_logits(logits.float(), target, pos_weight=weight, reduction="none")
    return (entropy * valid).sum() / valid.sum()


def guided_attention_loss(attention: Tensor, tokens: Tensor, steps: Tensor, sigma: float) -> Tensor:
    """Penalty on attention off the diagonal: sum over tokens, mean over valid steps (arXiv:1710.08969, section 4.1).

    attention: (B, T, N), tokens: (B,), steps: (B,).
    """
    _, max_steps, max_tokens = attention.shape
    along = torch.arange(max_steps, device=attention.device)[None, :, None] / steps[:, None, None]
    across = torch.arange(max_tokens, device=attention.device)[None, None, :] / tokens[:, None, None]
    penalty = 1 - torch.exp(-((across - along) ** 2) / (2 * sigma**2))
    valid = length_mask(steps, max_steps)
    per_step = (attention.float() * penalty).sum(2) * valid
    return per_step.sum() / valid.sum()


def training_losses(
    output: Tacotron2Output,
    mels: Tensor,
    frames: Tensor,
    tokens: Tensor,
    loss: LossConfig,
    guided: GuidedAttentionConfig,
    guided_weight: float | Tensor,
) -> Losses:
    """Means over the batch. Each frame has the same weight in the mel loss, in short and in long clips.

    guided_weight: the schedule's present value; 0 leaves the term out of `total`. () on the device it is above 0.
    """
    mel_of_clips = mel_loss(output, mels, frames)
    mel = (mel_of_clips * frames).sum() / frames.sum()
    gate = gate_loss(output.gate_logits, output.steps, loss.gate_positive_weight, loss.gate_tail)
    attention = guided_attention_loss(output.attention, tokens, output.steps, guided.sigma)
    total = mel + loss.gate_weight * gate
    if isinstance(guided_weight, Tensor) or guided_weight > 0:
        total = total + guided_weight * attention
    return Losses(total, mel.detach(), gate.detach(), attention.detach(), mel_of_clips.detach())


@dataclass(frozen=True)
class GateFigures:
    """How well the gate finds the end of the utterance, teacher-forced; each (B,)."""

    f1: Tensor  # of the one step that should fire, among the valid steps
    stop_error: Tensor  # |first step that fires - last step|, in decoder steps; T where none fires


def gate_figures(logits: Tensor, steps: Tensor) -> GateFigures:
    """logits: (B, T), steps: (B,)."""
    fires = (logits > 0) & length_mask(steps, logits.shape[1])
    last = fires.gather(1, (steps - 1)[:, None])[:, 0].float()
    f1 = 2 * last / (fires.sum(1) + 1)
    first = torch.where(fires.any(1), fires.float().argmax(1), -1)
    stop_error = torch.where(first >= 0, (steps - 1 - first).abs(), steps).float()
    return GateFigures(f1, stop_error)
