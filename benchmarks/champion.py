"""Whether the champion of a study can speak: it says sentences that are not in the corpus, through plain MLflow.

    python -m benchmarks.champion [--workspace FOLDER] [--out FOLDER] [--json FILE]

Uses the study `quickstart` of a workspace; without one it trains a voice first, which takes five to ten minutes on two
free cores. Registers the voice in the Model Registry, loads `models:/quickstart@champion`, has it speak, and compares
each length with that of espeak-ng's recording of the same sentence. Writes both sounds, and a picture of both mels, to
`--out`.
"""

import argparse
import io
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import soundfile
from mlflow.pyfunc import PyFuncModel

from benchmarks.report import table, write_results
from smart_tuner.config import load_settings
from smart_tuner.main import SmartTunerMain
from smart_tuner.spec import parse_study
from trainer.audio import log_mel, to_wav
from trainer.config import AudioConfig
from trainer.data.audio_files import decode, prepare
from trainer.data.demo.corpus import DEFAULT_SENTENCES, SEED, VOICES
from trainer.data.demo.espeak import SAMPLE_RATE, speak
from trainer.data.demo.sentences import compose
from trainer.files import write_atomically
from trainer.pictures import draw_mels

SENTENCES = 5
AUDIO = AudioConfig()
STUDY: dict[str, Any] = {
    "name": "quickstart",
    "description": "One voice, trained longer than a trial of the shipped study.",
    "corpus": "demo:en",
    "preset": "tiny",
    "fixed": {
        "batch.size": 8,
        "schedule.kind": "exponential",
        "schedule.final_factor": 0.05,
        "schedule.warmup_updates": 200,
        "guided_attention.weight": 10.0,
        "model.decoder_dropout": 0.05,
        "model.attention_dropout": 0.05,
        "corpus.validation_share": 0.1,
        "validation.free_running_utterances": 1000,
    },
    "budget": {"frames": 2_400_000, "reports": 12},
    "search": {"optimizer.lr": {"type": "float", "low": 5e-4, "high": 8e-3, "log": True}},
    "enqueue": [{"optimizer.lr": 4e-3}],
    "trials": 1,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="with a study `quickstart`; default: a temporary one")
    parser.add_argument("--out", type=Path, help="write the sounds and pictures there")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        out = options.out or Path(name)
        out.mkdir(parents=True, exist_ok=True)
        model = champion(options.workspace or Path(name) / "workspace")
        rows = [measure(model, text, out / f"{i}") for i, text in enumerate(unheard())]
    print(table(rows))
    if options.json:
        write_results(options.json, {"rows": rows}, vars(options))


def champion(workspace: Path) -> PyFuncModel:
    settings = load_settings(workspace=workspace)
    tuner = SmartTunerMain(parse_study(STUDY, "benchmark"), settings=settings)
    if (workspace / "studies.db").exists():
        tuner.sync()
    else:
        tuner.optimize()
    mlflow.set_tracking_uri(settings.mlflow_url)
    model: PyFuncModel = mlflow.pyfunc.load_model("models:/quickstart@champion")
    return model


def unheard() -> list[str]:
    """Sentences like those of the corpus that are in neither of its parts."""
    known = set(compose("en", DEFAULT_SENTENCES, SEED))
    return [text for text in compose("en", 2 * SENTENCES, SEED + 1) if text not in known][:SENTENCES]


def measure(model: Any, text: str, out: Path) -> dict[str, Any]:
    """model: a PyFuncModel, whose methods have no types."""
    (file,) = model.predict([text])
    samples, rate = soundfile.read(io.BytesIO(file), dtype="float32")
    recorded = recording(text, out.with_suffix(".recorded.wav"))
    with write_atomically(out.with_suffix(".champion.wav")) as beside:
        beside.write_bytes(file)
    mels = {"recorded": log_mel(recorded, AUDIO), "champion": log_mel(samples, AUDIO)}
    with write_atomically(out.with_suffix(".png")) as beside:
        beside.write_bytes(draw_mels(mels, text))
    (speech,) = model.get_raw_model().speak([text])
    return {
        "text": text,
        "seconds": len(samples) / rate,
        "recorded": len(recorded) / SAMPLE_RATE,
        "alignment": min(sentence.alignment for sentence in speech.sentences),
        "ended": all(sentence.ended for sentence in speech.sentences),
        "peak": float(np.abs(samples).max()),
        "RMS": rms(samples),
        "RMS recorded": rms(recorded),
    }


def recording(text: str, path: Path) -> npt.NDArray[np.float32]:
    """The recording that the corpus would have: silence at its ends is cut."""
    path.write_bytes(to_wav(speak(text, VOICES["en"]) / np.float32(2**15), SAMPLE_RATE))
    return prepare(decode(path), AUDIO)


def rms(samples: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(samples**2)))


if __name__ == "__main__":
    main()
