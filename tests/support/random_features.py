"""Features of noise, for tests of code that uses features."""

import numpy as np

from trainer.config import TrainerConfig
from trainer.data.features import Features
from trainer.data.features_writer import fingerprint, offsets
from trainer.text import SYMBOLS, decode


def random_features(config: TrainerConfig, utterances: int, seconds: float, seed: int) -> Features:
    """Noise instead of speech, without files.

    `utterances` clips of `seconds` on average, uniformly between half and one and a half times that, 15 symbols per
    second; one in twenty (at least one) is for validation.
    """
    assert utterances >= 2, utterances
    rng = np.random.default_rng(seed)
    mean = seconds * config.audio.sample_rate / config.audio.hop_length
    frames = np.maximum(1, rng.uniform(0.5 * mean, 1.5 * mean, utterances)).astype(np.int64)
    per_token = config.audio.sample_rate / config.audio.hop_length / 15
    tokens = [rng.integers(1, len(SYMBOLS), max(1, round(count / per_token)), dtype=np.int64) for count in frames]
    mels = rng.standard_normal((int(frames.sum()), config.audio.n_mels), dtype=np.float32) * 2 - 5
    held_out = max(1, utterances // 20)
    train, validation = range(held_out, utterances), range(held_out)
    ids = [f"random-{i:05d}" for i in range(utterances)]
    return Features(
        train=train,
        validation=validation,
        frames=frames,
        skipped=0,
        language="en",
        symbols=SYMBOLS,
        fingerprint=fingerprint(ids, [decode(each.tolist()) for each in tokens], frames, train, validation),
        mels=mels.astype(np.float16),
        offsets=offsets(frames),
        _tokens=np.concatenate(tokens).astype(np.uint8),
        _token_offsets=offsets([len(each) for each in tokens]),
        _ids=np.frombuffer("".join(ids).encode(), np.uint8),
        _id_offsets=offsets([len(each) for each in ids]),
    )
