"""What encoder and postnet share: masks, and a masked convolution with batch norm.

Shapes: B batch, C channels, L length.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def length_mask(lengths: Tensor, longest: int) -> Tensor:
    """(B,) -> (B, longest) bool, False at padding."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


class ConvNorm(nn.Module):
    """Convolution over time that keeps the length, then batch norm. Padding is set to zero first.

    Otherwise an utterance's output would depend on the other utterances of its batch. On a CPU, images of height 1 with
    the channels innermost take half the time of torch's one-dimensional layers.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, gain: str) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels_out, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(channels_out)
        nn.init.xavier_uniform_(self.conv.weight, nn.init.calculate_gain(gain))  # type: ignore[arg-type]

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, C, 1, L), mask: (B, 1, 1, L) -> (B, C', 1, L)."""
        weight, pad = self.conv.weight[:, :, None], self.conv.padding[0]
        out: Tensor = self.norm(F.conv2d(x * mask, weight, self.conv.bias, padding=(0, int(pad))))
        return out


def to_image(x: Tensor) -> Tensor:
    """(B, L, C) -> (B, C, 1, L), channels innermost in memory; a view."""
    return x.transpose(1, 2).unsqueeze(2)


def from_image(x: Tensor) -> Tensor:
    """(B, C, 1, L) -> (B, L, C)."""
    return x.squeeze(2).transpose(1, 2)


def linear(features_in: int, features_out: int, bias: bool = True, gain: str = "linear") -> nn.Linear:
    """Linear layer, Xavier-initialised for the nonlinearity that follows."""
    layer = nn.Linear(features_in, features_out, bias)
    nn.init.xavier_uniform_(layer.weight, nn.init.calculate_gain(gain))  # type: ignore[arg-type]
    return layer
