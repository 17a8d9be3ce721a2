"""Whether the recurrences run by fused kernels or by torch's operations, and what happens where kernels fail.

Fused kernels need Triton (it comes with torch for CUDA), a CUDA device of capability 8.0 or higher, a C compiler, and
products in bfloat16 or float32. `auto` uses them on the cards on which they were checked; see `settings`. Does not
import Triton before they are used.
"""

import logging
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from trainer.model.kernels.settings import Card, card_of
from trainer.model.recurrence import MakeTape, Tape

log = logging.getLogger(__name__)

CAPABILITY = (8, 0)  # the least: of bfloat16 and TF32
DTYPES = (torch.bfloat16, torch.float32)
REHEARSED = 2  # steps: the first and the last one differ

Kernels = Literal["fused", "torch", "mixed"]  # mixed: one recurrence by fused kernels, the other by torch


def choose_kernels(wanted: Literal["auto", "fused", "torch"], device: torch.device) -> Kernels:
    """What to use on `device`. Warns where fused kernels are wanted but cannot be used."""
    if wanted == "torch":
        return "torch"
    reason = why_not_fused(device)
    if reason is None and (wanted == "fused" or card(device).checked):
        return "fused"
    if wanted == "fused":
        log.warning("`device.kernels` is fused, but %s: torch's operations are used, which are slower.", reason)
    return "torch"


def why_not_fused(device: torch.device) -> str | None:
    """What fused kernels lack on `device`, as a clause; None where nothing is known to be missing."""
    if device.type != "cuda":
        return f"the device is {device.type}"
    capability = torch.cuda.get_device_capability(device)
    if capability < CAPABILITY:
        return "the device's CUDA capability is {}.{}, and they need {}.{}".format(*capability, *CAPABILITY)
    if find_spec("triton") is None:
        return "Triton is not installed"
    return None


def card(device: torch.device) -> Card:
    """The settings for `device`, a CUDA device."""
    programs = torch.cuda.get_device_properties(device).multi_processor_count
    return card_of(torch.cuda.get_device_capability(device), programs)


class FusedKernels:
    """`run_attention` and `run_lstm` by fused kernels; where these cannot be compiled, by torch's operations.

    Both are for `Runner`: (dtype, recording, *inputs) -> tape. A pass that is not recorded, or in a precision that the
    kernels lack, also runs by torch.
    """

    def __init__(self, card: Card, run_attention: MakeTape, run_lstm: MakeTape) -> None:
        from trainer.model.kernels import tapes

        self.run_attention = _Rehearsed(partial(tapes.run_attention, card), run_attention)
        self.run_lstm = _Rehearsed(partial(tapes.run_lstm, card), run_lstm)

    @property
    def failures(self) -> list[str]:
        """Why kernels could not be used, so that passes run by torch."""
        return [text for text in (self.run_attention.failure, self.run_lstm.failure) if text]

    @property
    def running(self) -> Kernels:
        """What passes run by, as far as is known: before the first one, no kernel has failed."""
        failed = [bool(self.run_attention.failure), bool(self.run_lstm.failure)]
        return "torch" if all(failed) else "mixed" if any(failed) else "fused"


class _Rehearsed:
    """A recurrence by fused kernels. Before the first pass of a size, all kernels run on zeros, and so are compiled.

    A failure then leaves the inputs as they were, and the pass, like all that follow, runs by torch.
    """

    def __init__(self, fused: Callable[..., Tape], plain: MakeTape) -> None:
        self._fused = fused
        self._plain = plain
        self._compiled = set[object]()
        self.failure = ""

    def __call__(self, dtype: torch.dtype, recording: bool, *inputs: Tensor | None) -> Tape:
        if recording and dtype in DTYPES and self._compiles(dtype, inputs):
            return self._fused(dtype, *inputs)
        return self._plain(dtype, recording, *inputs)

    def _compiles(self, dtype: torch.dtype, inputs: tuple[Tensor | None, ...]) -> bool:
        few = _first_steps(inputs)
        key = (dtype, *((x.shape, x.dtype) if x is not None else None for x in few))
        if self.failure or key in self._compiled:
            return not self.failure
        try:
            tape = self._fused(dtype, *(None if x is None else torch.zeros_like(x) for x in few))
            tape.backward(*(torch.zeros_like(x) for x in tape.outputs))
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # of a compiler, a loader, a driver: torch does without them
            self.failure = f"{type(error).__name__}: {error}"
            log.warning("the fused kernels cannot be used, updates take longer: %s", self.failure)
            return False
        self._compiled.add(key)
        return True


def _first_steps(inputs: tuple[Tensor | None, ...]) -> list[Tensor | None]:
    """Of the inputs with a dimension of steps: the gates come first, dropout comes last, both (T, B, .)."""
    gates, *others, keep = inputs
    assert gates is not None
    return [gates[:REHEARSED], *others, None if keep is None else keep[:REHEARSED]]
