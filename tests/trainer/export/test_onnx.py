"""An exported ONNX file says what the voice says: by onnxruntime, and by the script in docs without this project."""

import json
import re
import subprocess
import sys
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from lively_voice import TEXT, infer, lively_voice, with_source

from trainer import synthesis
from trainer.audio import to_wav
from trainer.config import AudioConfig
from trainer.errors import VoiceError
from trainer.export import onnx_file
from trainer.export.onnx_file import onnx_bytes
from trainer.installing import extra_command
from trainer.model import Tacotron2
from trainer.synthesis import Synthesizer
from trainer.text import SYMBOLS
from trainer.vocoder.generator import Generator
from trainer.vocoder.vocoders import GriffinLim, open_vocoder
from trainer.vocoder.weights import AUDIO_SETTINGS, describe
from trainer.voice_format import Voice

onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("one_thread")

SCRIPT = Path(__file__).parents[3] / "docs" / "speak_onnx.py"
WITHOUT_US = """
import runpy, sys
for name in ("trainer", "smart_tuner", "torch"):
    sys.modules[name] = None  # importing it raises ImportError
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
STEPS = 30


def run(voice: Voice, keep: npt.NDArray[np.float32], text: str = TEXT) -> list[npt.NDArray[np.float32]]:
    """mel, attention, gate, magnitude."""
    session = onnxruntime.InferenceSession(onnx_bytes(voice), providers=["CPUExecutionProvider"])
    tokens = np.array([SYMBOLS.index(symbol) for symbol in text])
    outputs: list[npt.NDArray[np.float32]] = session.run(None, {"tokens": tokens, "keep": keep})
    return outputs


def ours(voice: Voice, steps: int, monkeypatch: pytest.MonkeyPatch, text: str = TEXT) -> tuple[Any, Any]:
    """What the model says, and the masks of the prenet that it drew, (T, 2, P)."""
    drawn: list[torch.Tensor] = []

    def recorded(masks: torch.Tensor, probability: float) -> None:
        masks.copy_((torch.rand_like(masks) >= probability) / (1 - probability))
        drawn.append(masks.clone())

    model = Tacotron2(voice.config.model, len(voice.symbols), voice.config.audio.n_mels)
    model.load_state_dict(voice.weights)
    with monkeypatch.context() as patch:
        patch.setattr("trainer.model.free_running.draw_keep_masks", recorded)
        output = infer(model.eval(), text, steps * voice.config.model.reduction)
    spoken = int(output.steps[0])
    width = voice.config.model.prenet_dim
    masks = torch.cat(drawn)[: 2 * spoken].view(spoken, 2, width) if drawn else torch.ones(spoken, 2, width)
    rest = torch.ones(steps - spoken, 2, width)  # never used, but for the limit
    return output, torch.cat([masks, rest]).numpy()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": {"reduction": 1, "encoder_convolutions": 0, "postnet_convolutions": 2, "location_kernel": 1}},
        {"model": {"reduction": 5, "encoder_convolutions": 1, "encoder_kernel": 3, "postnet_kernel": 7}},
        {"model": {"prenet_dropout": 0.0, "embedding_dim": 24, "encoder_dim": 20, "attention_dim": 6}},
        {"model": {"prenet_dropout": 0.3, "decoder_dropout": 0.4}},
    ],
)
def test_it_says_the_same_with_the_same_dropout(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    voice = lively_voice(**changes)
    expected, keep = ours(voice, STEPS, monkeypatch)
    steps, frames = int(expected.steps[0]), int(expected.steps[0]) * voice.config.model.reduction
    mel, attention, gate, _ = run(voice, keep)
    assert mel.shape == (frames, voice.config.audio.n_mels)
    np.testing.assert_allclose(mel, expected.mel[0, :frames], atol=1e-4)
    np.testing.assert_allclose(attention, expected.attention[0, :steps], atol=1e-4)
    np.testing.assert_allclose(gate, torch.sigmoid(expected.gate_logits[0, :steps]), atol=1e-4)
    other = run(voice, np.ones_like(keep))[0]
    drops = voice.config.model.prenet_dropout > 0
    assert (other.shape != mel.shape or np.abs(other - mel).max() > 0.1) == drops


def test_it_ends_by_the_gate_and_else_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    voice = lively_voice()
    expected, keep = ours(voice, STEPS, monkeypatch)
    steps = int(expected.steps[0])
    assert 1 < steps < STEPS
    gate = run(voice, keep)[2]
    assert len(gate) == steps
    assert (gate[-1] > 0.5, bool((gate[:-1] > 0.5).any())) == (True, False)
    cut = run(voice, keep[: steps - 1])[2]
    assert len(cut) == steps - 1
    assert not (cut > 0.5).any()


def test_texts_of_any_length_are_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    voice = lively_voice()
    for text in ("a", "this sentence is longer than the others, by far."):
        expected, keep = ours(voice, STEPS, monkeypatch, text)
        frames = int(expected.steps[0]) * voice.config.model.reduction
        np.testing.assert_allclose(run(voice, keep, text)[0], expected.mel[0, :frames], atol=1e-4)


def test_the_magnitude_is_what_griffin_lim_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.audio import inverse_filters

    voice = lively_voice()
    mel, _, _, magnitude = run(voice, ours(voice, STEPS, monkeypatch)[1])
    audio = voice.config.audio
    np.testing.assert_allclose(magnitude, np.maximum(np.exp(mel) @ inverse_filters(audio).T, 0), atol=1e-4, rtol=1e-4)


def test_the_script_in_docs_says_the_same_without_this_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It draws the same masks from the seed, so that nothing has to be handed to it but the text."""
    monkeypatch.setattr(synthesis, "ATTEMPTS", 1)  # the script does not judge what it said
    voice = lively_voice()
    (tmp_path / "a voice.onnx").write_bytes(onnx_bytes(voice))
    spoken = Synthesizer(voice, GriffinLim(voice.config.audio)).say("Hello there.")
    assert spoken.sentences[0].ended
    expected = tmp_path / "expected.wav"
    expected.write_bytes(to_wav(spoken.samples, spoken.sample_rate))
    command = [sys.executable, "-I", "-W", "error", "-c", WITHOUT_US, str(SCRIPT)]
    given = [str(tmp_path / "a voice.onnx"), "Hello there.", str(tmp_path / "said.wav")]
    done = subprocess.run([*command, *given], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said, wanted = samples_of(tmp_path / "said.wav"), samples_of(expected)
    assert said.shape == wanted.shape
    assert np.abs(wanted).max() > 0.01
    assert np.abs(said - wanted).max() < 0.01 * np.abs(wanted).max()


def test_the_script_in_docs_makes_the_same_mel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "ATTEMPTS", 1)
    voice = lively_voice(model={"prenet_dropout": 0.3})
    (tmp_path / "voice.onnx").write_bytes(onnx_bytes(voice))
    code = (
        "import numpy, runpy, sys\n"
        "for name in ('trainer', 'smart_tuner', 'torch'): sys.modules[name] = None\n"
        "mel, _, _ = runpy.run_path(sys.argv[1])['speak'](sys.argv[2], 'hello there.')\n"
        "numpy.save(sys.argv[3], mel)\n"
    )
    target = tmp_path / "mel.npy"
    subprocess.run([sys.executable, "-I", "-c", code, SCRIPT, tmp_path / "voice.onnx", target], check=True)
    (sentence,) = Synthesizer(voice, GriffinLim(voice.config.audio)).say("Hello there.").sentences
    np.testing.assert_allclose(np.load(target), sentence.mel, atol=1e-4)


