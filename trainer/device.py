"""Which device a run trains on, and how torch is set up for it."""

from contextlib import suppress
from importlib import import_module

import torch

from trainer.config import DeviceConfig
from trainer.errors import ConfigError
from trainer.memory import keep_large_blocks
from trainer.model.products import prefer_onednn


def choose_device(config: DeviceConfig) -> torch.device:
    """Raises ConfigError where torch knows no such device here."""
    if config.name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(config.name)
    except RuntimeError as error:
        raise ConfigError(f"`device.name` must be auto, cpu, cuda or cuda:1, but got {config.name!r}.") from error
    there = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= there:
        raise ConfigError(f"`device.name` is {config.name!r}, but torch finds {there} CUDA devices here.")
    return device


def warm_up() -> None:
    """Import and set up all that a run needs sooner or later: seconds that a waiting process has spent before."""
    prefer_onednn()
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], fused=True).step()  # imports half of torch
    if torch.cuda.is_available():
        torch.zeros((), device="cuda")
    for module in ("trainer.loop", "torch.utils.tensorboard.writer", "matplotlib.figure", "trainer.audio"):
        with suppress(ImportError):  # a run that needs it says so
            import_module(module)


def set_up(device: torch.device, config: DeviceConfig) -> None:
    """The process's threads, memory and precision of float32 products, for training on `device`."""
    if config.threads:
        torch.set_num_threads(config.threads)
    if device.type == "cpu":
        keep_large_blocks()
        prefer_onednn()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("highest" if config.precision == "float32" else "high")
