"""How fast a voice speaks: the real-time factor of decoder, vocoder and `say`, beside NVIDIA's inference code.

    git clone https://github.com/NVIDIA/tacotron2 nvidia
    python -m benchmarks.say_speed [--nvidia nvidia] [--device cpu] [--rounds 5] [--threads N] [--json FILE]

Models of both sizes with random weights speak one sentence of 4.6 s, whose gates never fire: from tokens to the mel
after the postnet, one sentence and fifteen at once. NVIDIA's model of the same sizes speaks the same tokens for as many
steps, in the same rounds; its inference code takes one sentence at a time. Then `say` speaks the sentence, from its
text to the bytes of a WAV file.
Real-time factor: seconds of work for a second of sound; smaller is faster. Ratio: of NVIDIA's time to ours.

Needs torch, numpy and PyYAML alone. Without the extra `vocoder`, HiFi-GAN has random weights, which take the same time;
without scipy, Griffin-Lim is left out, and without soundfile the WAV file.
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks import nvidia
from benchmarks.report import table, write_results
from trainer import synthesis
from trainer.audio import to_wav
from trainer.config import AudioConfig, TrainerConfig
from trainer.model import Tacotron2
from trainer.nvidia.symbols import TABLE
from trainer.synthesis import Synthesizer
from trainer.text import SYMBOLS, encode
from trainer.vocoder.generator import Generator, GeneratorConfig
from trainer.vocoder.names import GRIFFIN_LIM, HIFIGAN
from trainer.vocoder.vocoders import Vocoder, open_vocoder
from trainer.vocoder.weights import CONFIG, shipped
from trainer.voice_format import Voice

TEXT = "the quick brown fox jumps over the lazy dog, and runs away."
FRAMES = 400  # 4.6 s
NEVER = 2.0  # a threshold that no gate reaches
SIZES = ("tiny", "full")
BATCH = 15  # sentences of an evaluation


def main() -> None:
    options = parsed()
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    rows = []
    for size in SIZES:
        config = TrainerConfig.from_mapping({"preset": size})
        rows += decoders(size, config, options.nvidia, device, options.rounds)
    with TemporaryDirectory() as folder:
        opened = vocoders(Path(folder), AudioConfig(), device)
        rows += [sounds(vocoder, device, options.rounds) for vocoder in opened]
        for size in SIZES:
            rows += [says(size, vocoder, device, options.rounds) for vocoder in opened]
    print(table(rows))
    if options.json:
        write_results(options.json, {"real-time factors": rows}, vars(options))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvidia", type=Path, help="a checkout of NVIDIA/tacotron2")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of a CPU (default: all cores)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args()


def length(audio: AudioConfig) -> float:
    """Of the sentence, in seconds."""
    return FRAMES * audio.hop_length / audio.sample_rate


def decoders(
    size: str, config: TrainerConfig, checkout: Path | None, device: torch.device, rounds: int
) -> list[dict[str, Any]]:
    torch.manual_seed(1)
    model = Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels).to(device).eval()
    runs = {"ours": ours(model, 1, device)}
    if checkout:
        runs["NVIDIA's"] = theirs(checkout, config, device)
    seconds = in_turns(runs, rounds, device)
    alone: dict[str, Any] = {"what": f"decoder, {size}, r {config.model.reduction}"}
    alone |= {name: seconds[name] / length(config.audio) for name in runs}
    if checkout:
        alone["ratio"] = seconds["NVIDIA's"] / seconds["ours"]
    together = in_turns({"ours": ours(model, BATCH, device)}, max(1, rounds // 2), device)["ours"]
    return [alone, {"what": f"the same, {BATCH} at once", "ours": together / BATCH / length(config.audio)}]


def ours(model: Tacotron2, batch: int, device: torch.device) -> Callable[[], Any]:
    tokens = torch.tensor([encode(TEXT)] * batch, device=device)
    lengths = torch.full((batch,), tokens.shape[1])
    limit = torch.full((batch,), FRAMES)
    return lambda: model.infer(tokens, lengths, limit, gate_threshold=NEVER)


def theirs(checkout: Path, config: TrainerConfig, device: torch.device) -> Callable[[], Any]:
    hparams = nvidia.hparams(config, len(TABLE))
    model = nvidia.load(checkout, device).Tacotron2(hparams).to(device).eval()
    model.decoder.max_decoder_steps = FRAMES // config.model.reduction
    model.decoder.gate_threshold = NEVER
    tokens = torch.tensor([[TABLE.index(symbol) for symbol in TEXT]], device=device)

    @torch.no_grad()
    def speak() -> Any:
        with redirect_stdout(io.StringIO()):  # it prints that it has reached the limit
            return model.inference(tokens)

    return speak


def vocoders(folder: Path, audio: AudioConfig, device: torch.device) -> list[Vocoder]:
    found = []
    if find_spec("scipy"):
        found.append(open_vocoder(GRIFFIN_LIM, audio, device))
    else:
        print("scipy is not installed: Griffin-Lim is left out.")
    if shipped():
        found.append(open_vocoder(HIFIGAN, audio, device))
    else:
        print("the extra `vocoder` is not installed: HiFi-GAN has random weights.")
        found.append(open_vocoder(str(random_generator(folder)), audio, device))
    return found


def random_generator(folder: Path) -> Path:
    """HiFi-GAN's generator V1 (arXiv:2010.05646, appendix A.1) in the public layout."""
    settings: dict[str, Any] = {
        "num_mels": 80,
        "resblock": "1",
        "upsample_rates": (8, 8, 2, 2),
        "upsample_kernel_sizes": (16, 16, 4, 4),
        "upsample_initial_channel": 512,
        "resblock_kernel_sizes": (3, 7, 11),
        "resblock_dilation_sizes": ((1, 3, 5),) * 3,
    }
    audio = {"sampling_rate": 22050, "n_fft": 1024, "hop_size": 256, "win_size": 1024, "fmin": 0, "fmax": 8000}
    (folder / CONFIG).write_text(json.dumps(settings | audio), encoding="utf-8")
    path = folder / "random.pth.tar"
    torch.save({"generator": Generator(GeneratorConfig(**settings)).state_dict()}, path)
    return path


