"""A voice with random weights whose gate never fires: it speaks up to the step limit and ends no sentence by itself."""

import torch

from trainer.config import TrainerConfig
from trainer.model import Tacotron2
from trainer.text import SYMBOLS
from trainer.voice_format import Voice

RATE = 8000


def endless_voice(
    language: str = "en", symbols: tuple[str, ...] = SYMBOLS, gate: float = -10.0, kind: str = "characters"
) -> Voice:
    """gate: its bias; far above 0 the voice ends each sentence at once."""
    config = TrainerConfig.from_mapping(
        {
            "preset": "tiny",
            "text": {"kind": kind, "language": language},
            "audio": {"sample_rate": RATE, "fmax": RATE / 2, "n_fft": 512, "win_length": 512, "n_mels": 8},
            "model": {"prenet_dim": 8, "attention_rnn_dim": 16, "decoder_rnn_dim": 16, "reduction": 8},
        }
    )
    torch.manual_seed(5)
    model = Tacotron2(config.model, len(symbols), config.audio.n_mels)
    torch.nn.init.constant_(model.decoder.gate.bias, gate)
    return Voice(model.state_dict(), config, symbols)
