"""Text to memory: convolutions and a bidirectional LSTM (arXiv:1712.05884, section 2.2).

Shapes: B batch, N tokens, E encoder width.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from trainer.config import ModelConfig
from trainer.model.dropout import dropout
from trainer.model.layers import ConvNorm, from_image, to_image


class Encoder(nn.Module):
    def __init__(self, config: ModelConfig, symbols: int) -> None:
        super().__init__()
        self.dropout = config.encoder_dropout
        self.embedding = nn.Embedding(symbols, config.embedding_dim)
        nn.init.xavier_uniform_(self.embedding.weight)
        widths = [config.embedding_dim] + [config.encoder_dim] * config.encoder_convolutions
        self.convolutions = nn.ModuleList(ConvNorm(a, b, config.encoder_kernel, "relu") for a, b in pairwise(widths))
        self.lstm = nn.LSTM(widths[-1], config.encoder_dim // 2, batch_first=True, bidirectional=True)

    def forward(self, tokens: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        """tokens: (B, N) int64, lengths: (B,), mask: (B, N) bool -> (B, N, E), zero beyond the lengths."""
        x = to_image(self.embedding(tokens))
        valid = mask[:, None, None].to(x.dtype)
        for convolution in self.convolutions:
            x = dropout(F.relu(convolution(x, valid)), self.dropout, self.training)
        return self._recur(from_image(x), lengths.cpu())

    def _recur(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, N, E), (B,) on the CPU -> (B, N, E). Sorts by length itself: torch's own sorting waits for the device."""
        lengths, order = lengths.sort(descending=True)
        sorting, restoring = (index.to(x.device, non_blocking=True) for index in (order, order.argsort()))
        packed = pack_padded_sequence(x[sorting], lengths, batch_first=True)
        memory: Tensor = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        return memory[restoring]
