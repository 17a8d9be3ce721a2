"""Residual refinement of the whole mel spectrogram (arXiv:1712.05884, section 2.2).

Shapes: B batch, L frames, M mel bins.
"""

import torch
from torch import Tensor, nn

from trainer.config import ModelConfig
from trainer.model.dropout import dropout
from trainer.model.layers import ConvNorm, from_image, to_image


class Postnet(nn.Module):
    def __init__(self, config: ModelConfig, n_mels: int) -> None:
        super().__init__()
        self.dropout = config.postnet_dropout
        widths = [n_mels] + [config.postnet_dim] * (config.postnet_convolutions - 1) + [n_mels]
        gains = ["tanh"] * (config.postnet_convolutions - 1) + ["linear"]
        self.convolutions = nn.ModuleList(
            ConvNorm(a, b, config.postnet_kernel, gain)
            for a, b, gain in zip(widths[:-1], widths[1:], gains, strict=True)
        )

    def forward(self, mel: Tensor, mask: Tensor) -> Tensor:
        """mel: (B, L, M), mask: (B, L) bool -> the correction to add, (B, L, M)."""
        x, valid = to_image(mel), mask[:, None, None].to(mel.dtype)
        last = len(self.convolutions) - 1
        for i, convolution in enumerate(self.convolutions):
            x = convolution(x, valid)
            x = dropout(x if i == last else torch.tanh(x), self.dropout, self.training)
        return from_image(x)
