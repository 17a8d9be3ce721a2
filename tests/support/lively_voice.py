"""A voice with random weights and random statistics of its batch norms, which ends its sentences in the middle."""

from dataclasses import replace
from typing import Any

import torch

from trainer.config import TrainerConfig
from trainer.dotted import merge
from trainer.model import Tacotron2
from trainer.text import SYMBOLS
from trainer.voice_format import Voice

TEXT = "hello there."
_SMALL: dict[str, Any] = {
    "preset": "tiny",
    "text": {"language": "en"},
    "audio": {"sample_rate": 8000, "fmax": 4000, "n_fft": 512, "win_length": 400, "hop_length": 128, "n_mels": 8},
    "model": {"prenet_dim": 10, "attention_rnn_dim": 16, "decoder_rnn_dim": 12, "reduction": 2},
}


def lively_voice(**changes: Any) -> Voice:
    config = TrainerConfig.from_mapping(merge(_SMALL, changes))
    return next(voice for seed in range(100) if (voice := _voice(config, seed)) is not None)


def _voice(config: TrainerConfig, seed: int) -> Voice | None:
    """None where it would end at once."""
    torch.manual_seed(seed)
    model = Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_mean", "running_var", "norm.weight", "norm.bias")):
            tensor.uniform_(0.5, 1.5)
        elif name.startswith("decoder.") and tensor.ndim == 2:
            tensor.mul_(2)  # as they come, dropout hardly changes what is said
    with torch.no_grad():
        model.decoder.gate.bias.fill_(-100.0)
        gates = infer(model, TEXT, frames=40 * config.model.reduction).gate_logits[0] + 100
        model.decoder.gate.bias.fill_(-gates.quantile(0.85))  # fires at about every seventh step
    ends_at_once = bool(gates[:5].max() > gates.median())
    return None if ends_at_once else Voice(model.state_dict(), config, SYMBOLS, {"loss": 1.0})


def infer(model: Tacotron2, text: str, frames: int, seed: int = 0) -> Any:
    tokens = torch.tensor([[SYMBOLS.index(symbol) for symbol in text]])
    torch.manual_seed(seed)
    return model.infer(tokens, torch.tensor([tokens.shape[1]]), torch.tensor([frames]))


def with_source(voice: Voice, source: str) -> Voice:
    """Trained on another corpus."""
    return replace(voice, config=replace(voice.config, corpus=replace(voice.config.corpus, source=source)))
