"""While a process waits, it compiles the kernels that the next run launches."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_cuda_api import install
from random_features import random_features
from short_run import small_config

pytest.importorskip("triton")

from trainer import device
from trainer.config import TrainerConfig
from trainer.data.loading import make_loader
from trainer.device import compile_kernels, warm_up
from trainer.model.kernels import lstm_kernels
from trainer.model.kernels.settings import Card
from trainer.resuming import open_state
from trainer.updates import Updates

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a fake device stands in for a real one")

CUDA = torch.device("cuda", 0)
Launched = set[tuple[str, ...]]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Launched]:
    """No kernel runs: what each is launched with, as far as it is compiled for that."""
    seen: Launched = set()

    def launch(kernel: Any, grid: Any) -> Any:
        parameters = inspect.signature(kernel.fn).parameters
        any_value = kernel.kwargs["do_not_specialize"]

        def note(*arguments: Any, **named: Any) -> None:
            given = {**dict(zip(parameters, arguments, strict=False)), **named}
            shown = (f"{name} {_type(value)}" for name, value in sorted(given.items()) if name not in any_value)
            seen.add((kernel.fn.__name__, *shown))

        return note

    monkeypatch.setattr(type(lstm_kernels.lstm_forward), "__getitem__", launch)
    monkeypatch.setattr(device, "choose_kernels", lambda wanted, on: "fused")
    monkeypatch.setattr(device, "card", lambda on: Card())
    monkeypatch.setattr(device, "import_module", lambda name: None)
    monkeypatch.setattr("gc.freeze", lambda: None)
    monkeypatch.setenv("TRITON_CACHE_DIR", "none")
    with install(monkeypatch):
        yield seen


def _type(value: Any) -> str:
    return str(value.dtype) if isinstance(value, torch.Tensor) else str(value)


def config_of(folder: Path, **changes: Any) -> TrainerConfig:
    return small_config(folder, device={"name": "cuda", "kernels": "fused"}, **changes)


@pytest.mark.parametrize(
    ("tokens", "changes"),
    [
        (20, {"guided_attention": {"enabled": False}}),
        (140, {"model": {"attention_dropout": 0.0, "decoder_dropout": 0.0}}),
    ],
)
def test_what_a_run_launches_was_compiled_while_it_was_waited_for(
    tokens: int, changes: dict[str, Any], launched: Launched, tmp_path: Path
) -> None:
    """Also with other dropout, losses, texts and batches than the run has that it is to be like."""
    compile_kernels(config_of(tmp_path / "before", batch={"size": 16}), CUDA)
    compiled = set(launched)
    launched.clear()
    config = config_of(tmp_path / "run", **changes)
    features = random_features(config, utterances=7, seconds=tokens / 15, seed=1)
    state = open_state(config, features)
    batch = make_loader(features, config.model.reduction, config.audio.log_floor, state.device).load([1, 2, 3, 4, 5])
    assert (batch.tokens.shape[1] > 128) == (tokens > 128)
    Updates(state.model.train(), state.optimizer, config)(batch, 1e-3, config.guided_attention.enabled * 1.0)
    assert len({kernel for kernel, *_ in launched}) == 8
    assert launched <= compiled


def test_they_are_compiled_only_for_a_run_that_uses_them(
    launched: Launched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "update_once", lambda on: None)
    warm_up()
    assert not launched
    warm_up(config_of(tmp_path))
    assert launched
    launched.clear()
    monkeypatch.setattr(device, "choose_kernels", lambda wanted, on: "torch")
    warm_up(config_of(tmp_path))
    assert not launched
