"""Which kernels are used where, and what happens when they fail."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from short_run import small_model
from torch import Tensor

from trainer.device import update_once
from trainer.model.kernels import choice, settings
from trainer.model.kernels.choice import FusedKernels, choose_kernels
from trainer.model.kernels.settings import Card, Sizes, card_of
from trainer.model.lstm import run_lstm
from trainer.model.recurrence import Runner, Tape

CUDA = torch.device("cuda", 0)
FULL = Sizes(batch=128, hidden=1024, width=1536, exact=False)


@pytest.fixture
def capability(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Pretend that the device has another one."""

    def have(major: int, minor: int) -> None:
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (major, minor))
        properties = SimpleNamespace(multi_processor_count=132)
        monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: properties)
        monkeypatch.setattr(choice, "find_spec", lambda name: object())

    return have


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[dict[str, Any]], None]:
    def write(content: dict[str, Any]) -> None:
        monkeypatch.setattr(settings, "TABLE", tmp_path / "settings.json")
        settings.TABLE.write_text(json.dumps(content))

    return write


def entry(**changes: Any) -> dict[str, Any]:
    return {"checked": True, "dependent_launch": True, "whole_from": 1, "sizes": [], **changes}


def test_a_checked_card_has_fused_kernels(capability: Any, table: Any) -> None:
    capability(9, 0)
    table({"9.0": entry()})
    assert choose_kernels("auto", CUDA) == "fused"
    assert choose_kernels("torch", CUDA) == "torch"
    assert choose_kernels("auto", torch.device("cpu")) == "torch"


def test_other_cards_have_them_where_they_are_asked_for(capability: Any, table: Any) -> None:
    capability(8, 6)
    table({"8.6": entry(checked=False)})
    assert choose_kernels("auto", CUDA) == "torch"
    assert choose_kernels("fused", CUDA) == "fused"
    table({})
    assert choose_kernels("auto", CUDA) == "torch"
    assert choose_kernels("fused", CUDA) == "fused"


