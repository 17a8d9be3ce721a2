"""Dropout whose masks are drawn four times as fast as torch's on a CPU.

The masks of all steps are drawn before a recurrence starts, so that a fast and a plain implementation can use the same.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LEVELS = 2**16  # on a CPU, 16 bits are drawn per element, and the probability is rounded to multiples of 2**-16


def keep_mask(shape: Sequence[int], probability: float, like: Tensor) -> Tensor:
    """0 with `probability`, otherwise 1 / (1 - probability); device and precision of `like`."""
    mask = like.new_empty(1, math.prod(shape))
    draw_keep_masks(mask, probability)
    return mask.view(*shape)


def draw_keep_masks(masks: Tensor, probability: float) -> None:
    """Fill each row of `masks` with a mask, the same as by one `keep_mask` for each row, one after the other."""
    if masks.device.type != "cpu":
        for mask in masks.unbind(0):
            mask.bernoulli_(1 - probability)
        masks.div_(1 - probability)
        return
    dropped = round(probability * LEVELS)
    count, size = masks.shape
    words = torch.empty(count, -(-size // 4), dtype=torch.int64).random_(-(2**63), None)
    torch.ge(words.view(torch.int16)[:, :size], dropped - LEVELS // 2, out=masks)
    masks.mul_(LEVELS / (LEVELS - dropped))


def dropout(x: Tensor, probability: float, active: bool) -> Tensor:
    """`x` with a new mask; unchanged where not `active`. `x` must be dense in memory, in any order of dimensions."""
    if not active or probability == 0:
        return x
    return x * keep_mask((x.numel(),), probability, x).as_strided(x.shape, x.stride())
