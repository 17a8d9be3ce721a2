"""The model of NVIDIA/tacotron2, loaded from a checkout, for comparison with ours.

Only its `model.py` and `layers.py` are imported. During the import their audio modules are replaced by stubs, and the
two helpers that move tensors to any GPU by ones that keep tensors on their device. Nothing stays in `sys.modules`, and
none of that code is part of this repository.
"""

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from torch import Tensor

from trainer.config import TrainerConfig
from trainer.dotted import flatten
from trainer.nvidia.checkpoint import HPARAMS

_STUBS = {
    "librosa": (),
    "librosa.filters": ("mel",),
    "audio_processing": ("dynamic_range_compression", "dynamic_range_decompression"),
    "stft": ("STFT",),
}


def load(checkout: Path, device: torch.device | str | None = None) -> ModuleType:
    """Its `model.py` as a module. device: where its `parse_batch` puts batches; None: it does not move them."""
    utils = ModuleType("utils")
    utils.to_gpu = lambda x: x.contiguous() if device is None else x.contiguous().to(device)  # type: ignore[attr-defined]
    utils.get_mask_from_lengths = _mask  # type: ignore[attr-defined]
    stubs = {"utils": utils, **{name: _stub(name, names) for name, names in _STUBS.items()}}
    with _only_while_importing(checkout, stubs):
        spec = importlib.util.spec_from_file_location("nvidia_tacotron2", checkout / "model.py")
        assert spec is not None, checkout
        assert spec.loader is not None, checkout
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def hparams(config: TrainerConfig, symbols: int) -> SimpleNamespace:
    """The hyperparameters of its `Tacotron2`, for a model of the same sizes as ours."""
    ours = flatten(asdict(config))
    assert ours["model.embedding_dim"] == ours["model.encoder_dim"], "it has one width for both"
    return SimpleNamespace(
        n_symbols=symbols,
        mask_padding=True,
        fp16_run=False,
        max_decoder_steps=1000,
        gate_threshold=0.5,
        **{name: ours[key] for name, key in HPARAMS.items()},
    )


def symbols(checkout: Path) -> list[str]:
    """Its symbol table."""
    stubs = {"unidecode": _stub("unidecode", ("unidecode",)), "inflect": _Inflect()}
    with _only_while_importing(checkout, stubs), warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # it compares with `is` where it means `==`
        table: list[str] = importlib.import_module("text.symbols").symbols
    return list(table)


class _Inflect(ModuleType):
    """Its text package makes an engine at import."""

    def __init__(self) -> None:
        super().__init__("inflect")

    def engine(self) -> None:
        return None


def _mask(lengths: Tensor) -> Tensor:
    """(B,) -> (B, longest) bool, False in the padding."""
    return torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]


def _stub(name: str, names: tuple[str, ...]) -> ModuleType:
    module = ModuleType(name)
    for attribute in names:
        setattr(module, attribute, None)
    return module


@contextmanager
def _only_while_importing(checkout: Path, stubs: dict[str, ModuleType]) -> Iterator[None]:
    """Within it the checkout's modules and the stubs can be imported; afterwards `sys` is as before."""
    own = {path.stem for path in checkout.glob("*.py")} | {path.parent.name for path in checkout.glob("*/__init__.py")}
    passing = {*own, *stubs}
    before = {name: sys.modules[name] for name in sys.modules if name.partition(".")[0] in passing}
    path = sys.path[:]
    for name in before:
        del sys.modules[name]
    sys.modules.update(stubs)
    sys.path.insert(0, str(checkout))
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name.partition(".")[0] in passing]:
            del sys.modules[name]
        sys.modules.update(before)