def test_what_cannot_be_is_said(
    capability: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert choose_kernels("fused", torch.device("cpu")) == "torch"
    assert "the device is cpu" in caplog.text
    capability(7, 5)
    assert choose_kernels("fused", CUDA) == "torch"
    assert "capability is 7.5" in caplog.text
    capability(9, 0)
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    assert choose_kernels("fused", CUDA) == "torch"
    assert "Triton is not installed" in caplog.text
    caplog.clear()
    assert choose_kernels("auto", CUDA) == "torch"
    assert not caplog.records


def test_the_table_of_this_package_can_be_read() -> None:
    """Each of its settings replaces a default of the same kernel."""
    for capability in json.loads(settings.TABLE.read_text()):
        card = card_of(tuple(map(int, capability.split("."))))
        for size in card.sizes:
            for kernel, changes in size["kernels"].items():
                assert changes.keys() <= Card().settings(kernel, FULL).keys(), kernel
                for name, value in changes.items():
                    assert card.settings(kernel, Sizes(size["batch"], size["hidden"], 1536, False))[name] == value


def test_settings_are_those_of_the_nearest_size() -> None:
    sizes = [
        {"hidden": hidden, "batch": batch, "kernels": {"attend": {"BN": bn}}}
        for hidden, batch, bn in ((1024, 128, 1), (1024, 64, 2), (128, 64, 3))
    ]
    card = Card(sizes=tuple(sizes))

    def chosen(batch: int, hidden: int, exact: bool = False) -> int:
        return card.settings("attend", Sizes(batch, hidden, hidden + 512, exact))["BN"]

    assert [chosen(128, 1024), chosen(60, 1024), chosen(16, 1024), chosen(200, 700), chosen(128, 128)] == [
        1,
        2,
        2,
        1,
        3,
    ]
    assert chosen(128, 1024, exact=True) == Card().settings("attend", replace(FULL, exact=True))["BN"]
    assert Card(sizes=tuple(sizes), overrides={"attend": {"BN": 9}}).settings("attend", FULL)["BN"] == 9


def test_tiles_are_loaded_as_tensors_only_where_rows_are_aligned() -> None:
    card = Card(overrides={"lstm forward": {"TMA": 1}})
    assert card.settings("lstm forward", Sizes(4, 16, 16, False))["TMA"] == 1
    assert card.settings("lstm forward", Sizes(4, 14, 14, False))["TMA"] == 0
    without = Card(tensor_memory=False, overrides={"lstm forward": {"TMA": 1}})
    assert without.settings("lstm forward", Sizes(4, 16, 16, False))["TMA"] == 0


class Tried:
    """A fused LSTM that fails as it is told. `steps` has the length of each pass that was asked for."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.steps: list[int] = []

    def __call__(self, card: Card, dtype: torch.dtype, *inputs: Tensor | None) -> Tape:
        gates = inputs[0]
        assert gates is not None
        self.steps.append(len(gates))
        gates.fill_(7)  # as half a pass would
        if self.error is not None:
            raise self.error
        return run_lstm(dtype, True, gates, *inputs[1:])  # type: ignore[arg-type]


def lstm(monkeypatch: pytest.MonkeyPatch, tried: Tried) -> Runner:
    pytest.importorskip("triton")
    monkeypatch.setattr("trainer.model.kernels.tapes.run_lstm", tried)
    return Runner(FusedKernels(Card(), run_lstm, run_lstm).run_lstm)


def inputs(steps: int, batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(steps)
    gates = torch.randn(steps, batch, 12, generator=generator)
    return [gates, torch.randn(12, 3, generator=generator).requires_grad_(), torch.ones(steps, batch, 3)]


def hidden(runner: Runner, given: list[Tensor], dtype: torch.dtype = torch.float32) -> Tensor:
    return runner(dtype, *(x.clone() for x in given))[0]


@pytest.mark.parametrize("error", [RuntimeError("Failed to find C compiler"), KeyError("launch_pdl")])
def test_kernels_that_fail_cost_a_warning(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = Tried(error)
    runner = lstm(monkeypatch, tried)
    for steps in (5, 6):
        assert torch.equal(hidden(runner, inputs(steps)), hidden(Runner(run_lstm), inputs(steps)))
    assert tried.steps == [2], "after a failure they are not tried again"
    (record,) = caplog.records
    assert str(error) in record.getMessage()


def test_a_model_says_which_kernels_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    monkeypatch.setattr("trainer.model.kernels.tapes.run_lstm", Tried(RuntimeError("Failed to find C compiler")))
    model = small_model()
    assert model.kernels == "torch"
    model.use_fused_kernels(Card())
    assert model.kernels == "fused", "nothing has failed yet"
    hidden(model.decoder.lstm_runner, inputs(5))
    assert model.kernels == "mixed"
    monkeypatch.setattr("trainer.model.kernels.tapes.run_attention", Tried(RuntimeError("Failed to find C compiler")))
    model.use_fused_kernels(Card())
    lengths = torch.tensor([3])
    model(torch.ones(1, 3, dtype=torch.int64), lengths, torch.zeros(1, 8, 8), torch.tensor([8]))
    assert model.kernels == "torch"


def test_too_little_memory_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = lstm(monkeypatch, Tried(torch.cuda.OutOfMemoryError("too little")))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        hidden(runner, inputs(5))


def test_each_size_is_compiled_before_its_first_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number of steps does not matter."""
    tried = Tried()
    runner = lstm(monkeypatch, tried)
    for given in (inputs(5), inputs(9), inputs(9, batch=3)):
        hidden(runner, given)
    assert tried.steps == [2, 5, 9, 2, 9]


def test_what_the_kernels_lack_runs_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = Tried()
    runner = lstm(monkeypatch, tried)
    hidden(runner, [x.detach().double().requires_grad_() for x in inputs(5)], torch.float64)
    with torch.no_grad():
        hidden(runner, inputs(5))
    assert tried.steps == []


@pytest.mark.slow  # Triton's interpreter takes ten seconds
@pytest.mark.skipif(torch.cuda.is_available(), reason="Triton's interpreter is for machines without a GPU")
def test_the_update_that_warms_up_runs_by_fused_kernels() -> None:
    pytest.importorskip("triton")
    model = update_once(torch.device("cpu"), Card())
    assert (model.kernels, model.kernel_failures) == ("fused", [])
