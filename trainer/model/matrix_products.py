"""Matrix products of one weight with many inputs, by the fastest library that is exact enough.

On a CPU a recurrence multiplies a few rows with the same large weight at every step. oneDNN packs that weight
once; MKL packs it again at each call, and on AMD's processors uses half of the vector units. Measured
on two Zen 5 cores, 16 rows by 1536 x 4096: MKL 2.2 ms, oneDNN unpacked 0.9, packed 0.56, packed bf16 0.22.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

EXACT = (
    1e-5  # the largest relative error of float32 sums of a few hundred terms; that of bf16 is a hundred times larger
)


class Product:
    """`x @ weight.t()` for many x (rows, K) and one weight (N, K), computed in `dtype`; no gradient."""

    def __init__(self, weight: Tensor, rows: int, dtype: torch.dtype) -> None:
        self.dtype = dtype
        weight = weight.detach().to(dtype).contiguous()
        self._packed = None
        if weight.device.type == "cpu" and _packs(dtype):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
            # The overloads: resolving them at each call takes 10 of 35 microseconds.
            self._times = torch.ops.mkldnn._linear_pointwise.default
            self._times_plus = torch.ops.mkldnn._linear_pointwise.binary
        self._transposed = weight.t()

    def __call__(self, x: Tensor) -> Tensor:
        """(rows, K) -> (rows, N), in `dtype`."""
        x = x.to(self.dtype)
        if self._packed is None:
            return torch.mm(x, self._transposed)
        out: Tensor = self._times(x, self._packed, None, "none", [], "")
        return out

    def with_bias(self, x: Tensor, bias: Tensor) -> Tensor:
        """The product plus `bias` (N,), both in `dtype`."""
        if self._packed is None:
            return torch.addmm(bias, x, self._transposed)
        out: Tensor = self._times(x, self._packed, bias, "none", [], "")
        return out

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """The product plus `other` (rows, N), in the precision of `other`."""
        if other.dtype != self.dtype:
            return other + self(x)
        if self._packed is None:
            return torch.addmm(other, x, self._transposed)
        out: Tensor = self._times_plus(x, other, self._packed, None, "add")
        return out


def _packs(dtype: torch.dtype) -> bool:
    """float32, and bf16 where the processor has instructions for it; elsewhere oneDNN refuses it."""
    bf16 = dtype == torch.bfloat16 and _has_onednn() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return bf16 or (dtype == torch.float32 and _has_onednn())


def _has_onednn() -> bool:
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available


def prefer_onednn() -> bool:
    """Let torch's own float32 products on the CPU run in oneDNN, where that is exact; True where they do.

    torch uses oneDNN for them only when it may round to bf16. A processor without a matrix unit for bf16 does not
    round, and on AMD is twice as fast as with MKL. Where products are rounded, nothing is changed.
    """
    if not _has_onednn():
        return False
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(64, 512, generator=generator), torch.randn(512, 256, generator=generator)
    exact = a.double() @ b.double()
    if bool(((a @ b).double() - exact).abs().max() <= EXACT * exact.abs().max()):
        return True
    torch.set_float32_matmul_precision(before)
    return False


@contextmanager
def small_products() -> Iterator[None]:
    """Within the block, float32 products on the CPU run in MKL, where matrix times vector takes a third of the time."""
    preferred = torch.get_float32_matmul_precision()
    if preferred != "medium":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(preferred)
