"""The fused kernels against torch's operations in float64: outputs and all gradients, with padding and dropout."""

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

from benchmarks.kernel_parity import CARDS, CASES, EXACT, OF_ATTENTION, OF_LSTM, Case, measure

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def errors(case: Case, card: str) -> dict[tuple[str, str], Any]:
    # Tiles that are loaded as tensors reach beyond the batch, to memory that nobody has written. It is not stored.
    with np.errstate(over="ignore", invalid="ignore"):
        return {(row["tape"], row["of"]): row["fused"] for row in measure(case, DEVICE, torch.float32, CARDS[card])}


def assert_exact(case: Case, card: str) -> None:
    found = errors(case, card)
    assert set(found) == {*(("attention", of) for of in OF_ATTENTION), *(("lstm", of) for of in OF_LSTM)}
    assert {of: error for of, error in found.items() if not error < EXACT} == {}


def test_a_small_size_is_exact() -> None:
    assert_exact(CASES["least"][0], "whole")


@pytest.mark.slow
@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("case", CASES["small"], ids=str)
def test_all_kernels_are_exact(case: Case, card: str) -> None:
    assert_exact(case, card)
