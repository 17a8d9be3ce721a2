"""Averaged weights: a running mean of a model's parameters over the latest share of its updates.

Averaging takes the noise of single updates out of the weights, as a falling learning rate does, and costs one pass over
them. The window grows with the training, so that it suits a short run and a long one (Karras et al. 2023,
arXiv:2312.02696, section 3.1: a power function of the time). Covers the mean and lending it to the model; the loop
decides when to measure it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The mean of the parameters of `model`, on its device.

    share: of the updates so far, over which the mean reaches back: weights from before have little part in it.
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        self._share = share
        self._parameters: Sequence[Tensor] = [parameter.data for parameter in model.parameters()]
        self._buffers = [buffer for buffer in model.buffers()]
        self._names = [name for name, _ in model.named_parameters()]
        self._mean = [parameter.clone() for parameter in self._parameters]

    def update(self, updates: int) -> None:
        """Take in the present weights. updates: of the optimiser so far, at least 1."""
        rate = min(1.0, 1.0 / (self._share * updates))
        torch._foreach_lerp_(self._mean, list(self._parameters), rate)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """The model has the mean as its parameters inside the block, and its own state again afterwards.

        Buffers, such as the statistics of batch norms, are not averaged: measure them again in the block.
        """
        own = [tensor.clone() for tensor in (*self._parameters, *self._buffers)]
        torch._foreach_copy_(list(self._parameters), self._mean)
        try:
            yield
        finally:
            torch._foreach_copy_([*self._parameters, *self._buffers], own)

    def state_dict(self) -> dict[str, Tensor]:
        """By the names of the parameters."""
        return dict(zip(self._names, self._mean, strict=True))

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, mean in zip(self._names, self._mean, strict=True):
            mean.copy_(state[name])
