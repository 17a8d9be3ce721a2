"""Memory to mel frames: prenet, attention recurrence, decoder LSTM, projections (arXiv:1712.05884, section 2.2).

With a teacher's frames, the attention recurrence and after it the decoder LSTM run step by step; prenet, input products
and projections run over all steps at once. The steps without a teacher are in `trainer.model.free_running`. Dropout is
that of NVIDIA/tacotron2: the prenet's is always on, that of both LSTMs acts on the hidden states that recur.

Shapes: B batch, N tokens, E memory width, T decoder steps, R frames per step, M mel bins, P prenet width,
H and H' widths of the attention LSTM and the decoder LSTM.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.config import ModelConfig
from trainer.model.attention import AttentionRecurrence
from trainer.model.dropout import dropout, keep_mask
from trainer.model.free_running import BUCKETS, Ends, Sizes, StepWeights, gates_in_order
from trainer.model.layers import linear
from trainer.model.lstm import run_lstm
from trainer.model.recurrence import Runner


@dataclass(frozen=True)
class DecoderOutput:
    mel: Tensor  # (B, T*R, M)
    gate_logits: Tensor  # (B, T); positive: this is the last step
    attention: Tensor  # (B, T, N)
    steps: Tensor  # (B,) true T of each utterance

    def part(self, rows: slice, steps: int, tokens: int) -> "DecoderOutput":
        """Of some utterances, all of which have at most so many steps and tokens."""
        frames = steps * (self.mel.shape[1] // self.gate_logits.shape[1])
        return DecoderOutput(
            self.mel[rows, :frames],
            self.gate_logits[rows, :steps],
            self.attention[rows, :steps, :tokens],
            self.steps[rows],
        )


@dataclass(frozen=True)
class Masks:
    """Dropout masks of a teacher-forced pass: 0 where dropped, else 1 / (1 - p). None: no dropout."""

    prenet: tuple[Tensor | None, Tensor | None]  # (T, B, P) for each layer
    attention: Tensor | None  # (T, B, H)
    decoder: Tensor | None  # (T, B, H')


class Prenet(nn.Module):
    """Two ReLU layers whose dropout stays on at inference (arXiv:1712.05884, section 2.2)."""

    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([linear(width_in, width, bias=False), linear(width, width, bias=False)])
        self.width = width
        self.dropout = dropout

    def forward(self, x: Tensor, masks: tuple[Tensor | None, Tensor | None] | None = None) -> Tensor:
        """masks: one per layer; None: drawn here."""
        for i, layer in enumerate(self.layers):
            x = F.relu(layer(x))
            if masks is None:
                x = dropout(x, self.dropout, active=True)
            elif (mask := masks[i]) is not None:
                x = x * mask
        return x


class Decoder(nn.Module):
    def __init__(self, config: ModelConfig, n_mels: int) -> None:
        super().__init__()
        self.reduction = config.reduction
        self.n_mels = n_mels
        self.dropout = config.decoder_dropout
        self.prenet = Prenet(n_mels * config.reduction, config.prenet_dim, config.prenet_dropout)
        self.attention = AttentionRecurrence(config)
        self.lstm = nn.LSTMCell(config.attention_rnn_dim + config.encoder_dim, config.decoder_rnn_dim)
        self.lstm_runner = Runner(run_lstm)
        width = config.decoder_rnn_dim + config.encoder_dim
        self.mel = linear(width, n_mels * config.reduction)
        self.gate = linear(width, 1, gain="sigmoid")
        self.free_running = Sizes()

    def forward(
        self, memory: Tensor, mask: Tensor, mels: Tensor, frames: Tensor, masks: Masks | None = None
    ) -> DecoderOutput:
        """Teacher-forced. memory: (B, N, E), mask: (B, N), mels: (B, T*R, M), frames: (B,) true lengths.

        masks: dropout to apply; None: drawn here.
        """
        batch = mels.shape[0]
        groups = mels.reshape(batch, -1, self.reduction * self.n_mels).transpose(0, 1)  # (T, B, R*M)
        masks = masks or self.draw_masks(len(groups), groups)
        go = groups.new_zeros(1, batch, groups.shape[2])
        prenet = self.prenet(torch.cat([go, groups[:-1]]), masks.prenet)  # (T, B, P)
        prepared = self.attention.prepare(memory, mask)
        states, weights = self.attention(prenet, prepared, masks.attention)
        gates = F.linear(states, self.lstm.weight_ih, self.lstm.bias_ih + self.lstm.bias_hh)  # (T, B, 4H')
        (decoded,) = self.lstm_runner(gates.dtype, gates, self.lstm.weight_hh, masks.decoder)  # (T, B, H')
        mel, gate = self._project(decoded, states[:, :, -memory.shape[2] :])
        steps = torch.div(frames + self.reduction - 1, self.reduction, rounding_mode="floor")
        return DecoderOutput(mel, gate, weights.transpose(0, 1), steps)

    def use_graphs(self) -> None:
        """From now on replay CUDA graphs, captured for each size of batch. The next pass overwrites the outputs."""
        self.attention.runner.use_graphs()
        self.lstm_runner.use_graphs()

    def draw_masks(self, steps: int, like: Tensor) -> Masks:
        """like: (T, B, .), which gives batch size, device and precision."""

        def draw(width: int, probability: float, active: bool) -> Tensor | None:
            return keep_mask((steps, like.shape[1], width), probability, like) if active and probability else None

        prenet, always = self.prenet, True
        return Masks(
            (draw(prenet.width, prenet.dropout, always), draw(prenet.width, prenet.dropout, always)),
            draw(self.attention.lstm.hidden_size, self.attention.dropout, self.training),
            draw(self.lstm.hidden_size, self.dropout, self.training),
        )

    def _project(self, decoded: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """(T, B, .) each -> mel (B, T*R, M), gate logits (B, T)."""
        both = torch.cat([decoded, context], 2).transpose(0, 1)
        mel: Tensor = self.mel(both)
        return mel.reshape(both.shape[0], -1, self.n_mels), self.gate(both)[:, :, 0]

    @torch.no_grad()
    def infer(self, memory: Tensor, mask: Tensor, max_steps: Tensor, gate_threshold: float = 0.5) -> DecoderOutput:
        """Free-running: the input of each step is the output of the one before.

        max_steps: (B,) the limit of an utterance whose gate never fires; its `steps` then equal it. Random numbers for
        the prenet's dropout are drawn for a block of steps at once: those of its last steps may not be used.
        """
        batch, tokens, _ = memory.shape
        ends = Ends(max_steps.tolist(), gate_threshold)
        padding = -tokens % BUCKETS.get(memory.device.type, 1)
        with torch.inference_mode():
            prepared = self.attention.prepare(F.pad(memory, (0, 0, 0, padding)), F.pad(mask, (0, padding)))
            steps = self.free_running.open(self._step_weights(), prepared, self.prenet.dropout)
            outputs, attention = steps.decode(ends)
        longest = max(ends.steps)
        mel = outputs[:longest, :, :-1].transpose(0, 1).reshape(batch, -1, self.n_mels)
        gate_logits = outputs[:longest, :, -1].t().clone()
        weights = attention[:longest, :, :tokens].transpose(0, 1).clone()
        return DecoderOutput(mel, gate_logits, weights, torch.tensor(ends.steps, device=memory.device))

    def _step_weights(self) -> StepWeights:
        """Copies, which a graph may keep."""
        first, second = (layer.get_parameter("weight").detach().clone() for layer in self.prenet.layers)
        attention = self.attention.lstm
        hidden = self.lstm.hidden_size
        output = torch.cat([self.mel.weight, self.gate.weight])
        return StepWeights(
            prenet_in=first,
            prenet_out=second,
            attention=gates_in_order(self.attention.whole_weight()),
            attention_bias=gates_in_order(attention.bias_ih + attention.bias_hh),
            decoder=gates_in_order(torch.cat([self.lstm.weight_ih, self.lstm.weight_hh], 1)),
            decoder_bias=gates_in_order(self.lstm.bias_ih + self.lstm.bias_hh),
            output=torch.cat([output[:, hidden:], output[:, :hidden]], 1),
            output_bias=torch.cat([self.mel.bias, self.gate.bias]),
        )
