"""Ten sentences that are in no list, said by a voice of the embedded English corpus, beside espeak-ng's own recordings.

    python -m benchmarks.ten_sentences VOICE.pt [--sounds FOLDER] [--picture FILE] [--json FILE]

Each sentence is spoken once, as an evaluation does. Its rank is that of its own recording among all recordings of the
corpus and the ten, by MCD; 1: it is nearest to its own. --sounds: the ten by Griffin-Lim and by HiFi-GAN, and the
recordings through the same. --picture: the mel of three of them beside the recordings'.
"""

import argparse
import wave
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import ROOT, table, write_results
from trainer import voice_format
from trainer.config import TrainerConfig
from trainer.data.demo.corpus import VOICES, demo_corpus
from trainer.data.demo.espeak import SAMPLE_RATE
from trainer.data.demo.espeak import speak as espeak
from trainer.data.features import Features, open_features
from trainer.dotted import merge
from trainer.evaluation.distance import mcd, mel_cepstra
from trainer.evaluation.sentences import Recordings, Sentence, measure
from trainer.evaluation.speech import Speech, speak
from trainer.evaluation.verdict import heard
from trainer.model import Tacotron2
from trainer.pictures import draw_mels
from trainer.vocoder.vocoders import open_vocoder

SENTENCES = (
    "My brother wrote a short letter to the captain.",
    "Seven white horses stood behind the garden wall.",
    "Please close the window before the storm begins.",
    "Who painted the wooden door of the old library?",
    "The baker sold warm bread to the hungry children.",
    "After dinner, we played cards near the open fire.",
    "A little boat drifted slowly across the quiet lake.",
    "The doctor asked for water and a clean towel.",
    "Nobody knew where the yellow bicycle had gone.",
    "In the evening the church bells rang over the hills!",
)
SHOWN = 3  # sentences of the picture


@dataclass(frozen=True)
class Spoken:
    """What a voice made of the ten sentences. clips: their numbers in `features`; rows: of figures, in their order."""

    voice: voice_format.Voice
    features: Features
    clips: list[int]
    speech: Speech
    rows: list[dict[str, Any]]


def main() -> None:
    options = parsed()
    spoken = spoken_by(options.voice, options.work)
    rows, config, figures = spoken.rows, spoken.voice.config, spoken.voice.figures
    print(table([{**row, "text": row["text"][:40]} for row in rows]))
    means = {key: float(np.mean([row[key] for row in rows])) for key, value in rows[0].items() if key != "text"}
    print(table([{key: round(value, 2) for key, value in means.items()}]))
    if options.sounds:
        write_sounds(options.sounds, spoken.speech, spoken.features, spoken.clips, config)
    if options.picture:
        options.picture.write_bytes(picture(spoken.speech, spoken.features, spoken.clips))
    if options.json:
        content = {"sentences": rows, "means": means, "verdict": heard(figures or {}), "voice": figures}
        write_results(options.json, content, {"corpus": config.corpus.source, "frames": None})


def spoken_by(path: Path, work: Path) -> Spoken:
    """Have the voice in file `path` say the sentences. work: folder of its corpus."""
    voice = voice_format.load(path)
    features = recorded(work, voice.config)
    device = torch.device("cpu")
    model = Tacotron2(voice.config.model, len(voice.symbols), voice.config.audio.n_mels)
    model.load_state_dict(voice.weights)
    clips = sorted(features.validation, key=features.id)
    speech = speak(model, features, clips, voice.config.audio.log_floor, device)
    recordings = Recordings(features)
    rows = [
        row_of(sentence, speech.mel(row), features, recordings, recordings.ceiling([sentence.clip], voice.config.audio))
        for row, sentence in enumerate(measure(speech, features, recordings))
    ]
    return Spoken(voice, features, clips, speech, rows)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voice", type=Path, metavar="VOICE.pt")
    parser.add_argument("--work", type=Path, default=ROOT / "workspace" / "ten-sentences", help="folder of the corpus")
    parser.add_argument("--sounds", type=Path, help="folder for sounds")
    parser.add_argument("--picture", type=Path, help="PNG file")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args()


def recorded(work: Path, config: TrainerConfig) -> Features:
    """The features of the voice's corpus, with the ten recordings as its validation clips."""
    spoken = demo_corpus(config.corpus.source, work / "cache")
    lines = (spoken / "metadata.csv").read_text(encoding="utf-8").splitlines()
    known = {line.split("|")[-1].lower() for line in lines}
    assert not known & {text.lower() for text in SENTENCES}, "a sentence is in the corpus"
    folder = work / "ten"
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(SENTENCES):
        with wave.open(str(folder / f"ten-{number:02d}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(espeak(text, VOICES["en"]).tobytes())
    trained = [line.split("|") for line in lines]
    write_list(work / "train.csv", [(spoken / "wavs" / f"{name}.wav", texts[-1]) for name, *texts in trained])
    write_list(work / "ten.csv", [(folder / f"ten-{number:02d}.wav", text) for number, text in enumerate(SENTENCES)])
    corpus = {"source": str(work / "train.csv"), "validation_source": str(work / "ten.csv"), "follow_links": True}
    raw = merge(
        asdict(config), {"corpus": {**corpus, "validation_share": 0.05}, "paths": {"cache": str(work / "cache")}}
    )
    return open_features(TrainerConfig.from_mapping(raw))


def write_list(path: Path, rows: list[tuple[Path, str]]) -> None:
    path.write_text("".join(f"{file.resolve()}|{text}\n" for file, text in rows), encoding="utf-8")


def row_of(
    sentence: Sentence, mel: np.ndarray[Any, Any], features: Features, recordings: Recordings, ceiling: float
) -> dict[str, Any]:
    spoken = mel_cepstra(mel)
    others = [clip for clip in range(len(features)) if clip != sentence.clip]
    distances = mcd(spoken, [recordings.cepstra(clip) for clip in others])
    return {
        "text": sentence.text,
        "ends": not sentence.endless,
        "skipped": sentence.skipped,
        "repeats": sentence.repeats,
        "alignment": round(sentence.alignment, 3),
        "MCD": round(sentence.mcd, 2),
        "ceiling": round(ceiling, 2),
        "hum": round(sentence.hum_mcd, 2),
        "rank": 1 + int((distances < sentence.mcd).sum()),
        "recognised": round(sentence.recognised, 2),
        "variance": round(sentence.variance, 2),
    }


def write_sounds(folder: Path, speech: Speech, features: Features, clips: list[int], config: TrainerConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rate = config.audio.sample_rate
    for name in ("griffin-lim", "hifigan"):
        vocoder = open_vocoder(name, config.audio)
        for row, clip in enumerate(clips):
            recording = features.mel(clip).astype(np.float32)
            write_wav(folder / f"{row + 1:02d}-spoken-{name}.wav", vocoder.sound(speech.mel(row)), rate)
            write_wav(folder / f"{row + 1:02d}-recorded-{name}.wav", vocoder.sound(recording), rate)


def write_wav(path: Path, samples: np.ndarray[Any, Any], rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes())


def picture(speech: Speech, features: Features, clips: list[int]) -> bytes:
    mels = {}
    for row in range(SHOWN):
        mels[f"recorded {row + 1}"] = features.mel(clips[row]).astype(np.float32)
        mels[f"spoken {row + 1}"] = speech.mel(row)
    return draw_mels(mels, " / ".join(features.text(clip) for clip in clips[:SHOWN]))


if __name__ == "__main__":
    main()
