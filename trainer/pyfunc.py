"""A voice as a model of MLflow's: `loader_module: trainer.pyfunc`.

    model = mlflow.pyfunc.load_model("models:/quickstart@champion")
    Path("hello.wav").write_bytes(model.predict(["Hello."])[0])

Knows MLflow's convention (a function `_load_pyfunc`, an object with `predict`), and nothing else of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainer import voice
from trainer.audio import to_wav
from trainer.synthesis import Speech, Synthesizer


class VoiceModel:
    def __init__(self, speaker: Synthesizer) -> None:
        self._speaker = speaker

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[bytes]:
        """Say each text: whole WAV files, 16 bit, mono, in the order of the texts.

        model_input: texts, as a list, an array, a pandas Series, or a DataFrame of one column; or one text.
        params: none are known. Raises ValueError, before anything is spoken, that names the first text which cannot be.
        """
        return [to_wav(speech.samples, speech.sample_rate) for speech in self.speak(model_input)]

    def speak(self, model_input: Any) -> list[Speech]:
        """As `predict`, with mels, alignments and whether each sentence came to its end."""
        texts = _texts(model_input)
        for index, text in enumerate(texts):
            try:
                self._speaker.sentences(text)
            except ValueError as error:
                raise ValueError(f"text {index} ({text[:60]!r}): {error}") from error
        return [self._speaker.say(text) for text in texts]

    def get_raw_model(self) -> "VoiceModel":
        """What MLflow's `PyFuncModel.get_raw_model` asks for."""
        return self


def _load_pyfunc(path: str) -> VoiceModel:
    """path: of a best.pt. Raises VoiceError where it holds no voice."""
    return VoiceModel(Synthesizer(voice.load(Path(path))))


def _texts(model_input: Any) -> list[str]:
    values = np.asarray(model_input, dtype=object)
    if values.ndim > 2 or (values.ndim == 2 and values.shape[1] != 1):
        raise ValueError(f"texts must be one list or one column, but got an array of shape {values.shape}.")
    texts = values.ravel().tolist()
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"text {index} must be a string, but got {text!r} ({type(text).__name__}).")
    return texts
