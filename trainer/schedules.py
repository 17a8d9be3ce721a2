"""What changes on schedule during training: the learning rate and the weight of guided attention.

Pure functions of the progress, so that a resumed run and an uninterrupted one agree.
"""

import math

from trainer.config import GuidedAttentionConfig, ScheduleConfig


def lr_factor(config: ScheduleConfig, update: int, budget_share: float) -> float:
    """The factor of `optimizer.lr`. update: counted from 0; budget_share: frames seen / budget, 0..1."""
    warmup = min(1.0, (update + 1) / (config.warmup_updates + 1))
    share = min(1.0, budget_share)
    if config.kind == "exponential":
        return warmup * float(max(config.final_factor, 1e-8) ** share)
    if config.kind == "cosine":
        return warmup * (config.final_factor + (1 - config.final_factor) * 0.5 * (1 + math.cos(math.pi * share)))
    if config.kind == "wsd":  # Hägele et al. 2024, arXiv:2405.18392, section 4.2: falls by 1 - sqrt
        decayed = max(0.0, (share - 1 + config.decay_share) / config.decay_share)
        return warmup * (1 - (1 - config.final_factor) * math.sqrt(decayed))
    return warmup


def guided_attention_weight(config: GuidedAttentionConfig, frames: int) -> float:
    """The weight after `frames` frames of speech; 0 when guided attention is off."""
    if not config.enabled:
        return 0.0
    if config.half_life_frames == 0:
        return config.weight
    return float(config.weight * 0.5 ** (frames / config.half_life_frames))
