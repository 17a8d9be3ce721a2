"""How fast a corpus is prepared on all cores, beside plain librosa in one thread, in the same run.

    python -m benchmarks.preparation [--minutes 60] [--rate 44100] [--form wav] [--rounds 3] [--json FILE]

Writes `--minutes` of noise with pauses, in clips of two to ten seconds, and prepares them in turn, `--rounds` times:

- plain librosa: `librosa.load` at the features' rate, `librosa.effects.trim`, `librosa.feature.melspectrogram`, log,
  one clip after the other, with one thread;
- ours: `open_features` with an empty cache. It also reads the list and the texts, checks each recording, starts its
  processes, and writes the features to the disk.

The median of each counts. Each time is that of a new process which has imported librosa, or `trainer.data.features`;
what is loaded later counts, but for librosa, which has prepared one clip before.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.report import table, write_results
from trainer.config import TrainerConfig
from trainer.data.processes import THREAD_SETTINGS, cores

# All else is imported where it is needed: the processes of the trainer import this module, as they do a user's script.

SHORTEST, LONGEST = 2.0, 10.0  # seconds of a clip
PAUSE = 0.3  # seconds of silence at each edge of a clip
FORMS = ("wav", "flac", "mp3", "ogg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="of recordings")
    parser.add_argument("--rate", type=int, default=44100, help="of the recordings, in Hz")
    parser.add_argument("--form", choices=FORMS, default="wav", help="of the recordings")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        recordings, seconds = write_recordings(Path(name) / "corpus", options)
        plain, ours = [], []
        for _ in range(options.rounds):  # in turn: what else the machine does meets both
            plain.append(seconds_of(with_plain_librosa, recordings, dict.fromkeys(THREAD_SETTINGS, "1")))
            ours.append(seconds_of(with_the_trainer, recordings, {}))
    rows = [_row("plain librosa, one thread", plain, seconds), _row(f"trainer, {cores()} cores", ours, seconds)]
    ratio = statistics.median(plain) / statistics.median(ours)
    print(f"{len(recordings)} clips, {seconds / 60:.1f} minutes\n{table(rows)}\nratio: {ratio:.2f}")
    if options.json:
        write_results(options.json, {"preparation": rows, "ratio": ratio}, vars(options))


def _row(what: str, times: Sequence[float], seconds: float) -> dict[str, Any]:
    median = statistics.median(times)
    return {"prepared by": what, "seconds": median, "hours of audio a minute": seconds / 3600 / (median / 60)}


def write_recordings(folder: Path, options: argparse.Namespace) -> tuple[list[Path], float]:
    """Write a corpus of file list and recordings. -> the recordings, and their seconds together."""
    import numpy as np
    import soundfile

    from trainer.data.demo.sentences import compose

    folder.mkdir()
    random = np.random.default_rng(0)
    recordings: list[Path] = []
    left = options.minutes * 60
    while left > 0:
        length = int(random.uniform(SHORTEST, LONGEST) * options.rate)
        edge = int(PAUSE * options.rate)
        sound = np.zeros(length, np.float32)
        loud = random.uniform(-0.3, 0.3, length - 2 * edge)
        sound[edge:-edge] = loud * (1 + np.sin(np.arange(len(loud)) * 20 / options.rate)) / 2
        recordings.append(folder / f"clip-{len(recordings):06d}.{options.form}")
        soundfile.write(recordings[-1], sound, options.rate)
        left -= length / options.rate
    texts = compose("en", len(recordings), seed=0)
    lines = (f"{path.name}|{text}\n" for path, text in zip(recordings, texts, strict=True))
    (folder / "list.csv").write_text("".join(lines), encoding="utf-8")
    return recordings, options.minutes * 60 - left


def seconds_of(work: Callable[[Any, Sequence[Path]], None], recordings: Sequence[Path], environment: Any) -> float:
    """What `work` sends, in a new process with these variables of the environment."""
    before = dict(os.environ)
    os.environ.update(environment)  # read when the process loads its libraries
    try:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, recordings))
        process.start()
        theirs.close()  # or its death would not end the wait
        seconds = ours.recv()
        process.join()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return float(seconds)


def with_the_trainer(connection: Any, recordings: Sequence[Path]) -> None:
    """Send the seconds from the list to open features."""
    from trainer.data.features import open_features

    corpus = recordings[0].parent
    with tempfile.TemporaryDirectory(dir=corpus.parent) as cache:
        config = TrainerConfig.from_mapping(
            {"corpus": {"source": str(corpus / "list.csv")}, "text": {"language": "en"}, "paths": {"cache": cache}}
        )
        began = time.perf_counter()
        features = open_features(config)
        seconds = time.perf_counter() - began
        assert len(features) == len(recordings), len(features)
    connection.send(seconds)


def with_plain_librosa(connection: Any, recordings: Sequence[Path]) -> None:
    """Send the seconds from the first recording to the last log-mel."""
    import librosa
    import numpy as np

    audio = TrainerConfig().audio
    settings: dict[str, Any] = {"n_fft": audio.n_fft, "hop_length": audio.hop_length, "win_length": audio.win_length}
    mels: dict[str, Any] = {"n_mels": audio.n_mels, "fmin": audio.fmin, "fmax": audio.fmax}

    def prepared(path: Path) -> Any:
        samples, _ = librosa.load(path, sr=audio.sample_rate)
        samples, _ = librosa.effects.trim(samples, top_db=audio.trim_db)
        mel = librosa.feature.melspectrogram(y=samples, sr=audio.sample_rate, power=1.0, **settings, **mels)
        return np.log(np.maximum(mel, audio.log_floor))

    prepared(recordings[0])  # loads what librosa loads lazily
    began = time.perf_counter()
    for path in recordings:
        prepared(path)
    connection.send(time.perf_counter() - began)


if __name__ == "__main__":
    main()
