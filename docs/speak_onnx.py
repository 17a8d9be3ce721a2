"""Speak with an exported voice: python speak_onnx.py voice.onnx "hello there." hello.wav (needs onnxruntime, numpy)."""

import json
import sys
import wave

import numpy as np
import onnxruntime


def dropout_masks(steps, width, probability, seed):
    """(steps, 2, width) for both layers of the prenet; the same numbers that torch.manual_seed(seed) gives."""
    words = np.random.RandomState(seed).randint(0, 2**32, (steps, 2, -(-width // 4), 2), np.uint32)
    levels = words[..., ::-1].astype("<u4").view("<i2").reshape(steps, 2, -1)[..., :width]
    dropped = round(probability * 65536)
    return ((levels >= dropped - 32768) * (65536 / (65536 - dropped))).astype(np.float32)


def griffin_lim(magnitude, audio, iterations=60, momentum=0.99):
    """(frames, bins) -> (samples,)."""
    size, hop, width = audio["n_fft"], audio["hop_length"], audio["win_length"]
    window = np.zeros(size)
    window[(size - width) // 2 :][:width] = np.sin(np.pi * np.arange(width) / width) ** 2
    at = np.arange(len(magnitude))[:, None] * hop + np.arange(size)
    inside = slice(size // 2, size // 2 + hop * (len(magnitude) - 1))
    weights = np.maximum(np.bincount(at.ravel(), np.tile(window**2, len(magnitude))), 1e-8)

    def samples(spectrum):
        frames = np.fft.irfft(spectrum, size) * window
        return (np.bincount(at.ravel(), frames.ravel()) / weights)[inside]

    random = np.random.default_rng(0).random(magnitude.shape, dtype=np.float32)
    spectrum, before = magnitude * np.exp(2j * np.pi * random), 0
    for _ in range(iterations):
        after = np.fft.rfft(np.pad(samples(spectrum), size // 2, mode="reflect")[at] * window)
        spectrum, before = after - momentum / (1 + momentum) * before, after
        spectrum *= magnitude / (np.abs(spectrum) + 1e-16)
    return samples(spectrum)


def speak(path, text, seed=0):
    """Log-mel (frames, mels) and samples of one sentence, written as the voice reads it; audio settings."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    config, symbols, limit = (json.loads(about[key]) for key in ("config", "symbols", "limit"))
    audio, model = config["audio"], config["model"]
    tokens = np.array([symbols.index(symbol) for symbol in text.lower()])  # ValueError: the voice cannot read it
    seconds = limit["seconds"] + limit["seconds_per_symbol"] * len(tokens)
    steps = -(-int(seconds * audio["sample_rate"] / audio["hop_length"]) // model["reduction"])
    keep = dropout_masks(steps, model["prenet_dim"], model["prenet_dropout"], seed)
    has_vocoder = "samples" in [output.name for output in session.get_outputs()]
    mel, sound = session.run(["mel", "samples" if has_vocoder else "magnitude"], {"tokens": tokens, "keep": keep})
    return mel, sound if has_vocoder else griffin_lim(sound, audio), audio


if __name__ == "__main__":
    _, sound, settings = speak(*sys.argv[1:3])
    with wave.open(sys.argv[3], "wb") as file:
        file.setparams((1, 2, settings["sample_rate"], 0, "NONE", ""))
        file.writeframes((sound / max(1, np.abs(sound).max()) * 32767).astype("<i2").tobytes())
