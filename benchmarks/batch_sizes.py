"""What sizes of batches a corpus with the lengths of LJSpeech has on a GPU: padding, graphs, and the time of both.

    python -m benchmarks.batch_sizes [--batch 128] [--epochs 3 20 1501] [--json FILE]

Counts, on any machine, with the trainer's own code. Each row rounds frames up to another multiple, and takes tokens
either by the frames of a batch (as the trainer does) or rounded up by themselves. The seconds are estimates: what an
H100 took for a step of the decoder, and what the first and the second update of a size took beyond a replay
(`results/epochs_cuda.json`: full size, batch 128). Of many epochs the first ones are counted, and stand for all.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.noise import HOP, LJSPEECH, RATE, ljspeech_seconds, texts
from benchmarks.report import table, write_results
from trainer.config import TrainerConfig
from trainer.data.batches import Padding, epoch_batches
from trainer.data.loading import CUDA_FRAMES, CUDA_TOKENS

MULTIPLES = (16, 24, CUDA_FRAMES, 48, 64)
SECONDS_OF_A_STEP = 158e-6  # replayed
FIRST = 0.20  # seconds
SECOND = 0.32
COUNTED = 40  # epochs at most

Lengths = npt.NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=LJSPEECH)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, nargs="+", default=[3, 20, 1501])
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    frames, tokens = lengths(options.clips)
    tail = TrainerConfig().loss.gate_tail
    rows = []
    for epochs in options.epochs:
        for multiple in MULTIPLES:
            plain = Padding(multiple, CUDA_TOKENS, tail)
            for name, padding in {"by frames": plain.with_usual(frames, tokens), "by themselves": plain}.items():
                counted = count(frames, tokens, padding, options.batch, epochs)
                rows.append({"epochs": epochs, "multiple of frames": multiple, "tokens": name, **counted})
    print(table(rows))
    if options.json:
        write_results(options.json, {"rows": rows}, vars(options))


def lengths(clips: int) -> tuple[Lengths, Lengths]:
    """Frames and tokens of the clips to train on, as `write_ljspeech` makes them."""
    seconds = ljspeech_seconds(clips)
    frames = np.round(seconds * RATE / HOP).astype(np.int64)
    tokens = np.array([len(text) for text in texts(seconds, spread=0.1)])
    train = clips - max(1, round(TrainerConfig().corpus.validation_share * clips))
    return frames[:train], tokens[:train]


def count(frames: Lengths, tokens: Lengths, padding: Padding, batch_size: int, epochs: int) -> dict[str, Any]:
    """What `epochs` epochs have. A size that comes twice is captured."""
    sizes = Counter[tuple[int, int, int]]()
    steps = spoken = padded = attended = cells = 0
    for epoch in range(min(epochs, COUNTED)):
        for indices in epoch_batches(frames, batch_size, 1, epoch):
            clips = list(indices)
            longest = padding.padded(int(frames[clips].max()))
            text = padding.padded_text(int(tokens[clips].max()), longest)
            sizes[len(clips), longest, text] += 1
            steps += longest
            spoken += int(frames[clips].sum())
            padded += longest * len(clips)
            attended += int((frames[clips] * tokens[clips]).sum())
            cells += longest * text * len(clips)
    graphs = sum(times > 1 for times in sizes.values())
    replayed = steps * SECONDS_OF_A_STEP * max(1.0, epochs / COUNTED)
    prepared = len(sizes) * FIRST + graphs * SECOND
    return {
        "sizes": len(sizes),
        "graphs": graphs,
        "padding of frames": 1 - spoken / padded,
        "padding of the attention": 1 - attended / cells,
        "replays, s": replayed,
        "first and second updates, s": prepared,
        "together, s": replayed + prepared,
    }


if __name__ == "__main__":
    main()
