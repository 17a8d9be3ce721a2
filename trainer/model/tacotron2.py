"""The whole model: encoder, decoder, postnet (arXiv:1712.05884, section 2.2; sizes as NVIDIA/tacotron2).

Shapes: B batch, N tokens, L = T*R frames, M mel bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.config import ModelConfig
from trainer.model.attention_steps import run_attention
from trainer.model.decoder import Decoder, DecoderOutput
from trainer.model.encoder import Encoder
from trainer.model.kernels.choice import FusedKernels, Kernels
from trainer.model.kernels.settings import Card
from trainer.model.layers import length_mask
from trainer.model.lstm import run_lstm
from trainer.model.postnet import Postnet


@dataclass(frozen=True)
class Tacotron2Output:
    mel_before: Tensor  # (B, L, M) from the decoder
    mel: Tensor  # (B, L, M) refined by the postnet
    gate_logits: Tensor  # (B, T)
    attention: Tensor  # (B, T, N)
    steps: Tensor  # (B,) true decoder steps


class Tacotron2(nn.Module):
    """symbols: size of the symbol table; symbol 0 is padding."""

    def __init__(self, config: ModelConfig, symbols: int, n_mels: int) -> None:
        super().__init__()
        self.reduction = config.reduction
        self.encoder = Encoder(config, symbols)
        self.decoder = Decoder(config, n_mels)
        self.postnet = Postnet(config, n_mels)
        self._fused: FusedKernels | None = None

    @property
    def kernels(self) -> Kernels:
        """Those of the passes with a teacher's frames that are recorded, as far as is known before the first one."""
        return "torch" if self._fused is None else self._fused.running

    @property
    def kernel_failures(self) -> list[str]:
        """Why fused kernels that were to be used do not run."""
        return [] if self._fused is None else self._fused.failures

    def use_fused_kernels(self, card: Card) -> None:
        """From now on, with a teacher's frames, run all recurrences by the kernels for `card`. Before `use_graphs`."""
        self._fused = fused = FusedKernels(card, run_attention, run_lstm)
        self.decoder.attention.runner.use(fused.run_attention)
        for runner in (self.decoder.lstm_runner, *self.encoder.runners):
            runner.use(fused.run_lstm)

    def use_graphs(self) -> None:
        """From now on replay CUDA graphs of the recurrences, captured for each size. The next pass overwrites the
        outputs."""
        self.decoder.use_graphs()
        for runner in self.encoder.runners:
            runner.use_graphs()

    def forward(self, tokens: Tensor, token_lengths: Tensor, mels: Tensor, mel_lengths: Tensor) -> Tacotron2Output:
        """Teacher-forced. tokens: (B, N), mels: (B, L, M) with L a multiple of R; lengths: (B,) each.

        Where token_lengths are on the model's device, the host does not wait for them.
        """
        memory, mask = self._encode(tokens, token_lengths)
        return self._refine(self.decoder(memory, mask, mels, mel_lengths), mel_lengths)

    def forward_together(self, batches: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]]) -> list[Tacotron2Output]:
        """`forward` of several batches, whose sizes may differ, with one pass of the decoder over all of them.

        Encoder and postnet see each batch alone: what batch norms measure does not depend on the others.
        """
        encoded = [self._encode(tokens, lengths) for tokens, lengths, _, _ in batches]
        memory = _joined([memory for memory, _ in encoded])
        mask = _joined([mask for _, mask in encoded])
        mels = _joined([mels for _, _, mels, _ in batches])
        decoded = self.decoder(memory, mask, mels, torch.cat([lengths for *_, lengths in batches]))
        outputs = []
        first = 0
        for tokens, _, mels, lengths in batches:
            part = decoded.part(slice(first, first + len(mels)), mels.shape[1] // self.reduction, tokens.shape[1])
            outputs.append(self._refine(part, lengths))
            first += len(mels)
        return outputs

    @torch.no_grad()
    def infer(
        self, tokens: Tensor, token_lengths: Tensor, max_frames: Tensor, gate_threshold: float = 0.5
    ) -> Tacotron2Output:
        """Free-running; max_frames: (B,) the limit of utterances whose gate never fires."""
        memory, mask = self._encode(tokens, token_lengths)
        max_steps = torch.div(max_frames + self.reduction - 1, self.reduction, rounding_mode="floor")
        decoded = self.decoder.infer(memory, mask, max_steps, gate_threshold)
        return self._refine(decoded, decoded.steps * self.reduction)

    def _encode(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        mask = length_mask(lengths.to(tokens.device, non_blocking=True), tokens.shape[1])
        return self.encoder(tokens, lengths, mask), mask

    def _refine(self, decoded: DecoderOutput, frames: Tensor) -> Tacotron2Output:
        mask = length_mask(frames.to(decoded.mel.device), decoded.mel.shape[1])
        refined = decoded.mel + self.postnet(decoded.mel, mask)
        return Tacotron2Output(decoded.mel, refined, decoded.gate_logits, decoded.attention, decoded.steps)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """(B, L, ...) of different B and L -> one tensor, padded with zeros behind each L."""
    longest = max(x.shape[1] for x in parts)
    return torch.cat([F.pad(x, (0, 0) * (x.dim() - 2) + (0, longest - x.shape[1])) for x in parts])
