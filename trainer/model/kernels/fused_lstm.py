"""An LSTM by fused Triton kernels, step by step, as both tapes run it. Shapes as in `tapes`."""

import torch
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from trainer.model.kernels import lstm_kernels
from trainer.model.kernels.settings import Card, Settings, Sizes, ceiling, power

EXACT = "tf32x3"


class FusedLstm:
    """An LSTM whose state row (B, S) begins with its hidden state: the part of both tapes that both have.

    gates: (T, B, 4H) input products, overwritten by the gates before their nonlinearities (in bfloat16 a saturated
    gate would lose 1 - i), then by their gradients. keep: (T, B, H) dropout or None.
    """

    def __init__(self, card: Card, dtype: torch.dtype, gates: Tensor, weight: Tensor, keep: Tensor | None) -> None:
        self.steps, self.batch, rows = gates.shape
        self.hidden = rows // 4
        self.width = weight.shape[1]
        self.card = card
        self.dtype = dtype
        self.gates = gates.contiguous()
        self.keep = keep
        self.weight = weight.detach().to(dtype).contiguous()
        self.state = gates.new_empty(self.steps + 1, self.batch, self.width, dtype=dtype)
        self.cells = gates.new_empty(self.steps + 1, self.batch, self.hidden, dtype=torch.float32)
        self._packed = self.weight.view(4, self.hidden, self.width).transpose(0, 1).reshape(self.weight.shape)
        self._kind = "lstm" if self.width == self.hidden else "attention"
        self._sizes = Sizes(self.batch, self.hidden, self.width, dtype == torch.float32)
        self._forward = self.settings(f"{self._kind} forward")
        self.parts = ceiling(self.hidden, self._forward["BH"])
        self._forward_tiles = (self.state, self._packed)
        if self._forward["TMA"]:
            self._forward_tiles = (
                _tiles(self.state, self._forward["BM"], self._forward["BK"]),
                _tiles(self._packed, 4 * self._forward["BH"], self._forward["BK"]),
            )
        self.state[0].zero_()
        self.cells[0].zero_()

    @property
    def precision(self) -> str:
        return EXACT if self._sizes.exact else "tf32"

    @property
    def launch(self) -> dict[str, bool]:
        """How each of the loops' kernels starts."""
        return {"PDL": True, "launch_pdl": True} if self.card.dependent_launch else {"PDL": False}

    def settings(self, kernel: str) -> Settings:
        return self.card.settings(kernel, self._sizes)

    def step(self, t: int, query: Tensor | None = None, partial: Tensor | None = None) -> None:
        """query: (A, H), partial: (parts, B, A), which gets the query in parts."""
        unused = self.gates
        attention = 1 if query is None else len(query)
        lstm_kernels.lstm_forward[self.parts, ceiling(self.batch, self._forward["BM"])](
            self.gates,
            self._packed,
            self.state,
            self.cells,
            unused if self.keep is None else self.keep,
            unused if query is None else query,
            unused if partial is None else partial,
            *self._forward_tiles,
            t,
            self.batch,
            H=self.hidden,
            S=self.width,
            A=attention,
            BA=power(attention),
            KEEP=self.keep is not None,
            QUERY=query is not None,
            PRECISION=self.precision,
            **self._forward,
            **self.launch,
        )

    def start_backward(self, dstate: Tensor) -> None:
        """dstate: (T, B, S) gradients of the states."""
        self.dstate = dstate.contiguous()
        self._product = self.settings(f"{self._kind} product")
        most_splits = self._product.pop("most_splits")
        columns = ceiling(self.width, self._product["BN"])
        rows = ceiling(self.batch, self._product["BM"])
        blocks = ceiling(4 * self.hidden, self._product["BK"])
        wanted = max(1, min(most_splits, self.card.programs // (columns * rows)))
        blocks_each = ceiling(blocks, wanted)
        self.splits = ceiling(blocks, blocks_each)
        self._product["LENGTH"] = blocks_each * self._product["BK"]
        self._product_grid = (columns, rows, self.splits)
        self._product_tiles = (self.gates, self.weight)
        if self._product["TMA"] and self.gates.dtype == self.dtype:
            self._product_tiles = (
                _tiles(self.gates, self._product["BM"], self._product["BK"]),
                _tiles(self.weight, self._product["BK"], self._product["BN"]),
            )
        else:
            self._product["TMA"] = 0
        self._backward = self.settings("lstm backward")
        self.dpartial = dstate.new_zeros(self.splits, self.batch, self.width, dtype=torch.float32)
        self._dcell = dstate.new_zeros(self.batch, self.hidden, dtype=torch.float32)

    def step_backward(
        self, t: int, query: Tensor | None = None, dqueries: Tensor | None = None, dquery: Tensor | None = None
    ) -> None:
        """dqueries: (chunks, B, A) gradients of this step's query, in parts, whose sum goes to dquery (T, B, A)."""
        self.gates_backward(t, query, dqueries, dquery)
        if t > 0:
            self.product_backward(t)

    def gates_backward(self, t: int, query: Tensor | None, dqueries: Tensor | None, dquery: Tensor | None) -> None:
        """The gradient of step `t`'s state -> the gates' gradients."""
        unused = self.gates
        attention = 1 if query is None else len(query)
        grid = ceiling(self.hidden, self._backward["BH"]), ceiling(self.batch, self._backward["BM"])
        lstm_kernels.lstm_backward[grid](
            self.dstate,
            self.dpartial,
            unused if dqueries is None else dqueries,
            unused if dquery is None else dquery,
            unused if query is None else query,
            self.gates,
            self.cells,
            unused if self.keep is None else self.keep,
            self._dcell,
            0 if dqueries is None else len(dqueries),
            t,
            self.batch,
            SPLITS=self.splits,
            H=self.hidden,
            S=self.width,
            A=attention,
            BA=power(attention),
            KEEP=self.keep is not None,
            QUERY=query is not None,
            PRECISION=self.precision,
            **self._backward,
            **self.launch,
        )

    def product_backward(self, t: int) -> None:
        """The gates' gradients of step `t` -> the gradient of the state before it, in parts."""
        lstm_kernels.product_backward[self._product_grid](
            self.gates,
            self.weight,
            self.dpartial,
            *self._product_tiles,
            t,
            self.batch,
            H=self.hidden,
            S=self.width,
            PRECISION=self.precision,
            **self._product,
            **self.launch,
        )

    def weight_gradient(self) -> Tensor:
        """One product over all steps, in the tape's precision: (4H, S) float32."""
        product = torch.mm(self.gates.flatten(0, 1).to(self.dtype).t(), self.state[:-1].flatten(0, 1))
        return product.float()


def _tiles(x: Tensor, rows: int, columns: int) -> TensorDescriptor:
    """Of `x` as a matrix of its last dimension."""
    return TensorDescriptor.from_tensor(x.flatten(0, -2), [rows, columns])
