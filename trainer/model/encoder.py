"""Text to memory: convolutions and a bidirectional LSTM (arXiv:1712.05884, section 2.2).

Shapes: B batch, N tokens, E encoder width.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from trainer.config import ModelConfig
from trainer.model.dropout import dropout
from trainer.model.layers import ConvNorm, from_image, to_image
from trainer.model.lstm import run_lstm
from trainer.model.recurrence import Runner


class Encoder(nn.Module):
    def __init__(self, config: ModelConfig, symbols: int) -> None:
        super().__init__()
        self.dropout = config.encoder_dropout
        self.embedding = nn.Embedding(symbols, config.embedding_dim)
        nn.init.xavier_uniform_(self.embedding.weight)
        widths = [config.embedding_dim] + [config.encoder_dim] * config.encoder_convolutions
        self.convolutions = nn.ModuleList(ConvNorm(a, b, config.encoder_kernel, "relu") for a, b in pairwise(widths))
        self.lstm = nn.LSTM(widths[-1], config.encoder_dim // 2, batch_first=True, bidirectional=True)
        self.runners = (Runner(run_lstm), Runner(run_lstm))  # of the two directions, where lengths are on a device

    def forward(self, tokens: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        """tokens: (B, N) int64, lengths: (B,), mask: (B, N) bool -> (B, N, E), zero beyond the lengths.

        Lengths on the CPU are used there, without a device's waiting for them; others on their device alone.
        """
        x = to_image(self.embedding(tokens))
        valid = mask[:, None, None].to(x.dtype)
        for convolution in self.convolutions:
            x = dropout(F.relu(convolution(x, valid)), self.dropout, self.training)
        if lengths.device.type == "cpu":
            return self._recur(from_image(x), lengths)
        return self._recur_on_device(from_image(x), lengths, mask)

    def _recur(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, N, E), (B,) on the CPU -> (B, N, E). Sorts by length itself: torch's own sorting waits for the device."""
        lengths, order = lengths.sort(descending=True)
        sorting, restoring = (index.to(x.device, non_blocking=True) for index in (order, order.argsort()))
        packed = pack_padded_sequence(x[sorting], lengths, batch_first=True)
        memory: Tensor = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        return memory[restoring]

    def _recur_on_device(self, x: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        """The same by steps over all tokens: what follows a text does not change its states, which are masked there.

        The second direction reads each text from its end: `turned` is its own inverse.
        """
        steps = x.transpose(0, 1)  # (N, B, E)
        place = torch.arange(len(steps), device=x.device)[:, None]
        turned = torch.where(place < lengths, lengths - 1 - place, place)[:, :, None]  # (N, B, 1)

        def turn(of: Tensor) -> Tensor:
            return of.gather(0, turned.expand(of.shape))

        forward = self._direction(steps, 0, "")
        backward = turn(self._direction(turn(steps), 1, "_reverse"))
        return torch.cat([forward, backward], 2).transpose(0, 1) * mask[:, :, None]

    def _direction(self, x: Tensor, runner: int, name: str) -> Tensor:
        """(N, B, .) -> hidden states (N, B, E / 2)."""
        weight_ih, weight_hh, bias_ih, bias_hh = (
            self.lstm.get_parameter(f"{kind}_l0{name}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        gates = F.linear(x, weight_ih, bias_ih + bias_hh)
        (hidden,) = self.runners[runner](gates.dtype, gates, weight_hh, None)
        return hidden