def sounds(vocoder: Vocoder, device: torch.device, rounds: int) -> dict[str, Any]:
    audio = AudioConfig()
    mel = np.random.default_rng(1).normal(-5, 2, (FRAMES, audio.n_mels)).astype(np.float32)
    seconds = in_turns({"ours": lambda: vocoder.sound(mel)}, rounds, device)["ours"]
    return {"what": f"vocoder, {vocoder.name}", "ours": seconds / length(audio)}


def says(size: str, vocoder: Vocoder, device: torch.device, rounds: int) -> dict[str, Any]:
    """From text to WAV. The gate never fires: one attempt, which is cut off after FRAMES."""
    config = TrainerConfig.from_mapping({"preset": size, "text": {"language": "en"}})
    torch.manual_seed(1)
    model = Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels)
    torch.nn.init.constant_(model.decoder.gate.bias, -1e3)
    voice = Voice(model.state_dict(), config, SYMBOLS, {})
    synthesizer = Synthesizer(voice, vocoder, device)

    def say() -> None:
        with cut_off_after(length(config.audio)):
            speech = synthesizer.say(TEXT)
        assert len(speech.samples) == config.audio.hop_length * (FRAMES - 1), len(speech.samples)
        if find_spec("soundfile"):
            to_wav(speech.samples, speech.sample_rate)

    seconds = in_turns({"ours": say}, rounds, device)["ours"]
    return {"what": f"say, {size}, {vocoder.name}", "ours": seconds / length(config.audio)}


@contextmanager
def cut_off_after(seconds: float) -> Iterator[None]:
    """Within it, one attempt at a sentence is made, of so many seconds if its gate does not fire."""
    names = ("ATTEMPTS", "SLOWEST", "SLOWEST_MARGIN")
    before = [getattr(synthesis, name) for name in names]
    for name, value in zip(names, (1, 0.0, seconds), strict=True):
        setattr(synthesis, name, value)
    try:
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(synthesis, name, value)


def in_turns(runs: dict[str, Callable[[], Any]], rounds: int, device: torch.device) -> dict[str, float]:
    """The median seconds of each, run one after the other in each round, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(found[1:]) for name, found in seconds.items()}


if __name__ == "__main__":
    main()
