"""Adam and AdamW as torch has them, but without what `torch.compile` needs.

torch's own import `torch._dynamo` at their first call: 1.1 s and 140 MB of each process, for nothing where nothing is
compiled. The numbers are the same.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch

_WRAPPED = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")  # for `torch.compile`


def _uncompiled(kind: type[torch.optim.Adam]) -> type[torch.optim.Adam]:
    """A subclass that calls what torch has wrapped."""
    methods: dict[str, Callable[..., Any]] = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    methods["step"] = torch.no_grad()(methods["step"])  # as the wrapper does
    return type(kind.__name__, (kind,), methods)


Adam = _uncompiled(torch.optim.Adam)
AdamW = _uncompiled(torch.optim.AdamW)
