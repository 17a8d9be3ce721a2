"""The two sizes of the model, and the settings of fine-tuning. Standard library only."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from trainer.config.sections import ModelConfig

# About 1.2 M parameters: learns to align on the embedded corpus in under a minute on two cores.
_TINY: dict[str, Any] = {
    "model": {
        "embedding_dim": 128,
        "encoder_dim": 128,
        "prenet_dim": 64,
        "attention_rnn_dim": 128,
        "attention_dim": 64,
        "location_filters": 16,
        "decoder_rnn_dim": 128,
        "postnet_dim": 128,
        "reduction": 4,
        "encoder_dropout": 0.1,
        "postnet_dropout": 0.1,
        "attention_dropout": 0.0,
        "decoder_dropout": 0.0,
    },
    "optimizer": {"lr": 2e-3, "weight_decay": 0.0},
    "batch": {"size": 16},
}

AS_THE_VOICE = -1  # with `preset: voice`: the value that the voice of `warm_start` has

# Fine-tuning: the sizes of the model are those of `warm_start`, and so are the dropouts that are not set.
_VOICE: dict[str, Any] = {
    "model": {f.name: AS_THE_VOICE for f in fields(ModelConfig)},
    "optimizer": {"lr": 1e-4},
    "schedule": {"kind": "cosine"},
    "guided_attention": {"weight": 0.05},
    "batch": {"size": 16},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {"full": {}, "tiny": _TINY, "voice": _VOICE}
