"""How fast a voice speaks: the real-time factor of the decoder and of each vocoder, beside NVIDIA's inference code.

    git clone https://github.com/NVIDIA/tacotron2 nvidia
    python -m benchmarks.say_speed [--nvidia nvidia] [--device cpu] [--rounds 5] [--json FILE]

Models of both sizes with random weights speak one sentence of 4.6 s, whose gates never fire: from tokens to the mel
after the postnet. NVIDIA's model of the same sizes speaks the same tokens for as many steps, in the same rounds.
Real-time factor: seconds of work for a second of sound; smaller is faster. Ratio: of NVIDIA's time to ours.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import nvidia
from benchmarks.report import table, write_results
from trainer.config import AudioConfig, TrainerConfig
from trainer.model import Tacotron2
from trainer.nvidia.symbols import TABLE
from trainer.text import SYMBOLS, encode
from trainer.vocoder.vocoders import open_vocoder

TEXT = "the quick brown fox jumps over the lazy dog, and runs away."
FRAMES = 400  # 4.6 s
NEVER = 2.0  # a threshold that no gate reaches
SIZES = ("tiny", "full")


def main() -> None:
    options = parsed()
    device = torch.device(options.device)
    rows = []
    for size in SIZES:
        config = TrainerConfig.from_mapping({"preset": size})
        torch.manual_seed(1)
        runs = {"ours": ours(config, device)}
        if options.nvidia:
            runs["NVIDIA's"] = theirs(options.nvidia, config, device)
        seconds = in_turns(runs, options.rounds, device)
        row: dict[str, Any] = {"what": f"decoder, {size}, r {config.model.reduction}"}
        row |= {name: seconds[name] / length(config.audio) for name in runs}
        if options.nvidia:
            row["ratio"] = seconds["NVIDIA's"] / seconds["ours"]
        rows.append(row)
    rows += vocoders(AudioConfig(), device, options.rounds)
    print(table(rows))
    if options.json:
        write_results(options.json, {"real-time factors": rows}, vars(options))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvidia", type=Path, help="a checkout of NVIDIA/tacotron2")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args()


def length(audio: AudioConfig) -> float:
    """Of the sentence, in seconds."""
    return FRAMES * audio.hop_length / audio.sample_rate


def ours(config: TrainerConfig, device: torch.device) -> Callable[[], Any]:
    model = Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels).to(device).eval()
    tokens = torch.tensor([encode(TEXT)], device=device)
    lengths = torch.tensor([tokens.shape[1]])
    limit = torch.tensor([FRAMES])
    return lambda: model.infer(tokens, lengths, limit.to(device), gate_threshold=NEVER)


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


def vocoders(audio: AudioConfig, device: torch.device, rounds: int) -> list[dict[str, Any]]:
    mel = np.random.default_rng(1).normal(-5, 2, (FRAMES, audio.n_mels)).astype(np.float32)
    rows = []
    for name in ("griffin-lim", "hifigan"):
        vocoder = open_vocoder(name, audio, device)

        def sound(vocoder: Any = vocoder) -> Any:
            return vocoder.sound(mel)

        seconds = in_turns({"ours": sound}, rounds, device)
        rows.append({"what": f"vocoder, {name}", "ours": seconds["ours"] / length(audio)})
    return rows


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
