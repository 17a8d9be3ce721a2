"""Both recurrences as tapes of fused Triton kernels, on a CUDA device: what `run_attention` and `run_lstm` do by torch.

Products, and what is kept of them, are in the precision that the tape is asked for: bfloat16, with float32 rounded to
TF32 inside attention, or float32, whose products are three of TF32 each. States come out in that precision. The gates'
gradient has the gates' own, all others float32.

Shapes: T steps, B batch, N tokens, H hidden width, E memory width, A attention width, K location kernel, S = H + E
(attention) or H (plain LSTM): what recurs.
"""

import torch
from torch import Tensor

from trainer.model.kernels import attention_kernels, whole_attention_kernels
from trainer.model.kernels.fused_lstm import FusedLstm
from trainer.model.kernels.settings import Card, ceiling, power


class LstmTape:
    """An LSTM over a whole sequence. See `run_lstm`."""

    def __init__(self, lstm: FusedLstm) -> None:
        self.lstm = lstm
        for t in range(lstm.steps):
            lstm.step(t)
        self.outputs: tuple[Tensor, ...] = (lstm.state[1:],)

    def backward(self, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradient of the hidden states (T, B, H) -> gradients of the inputs of `run_lstm`."""
        (dhidden,) = gradients
        assert dhidden is not None
        self.lstm.start_backward(dhidden)
        for t in reversed(range(self.lstm.steps)):
            self.lstm.step_backward(t)
        return self.lstm.gates, self.lstm.weight_gradient(), None


class AttentionTape:
    """The steps of the recurrence over one batch. See `run_attention`.

    values: (B, N, E), projected: (B, N, A), location: (A, 2K), query: (A, H), energy: (A,), padding: (B, N).
    """

    def __init__(
        self,
        lstm: FusedLstm,
        values: Tensor,
        projected: Tensor,
        location: Tensor,
        query: Tensor,
        energy: Tensor,
        padding: Tensor,
    ) -> None:
        self.lstm = lstm
        self.values = values.to(lstm.dtype).contiguous()
        self.projected = projected.to(lstm.dtype).contiguous()
        self.location = location.float().contiguous()
        self.query = query.float().contiguous()
        self.energy = energy.float().contiguous()
        self.padding = padding.float().contiguous()
        self.tokens, self.memory_width = values.shape[1:]
        self.attention = len(energy)
        self.kernel = location.shape[1] // 2
        self.trace = self._new(lstm.steps + 1, lstm.batch, 2, self.tokens)
        self.queries = self._new(lstm.steps, lstm.batch, self.attention)
        self.partial = self._new(lstm.parts, lstm.batch, self.attention)
        self._scratch = self._new(lstm.batch, self.tokens)
        self._settings = {
            kernel: lstm.settings(kernel)
            for kernel in (
                "energies",
                "context",
                "weights backward",
                "energies backward",
                "attend",
                "attend backward",
                "attention gradients",
            )
        }
        self.trace[0].zero_()
        for t in range(lstm.steps):
            lstm.step(t, self.query, self.partial)
            self.attend(t)
        self.outputs: tuple[Tensor, ...] = (lstm.state[1:], self.trace[1:, :, 0])

    def _new(self, *shape: int) -> Tensor:
        return self.lstm.cells.new_empty(shape)

    def attend(self, t: int) -> None:
        """The query of step `t`, in parts -> weights and context."""
        lstm = self.lstm
        by = self._settings["energies"]
        attention_kernels.energies[ceiling(self.tokens, by["BN"]), lstm.batch](
            self.partial,
            self.projected,
            self.padding,
            self.location,
            self.energy,
            self.trace,
            self.queries,
            self._scratch,
            t,
            lstm.batch,
            self.tokens,
            P=lstm.parts,
            A=self.attention,
            K=self.kernel,
            BP=power(lstm.parts, 1),
            BA=power(self.attention),
            BC=power(2 * self.kernel),
            PRECISION=lstm.precision,
            **by,
            **lstm.launch,
        )
        by = self._settings["context"]
        attention_kernels.context[ceiling(self.memory_width, by["BE"]), lstm.batch](
            self.values,
            self.trace,
            lstm.state,
            self._scratch,
            t,
            lstm.batch,
            self.tokens,
            H=lstm.hidden,
            E=self.memory_width,
            BT=power(self.tokens, 128),
            **by,
            **lstm.launch,
        )

    def backward(self, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients of states (T, B, H + E) and weights (T, B, N) -> gradients of the inputs of `run_attention`."""
        lstm = self.lstm
        self.start_backward(*gradients)
        for t in reversed(range(lstm.steps)):
            self.attend_backward(t)
            lstm.step_backward(t, self.query, self.dqueries, self.dquery)
        dprojected, dlocation, denergy = self.sum_gradients()
        hidden = lstm.state[1:, :, : lstm.hidden].flatten(0, 1)
        return (
            lstm.gates,
            lstm.weight_gradient(),
            torch.bmm(self.trace[1:, :, 0].permute(1, 2, 0), self._dcontext.transpose(0, 1)),
            dprojected,
            dlocation,
            torch.mm(self.dquery.flatten(0, 1).to(lstm.dtype).t(), hidden).float(),
            denergy,
            None,
            None,
        )

    def start_backward(self, dstates: Tensor | None, dweights: Tensor | None) -> None:
        lstm = self.lstm
        chunks = self._query_chunks()
        self._dwindows = self._new(2, lstm.batch, self.tokens, power(2 * self.kernel)).zero_()
        self._dcumulative = self._new(2, lstm.batch, self.tokens).zero_()
        self._dcontext = self._new(lstm.steps, lstm.batch, self.memory_width)
        self._denergies = self._new(lstm.steps, lstm.batch, self.tokens)
        self.dqueries = self._new(chunks, lstm.batch, self.attention)
        self.dquery = self._new(lstm.steps, lstm.batch, self.attention)
        self._dweights = None if dweights is None else dweights.contiguous()
        lstm.start_backward(torch.zeros_like(lstm.state[1:]) if dstates is None else dstates)

    def _query_chunks(self) -> int:
        return ceiling(self.tokens, self._settings["energies backward"]["BN"])

    def attend_backward(self, t: int) -> None:
        """Gradients of step `t`'s state -> of its query, in parts, and of what it saw of the weights before."""
        lstm = self.lstm
        by = self._settings["weights backward"]
        attention_kernels.weights_backward[ceiling(self.tokens, by["BN"]), lstm.batch](
            lstm.dstate,
            lstm.dpartial,
            self.trace if self._dweights is None else self._dweights,
            self.values,
            self._dwindows,
            self._dcumulative,
            self._dcontext,
            self._scratch,
            t,
            lstm.batch,
            self.tokens,
            SPLITS=lstm.splits,
            H=lstm.hidden,
            E=self.memory_width,
            K=self.kernel,
            BC=power(2 * self.kernel),
            BE=power(self.memory_width),
            DWEIGHTS=self._dweights is not None,
            **by,
            **lstm.launch,
        )
        attention_kernels.energies_backward[len(self.dqueries), lstm.batch](
            self.projected,
            self.location,
            self.energy,
            self.trace,
            self.queries,
            self._scratch,
            self._dwindows,
            self._denergies,
            self.dqueries,
            t,
            lstm.batch,
            self.tokens,
            A=self.attention,
            K=self.kernel,
            BT=power(self.tokens, 128),
            BA=power(self.attention),
            BC=power(2 * self.kernel),
            PRECISION=lstm.precision,
            **self._settings["energies backward"],
            **lstm.launch,
        )

    def sum_gradients(self) -> tuple[Tensor, Tensor, Tensor]:
        """All steps' gradients of the projected memory, the location weight and the energy weight."""
        lstm = self.lstm
        by = self._settings["attention gradients"]
        chunks = ceiling(self.tokens, by["BN"])
        columns = power(2 * self.kernel)
        dprojected = self._new(lstm.batch, self.tokens, self.attention)
        dlocation = self._new(chunks * lstm.batch, self.attention, columns)
        denergy = self._new(chunks * lstm.batch, self.attention)
        attention_kernels.attention_gradients[chunks, lstm.batch](
            self.projected,
            self.location,
            self.energy,
            self.queries,
            self.trace,
            self._denergies,
            dprojected,
            dlocation,
            denergy,
            lstm.steps,
            lstm.batch,
            self.tokens,
            A=self.attention,
            K=self.kernel,
            BA=power(self.attention),
            BC=columns,
            PRECISION=lstm.precision,
            **by,
        )
        return dprojected, dlocation.sum(0)[:, : 2 * self.kernel], denergy.sum(0)


class WholeAttentionTape(AttentionTape):
    """With one program for each utterance."""

    def attend(self, t: int) -> None:
        lstm = self.lstm
        whole_attention_kernels.attend[(lstm.batch,)](
            self.partial,
            self.projected,
            self.values,
            self.padding,
            self.location,
            self.energy,
            self.trace,
            self.queries,
            lstm.state,
            self._scratch,
            t,
            lstm.batch,
            self.tokens,
            P=lstm.parts,
            H=lstm.hidden,
            E=self.memory_width,
            A=self.attention,
            K=self.kernel,
            BP=power(lstm.parts, 1),
            BT=power(self.tokens, 128),
            BA=power(self.attention),
            BC=power(2 * self.kernel),
            BE=power(self.memory_width),
            PRECISION=lstm.precision,
            **self._settings["attend"],
            **lstm.launch,
        )

    def _query_chunks(self) -> int:
        return 1

    def attend_backward(self, t: int) -> None:
        lstm = self.lstm
        whole_attention_kernels.attend_backward[(lstm.batch,)](
            lstm.dstate,
            lstm.dpartial,
            self.trace if self._dweights is None else self._dweights,
            self.projected,
            self.values,
            self.location,
            self.energy,
            self.trace,
            self.queries,
            self._dwindows,
            self._dcumulative,
            self._dcontext,
            self._denergies,
            self.dqueries,
            self._scratch,
            t,
            lstm.batch,
            self.tokens,
            SPLITS=lstm.splits,
            H=lstm.hidden,
            E=self.memory_width,
            A=self.attention,
            K=self.kernel,
            BA=power(self.attention),
            BC=power(2 * self.kernel),
            BE=power(self.memory_width),
            DWEIGHTS=self._dweights is not None,
            PRECISION=lstm.precision,
            **self._settings["attend backward"],
            **lstm.launch,
        )


def run_lstm(card: Card, dtype: torch.dtype, gates: Tensor, weight: Tensor, keep: Tensor | None) -> LstmTape:
    """gates: (T, B, 4H) input products, overwritten; weight: (4H, H); keep: (T, B, H) or None -> hidden (T, B, H)."""
    return LstmTape(FusedLstm(card, dtype, gates, weight, keep))


def run_attention(
    card: Card,
    dtype: torch.dtype,
    gates: Tensor,
    recurrent: Tensor,
    values: Tensor,
    projected: Tensor,
    location: Tensor,
    query: Tensor,
    energy: Tensor,
    padding: Tensor,
    keep: Tensor | None,
) -> AttentionTape:
    """All teacher-forced steps. gates: (T, B, 4H), overwritten; keep: (T, B, H); the others as in `Memory`."""
    make = WholeAttentionTape if card.is_whole(gates.shape[1]) else AttentionTape
    return make(FusedLstm(card, dtype, gates, recurrent, keep), values, projected, location, query, energy, padding)
