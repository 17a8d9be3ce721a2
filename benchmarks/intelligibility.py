"""How many words a listener gets wrong when speech is blurred, beside the figures that the verdict is made of.

    python -m benchmarks.intelligibility LJSPEECH [--clips 16] [--json FILE]

Blurs the mels of recorded human English, as voices that have not trained long enough do, ever more; measures the MCD,
the likeness and the share of recognised pieces as for a voice, and lets pocketsphinx (extra `listener`) hear them after
Griffin-Lim. Shows from which figures on the words are understood, in a language with a recogniser, so that the same
thresholds can be used in others. LJSPEECH: a corpus in LJSpeech's layout.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.report import table, write_results
from trainer.audio import griffin_lim, log_mel, resynthesised
from trainer.config import AudioConfig
from trainer.data.audio_files import decode, prepare
from trainer.evaluation.distance import Array, mcd, mel_cepstra
from trainer.evaluation.listener import Listener, WordErrors
from trainer.evaluation.sentences import CANDIDATES, recognised
from trainer.evaluation.verdict import likeness
from trainer.text import normalise

AUDIO = AudioConfig()
# Standard deviations of the blur, in frames and in mel bins, and the share of the deviation from the mean frame that is
# kept: voices that have not trained long enough move too little, too.
BLURS = (
    (0.0, 0.0, 1.0),
    (1.0, 0.5, 0.95),
    (1.5, 1.0, 0.9),
    (2.0, 1.5, 0.85),
    (3.0, 2.0, 0.8),
    (4.0, 2.5, 0.75),
    (6.0, 3.0, 0.7),
    (8.0, 4.0, 0.6),
    (12.0, 6.0, 0.5),
)


@dataclass(frozen=True)
class Clip:
    text: str
    mel: Array  # (frames, M)
    cepstra: Array  # (frames, C)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, metavar="LJSPEECH")
    parser.add_argument("--clips", type=int, default=16, help="how many of the shortest")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    clips = sorted(clips_of(options.corpus), key=lambda clip: len(clip.mel))
    print(f"{options.corpus.name}: {len(clips)} clips, of which {min(options.clips, len(clips))} are heard")
    listener = Listener()
    rows = []
    for blur in BLURS:
        rows.append(measured(clips[: options.clips], clips, blur, listener))
        print(rows[-1], flush=True)
    print(table(rows))
    if options.json:
        write_results(options.json, {"rows": rows, "clips in the corpus": len(clips)}, vars(options))


def clips_of(corpus: Path) -> list[Clip]:
    found = []
    for line in (corpus / "metadata.csv").read_text(encoding="utf-8").splitlines():
        name, *_, text = line.split("|")
        mel = log_mel(prepare(decode(corpus / "wavs" / f"{name}.wav"), AUDIO), AUDIO)
        found.append(Clip(normalise(text, "en"), mel, mel_cepstra(mel)))
    return found


def nearest_in_length(clip: Clip, corpus: list[Clip]) -> list[Clip]:
    """As many others as a voice's sentence is compared with."""
    others = [other for other in corpus if other is not clip]
    return sorted(others, key=lambda other: abs(len(other.mel) - len(clip.mel)))[:CANDIDATES]


def measured(
    clips: list[Clip], corpus: list[Clip], blur: tuple[float, float, float], listener: Listener
) -> dict[str, Any]:
    over_time, over_bins, kept = blur
    mean = np.concatenate([clip.mel for clip in corpus]).mean(0)
    hum_cepstra = mel_cepstra(mean[None])
    distances: list[float] = []
    hums: list[float] = []
    ceilings: list[float] = []
    shares: list[float] = []
    variances: list[float] = []
    errors: list[WordErrors] = []
    for clip in clips:
        smooth: Array = gaussian_filter(clip.mel, (over_time, over_bins), mode="nearest")
        mel = mean + kept * (smooth - mean)
        cepstra = mel_cepstra(mel)
        others = [other.cepstra for other in nearest_in_length(clip, corpus)]
        distances.append(mcd(cepstra, [clip.cepstra]).item())
        hums.append(mcd(np.repeat(hum_cepstra, len(mel), 0), [clip.cepstra]).item())
        ceilings.append(mcd(mel_cepstra(resynthesised(clip.mel, AUDIO)), [clip.cepstra]).item())
        shares.append(recognised(cepstra, clip.cepstra, others))
        variances.append(mel.var(0).mean() / clip.mel.var(0).mean())
        if (heard := listener.errors(griffin_lim(mel, AUDIO), AUDIO.sample_rate, clip.text)) is not None:
            errors.append(heard)
    figures = {
        name: float(np.mean(v)) for name, v in (("mcd", distances), ("hum_mcd", hums), ("ceiling_mcd", ceilings))
    }
    return {
        "blur": f"{over_time:g} frames, {over_bins:g} bins, {kept:.0%}",
        "MCD": figures["mcd"],
        "likeness": likeness(figures, prefix=""),
        "recognised": float(np.mean(shares)),
        "variance": float(np.mean(variances)),
        "words wrong": sum(e.wrong for e in errors) / sum(e.words for e in errors),
    }


if __name__ == "__main__":
    main()
