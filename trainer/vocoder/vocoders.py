"""Which vocoder makes the sound of a voice, and how it is asked for.

`auto`: HiFi-GAN where the extra `vocoder` is installed and the voice has the mels that it expects, else Griffin-Lim.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from trainer.audio import Samples, griffin_lim
from trainer.config import AudioConfig
from trainer.errors import VoiceError
from trainer.installing import extra_command
from trainer.vocoder import weights
from trainer.vocoder.names import AUTO, GRIFFIN_LIM, HIFIGAN


class Vocoder(Protocol):
    """name: for people, such as "HiFi-GAN"."""

    @property
    def name(self) -> str: ...

    def sound(self, mel: Samples) -> Samples:
        """(frames, n_mels) natural log-mel -> (hop_length * (frames - 1),) in [-1, 1]."""
        ...


class GriffinLim:
    """Estimates the phase (`trainer.audio.griffin_lim`); needs no weights, and sounds metallic."""

    name = "Griffin-Lim"

    def __init__(self, audio: AudioConfig, device: torch.device | str = "cpu") -> None:
        self._audio = audio
        self._device = torch.device(device)

    def sound(self, mel: Samples) -> Samples:
        return griffin_lim(mel, self._audio, device=self._device)


class HifiGan:
    """Computes the sound by a trained generator (`trainer.vocoder.generator`)."""

    def __init__(self, file: weights.GeneratorFile, device: torch.device | str = "cpu") -> None:
        """Raises VoiceError where the weights cannot be read."""
        self.name = f"HiFi-GAN ({file.path.name})"
        self._hop = int(file.audio["hop_size"])
        self._device = torch.device(device)
        self._generator = weights.load(file).to(self._device)

    @torch.inference_mode()
    def sound(self, mel: Samples) -> Samples:
        frames = torch.from_numpy(np.ascontiguousarray(mel.T))[None].to(self._device)
        samples: Samples = self._generator(frames)[0].float().cpu().numpy()
        # Frame t is centred on sample t * hop here, and on (t + 1/2) * hop where HiFi-GAN was trained.
        return samples[self._hop // 2 :][: self._hop * (len(mel) - 1)]


def open_vocoder(name: str, audio: AudioConfig, device: torch.device | str = "cpu") -> Vocoder:
    """name: AUTO, HIFIGAN, GRIFFIN_LIM, or the path of a generator in the public layout.

    Raises VoiceError where it is not installed, cannot be read, or expects other mels than `audio` gives.
    """
    if name == GRIFFIN_LIM:
        return GriffinLim(audio, device)
    if name != AUTO:
        return HifiGan(generator_for(name, audio), device)
    path = weights.shipped()
    if path is None or (file := weights.describe(path)).mismatches(audio):
        return GriffinLim(audio, device)
    return HifiGan(file, device)


def generator_for(name: str, audio: AudioConfig) -> weights.GeneratorFile:
    """name: HIFIGAN, or the path of a generator. Raises as `open_vocoder`."""
    path = weights.shipped() if name == HIFIGAN else Path(name).expanduser()
    if path is None:
        raise VoiceError(f"HiFi-GAN is not installed; install it ({extra_command('vocoder')}), or use Griffin-Lim.")
    file = weights.describe(path)
    if different := file.mismatches(audio):
        raise VoiceError(f"{path}: cannot speak the mels of this voice: {'; '.join(different)}.")
    return file
