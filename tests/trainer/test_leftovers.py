"""After a trial its memory is given back; where more and more is left, no other trial follows."""

import gc
import weakref

import pytest
import torch

from trainer import leftovers
from trainer.leftovers import MOST_GROWTH, Leftovers


@pytest.fixture(autouse=True)
def unfrozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "freeze", lambda: None)  # it would last for the tests after this one


def test_what_refers_to_itself_is_freed() -> None:
    model = torch.nn.Linear(3, 3)
    model.itself = [model]
    gone = weakref.ref(model)
    del model
    assert Leftovers().give_back()
    assert gone() is None


@pytest.mark.slow
def test_another_trial_follows_until_too_much_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    held = iter([10**9, 2 * 10**8, 10**9 + MOST_GROWTH, 10**9 + MOST_GROWTH + 1])
    monkeypatch.setattr(leftovers, "resident_bytes", lambda: next(held))
    after = Leftovers()
    assert [after.give_back() for _ in range(4)] == [True, True, True, False]


def test_so_it_is_on_a_gpu_whose_cache_is_emptied_before(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []
    held = iter([0, MOST_GROWTH + 1])
    monkeypatch.setattr(leftovers, "resident_bytes", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    for name in ("synchronize", "empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda name=name: called.append(name))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: next(held))
    after = Leftovers()
    assert [after.give_back() for _ in range(2)] == [True, False]
    assert called == ["synchronize", "empty_cache", "reset_peak_memory_stats"] * 2
    assert caplog.messages == [
        "no other trial follows: 268 MB more of the GPU's memory are held than after the first one"
    ]


def test_none_follows_where_the_device_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", fail)
    assert not Leftovers().give_back()
