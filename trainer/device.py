"""Choose the device of a run, and set up torch and the kernels for it."""

import gc
import logging
import os
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from trainer.config import DeviceConfig, TrainerConfig
from trainer.errors import ConfigError
from trainer.losses import training_losses
from trainer.memory import keep_large_blocks
from trainer.model import Tacotron2
from trainer.model.kernels.choice import card, choose_kernels
from trainer.model.kernels.settings import Card
from trainer.model.matrix_products import prefer_onednn
from trainer.optimizer import Adam
from trainer.text import SYMBOLS

log = logging.getLogger(__name__)

# Imported beforehand, as far as they are installed. The last ones are imported by others, but only where needed.
WARMED_UP = ("trainer.loop", "torch.utils.tensorboard.writer", "trainer.pictures", "trainer.audio", "scipy.fft")
WARMED_UP_FOR_CUDA = (*WARMED_UP, "trainer.model.kernels.tapes")

# The decoder's dropout, tokens of a text, the weight of guided attention. Runs that differ by whether there is any, or
# by whether there are more than 128, have other kernels; no kernel depends on two of these.
COMPILED = ((0.0, 9, 1.0), (0.1, 129, 0.0))


def choose_device(config: DeviceConfig, where: str = "`device.name`") -> torch.device:
    """The device of `config`; a CUDA device always has an index.

    where: it was named, for the error. Raises ConfigError where torch does not find it.
    """
    if config.name == "auto":
        return default_device()
    device = torch.device(config.name)
    if device.type != "cuda":
        return device
    index = _current_index() if device.index is None else device.index
    found = torch.cuda.device_count()
    if index >= found:
        raise ConfigError(f"{where} is {config.name!r}, but torch finds {found} CUDA devices here.")
    return torch.device("cuda", index)


def named_device(name: str) -> torch.device:
    """The device that an option `--device` names, as `device.name`. Raises ConfigError as `choose_device`."""
    config = TrainerConfig.from_mapping({"device": {"name": name}}, "--device")
    return choose_device(config.device, "--device")


def default_device() -> torch.device:
    """The current GPU where there is one, else the CPU."""
    return torch.device("cuda", _current_index()) if torch.cuda.is_available() else torch.device("cpu")


def _current_index() -> int:
    """The index that `torch.cuda.set_device` needs. Does not start CUDA, which would take memory of the GPU."""
    started: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.current_device() if started else 0


def warm_up(like: TrainerConfig | None = None) -> None:
    """Import and set up all that a run needs: a waiting process saves it these seconds.

    like: a run that the next one probably resembles: fused kernels for its sizes are compiled and loaded.
    """
    prefer_onednn()
    device = default_device()
    try:
        update_once(device)
        if like is not None and device.type == "cuda":
            compile_kernels(like, device)
    except RuntimeError as error:  # the GPU may be busy: the run decides whether that matters
        log.warning("not warmed up: %s", error)
    for module in WARMED_UP_FOR_CUDA if device.type == "cuda" else WARMED_UP:
        with suppress(ImportError):  # a run that needs the module reports it
            import_module(module)
    gc.collect()
    if device.type == "cuda":
        with suppress(RuntimeError):  # of a device that fails, as above
            torch.cuda.empty_cache()  # other processes need the memory while this one waits
    gc.freeze()  # the loaded modules stay: a collection over them would take 0.2 s of the first update


def update_once(device: torch.device, kernels: Card | None = None) -> Tacotron2:
    """One update of a small model, which it returns: libraries initialise at their first call.

    kernels: the card for which fused kernels run, with products in bfloat16. Raises RuntimeError where the device
    fails.
    """
    config = TrainerConfig.from_mapping({"preset": "tiny"})
    model = Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels).to(device)
    if kernels is not None:
        model.use_fused_kernels(kernels)
    with torch.autocast(device.type, torch.bfloat16, enabled=kernels is not None):
        losses = _losses(model, config, [9, 8])
    losses.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    Adam(model.parameters(), fused=True).step()
    return model


def compile_kernels(config: TrainerConfig, device: torch.device) -> None:
    """Compile and load the fused kernels that runs like that of `config` need; nothing where it has none.

    Those of a whole batch; one of another number of clips may have other tiles, and need others. Raises RuntimeError
    where the device fails.
    """
    for dropout, tokens, guided_weight in COMPILED:
        sizes = replace(config.model, attention_dropout=dropout, decoder_dropout=dropout)
        model = Tacotron2(sizes, len(SYMBOLS), config.audio.n_mels).to(device)
        use_kernels(model, config, device)
        if model.kernels != "fused":
            return
        with autocast(config.device, device):
            losses = _losses(model, config, [tokens] * config.batch.size, guided_weight)
        losses.backward()  # type: ignore[no-untyped-call]


def _losses(model: Tacotron2, config: TrainerConfig, texts: list[int], guided_weight: float = 1.0) -> Tensor:
    """Of texts of so many tokens each, whose recordings are silence of ten steps."""
    device = model.decoder.mel.weight.device
    lengths = torch.tensor(texts, device=device)
    tokens = torch.ones(len(texts), max(texts), dtype=torch.int64, device=device)
    frames = torch.full_like(lengths, 10 * model.reduction)
    mels = torch.zeros(len(texts), 10 * model.reduction, config.audio.n_mels, device=device)
    output = model(tokens, lengths, mels, frames)
    return training_losses(output, mels, frames, lengths, config.loss, config.guided_attention, guided_weight).total


def use_kernels(model: Tacotron2, config: TrainerConfig, device: torch.device) -> None:
    """Let `model` run by the kernels that `config` asks for. What is compiled is kept beside the features."""
    if choose_kernels(config.device.kernels, device) == "fused":
        os.environ.setdefault("TRITON_CACHE_DIR", str(Path(config.paths.cache).resolve() / "kernels"))
        model.use_fused_kernels(card(device))


def autocast(config: DeviceConfig, device: torch.device) -> torch.autocast:
    """The context in which products are in the precision of `config`."""
    lowered = config.precision == "bf16" or (device.type == "cuda" and config.precision != "float32")
    return torch.autocast(device.type, torch.bfloat16, enabled=lowered)


@cache
def _threads_at_start() -> int:
    """torch's number of threads before the first run of this process."""
    return torch.get_num_threads()


def set_up(device: torch.device, config: DeviceConfig) -> None:
    """Set the process's threads, memory allocation and float32 precision for training on `device`."""
    at_start = _threads_at_start()
    torch.set_num_threads(config.threads or at_start)
    if device.type == "cpu":
        keep_large_blocks()
        prefer_onednn()
    if device.type == "cuda":
        torch.cuda.set_device(device)  # graphs are captured and events recorded on the current one
        exact = config.precision == "float32"
        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32 = not exact
