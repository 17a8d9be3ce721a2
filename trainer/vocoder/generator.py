"""HiFi-GAN's generator: a log-mel to samples (Kong, Kim and Bae 2020, arXiv:2010.05646, section 2.2 and appendix A.1).

Covers inference alone, with weights whose weight normalisation is folded in. Tensors have the names of the public
layout, so that published generators can be loaded.

Shapes: B batch, L mel frames, M mel bins, C channels, S samples = L * hop.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1  # of the leaky ReLU; the last one has torch's default, as the published weights expect


@dataclass(frozen=True)
class GeneratorConfig:
    """Appendix A.1; the names are those of the public layout's config.json."""

    num_mels: int
    resblock: str  # "1": three pairs of convolutions, "2": two convolutions
    upsample_rates: tuple[int, ...]  # their product is the hop, in samples
    upsample_kernel_sizes: tuple[int, ...]
    upsample_initial_channel: int
    resblock_kernel_sizes: tuple[int, ...]
    resblock_dilation_sizes: tuple[tuple[int, ...], ...]


class ResBlock(nn.Module):
    """Residual convolutions of growing dilation; with `pairs`, each is followed by one without dilation."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int], *, pairs: bool) -> None:
        super().__init__()
        dilated = nn.ModuleList(_same(channels, kernel, dilation) for dilation in dilations)
        self.pairs = pairs
        if pairs:
            self.convs1 = dilated
            self.convs2 = nn.ModuleList(_same(channels, kernel, 1) for _ in dilations)
        else:
            self.convs = dilated

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        if not self.pairs:
            for convolution in self.convs:
                x = x + convolution(F.leaky_relu(x, SLOPE))
            return x
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class Generator(nn.Module):
    """Upsamples by transposed convolutions; after each, residual blocks of several widths are averaged."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.conv_pre = nn.Conv1d(config.num_mels, config.upsample_initial_channel, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        channels = config.upsample_initial_channel
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            padding = (kernel - rate) // 2
            self.ups.append(nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding=padding))
            channels //= 2
            for size, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True):
                self.resblocks.append(ResBlock(channels, size, dilations, pairs=config.resblock == "1"))
        self.blocks_each = len(config.resblock_kernel_sizes)
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, M, L) -> (B, S) in [-1, 1]."""
        x = self.conv_pre(mel)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))  # (B, C, T) -> (B, C / 2, T * rate)
            blocks = self.resblocks[stage * self.blocks_each : (stage + 1) * self.blocks_each]
            x = torch.stack([block(x) for block in blocks]).mean(0)
        return torch.tanh(self.conv_post(F.leaky_relu(x)))[:, 0]


def _same(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    """A convolution that keeps the length."""
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)