@pytest.mark.parametrize("resblock", ["1", "2"])
def test_with_a_vocoder_in_it_the_script_makes_its_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resblock: str
) -> None:
    monkeypatch.setattr(synthesis, "ATTEMPTS", 1)
    voice = lively_voice()
    generator = small_generator(tmp_path, voice.config.audio, resblock)
    (tmp_path / "voice.onnx").write_bytes(onnx_bytes(voice, str(generator)))
    said, expected = tmp_path / "said.wav", tmp_path / "expected.wav"
    command = [sys.executable, "-I", "-W", "error", "-c", WITHOUT_US, str(SCRIPT)]
    subprocess.run([*command, str(tmp_path / "voice.onnx"), "hello there.", str(said)], check=True)
    spoken = Synthesizer(voice, open_vocoder(str(generator), voice.config.audio)).say("Hello there.")
    expected.write_bytes(to_wav(spoken.samples, spoken.sample_rate))
    assert np.abs(samples_of(expected)).max() > 0.01
    np.testing.assert_allclose(samples_of(said), samples_of(expected), atol=2e-4)


def test_a_vocoder_for_other_mels_is_refused(tmp_path: Path) -> None:
    voice = lively_voice()
    generator = small_generator(tmp_path, replace(voice.config.audio, fmax=3000.0), "1")
    with pytest.raises(VoiceError, match=r"`audio.fmax` is 4000, but the vocoder needs 3000"):
        onnx_bytes(voice, str(generator))


def small_generator(folder: Path, audio: AudioConfig, resblock: str) -> Path:
    """In the public layout, with random weights."""
    settings: dict[str, Any] = {
        "resblock": resblock,
        "upsample_rates": [8, 4, 4],
        "upsample_kernel_sizes": [16, 8, 8],
        "upsample_initial_channel": 16,
        "resblock_kernel_sizes": [3, 5],
        "resblock_dilation_sizes": [[1, 2], [1, 3]],
        **{theirs: getattr(audio, ours) for theirs, ours in AUDIO_SETTINGS.items()},
    }
    (folder / "config.json").write_text(json.dumps(settings))
    path = folder / "generator.pth.tar"
    torch.manual_seed(3)
    path.touch()
    torch.save({"generator": Generator(describe(path).config).state_dict()}, path)
    return path


def test_the_script_in_docs_is_short() -> None:
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) <= 60


def test_the_metadata_says_all_that_is_needed_and_no_path_of_this_machine() -> None:
    voice = with_source(lively_voice(), "/home/anna/data/my-voice")
    content = onnx_bytes(voice)
    session = onnxruntime.InferenceSession(content)
    about = session.get_modelmeta().custom_metadata_map
    assert (about.pop("format"), about.pop("format_version")) == ("smart-tuner-voice", "1")
    read = {key: json.loads(value) for key, value in about.items()}
    assert set(read) == {"config", "symbols", "figures", "trained", "recordings", "limit"}
    assert read["symbols"] == list(SYMBOLS)
    assert read["config"]["audio"]["sample_rate"] == 8000
    assert read["recordings"] == {"corpus": "my-voice", "hours": None, "licence": ""}
    assert b"/home/anna" not in content
    assert [(value.name, value.type) for value in session.get_inputs()] == [
        ("tokens", "tensor(int64)"),
        ("keep", "tensor(float)"),
    ]
    assert [value.name for value in session.get_outputs()] == ["mel", "attention", "gate", "magnitude"]


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(VoiceError, match=re.escape(extra_command("onnx"))):
        onnx_bytes(lively_voice())


def samples_of(path: Path) -> npt.NDArray[np.float64]:
    with wave.open(str(path)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 8000)
        return np.frombuffer(sound.readframes(sound.getnframes()), np.int16) / 32768
