"""A voice as an MLflow model: `loader_module: trainer.pyfunc`.

    model = mlflow.pyfunc.load_model("models:/quickstart@champion")
    Path("hello.wav").write_bytes(model.predict(["Hello."])[0])
    model.predict(["Hello."], params={"vocoder": "griffin-lim"})

Follows MLflow's convention (a function `_load_pyfunc`, an object with `predict`), and does not import MLflow.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainer import voice_format
from trainer.audio import to_wav
from trainer.synthesis import Speech, Synthesizer
from trainer.vocoder.names import AUTO, GRIFFIN_LIM, HIFIGAN
from trainer.vocoder.vocoders import open_vocoder
from trainer.voice_format import Voice

NAMES = (AUTO, HIFIGAN, GRIFFIN_LIM)

_log = logging.getLogger(__name__)


class VoiceModel:
    """Speaks by HiFi-GAN where it is installed and fits, else by Griffin-Lim, or by the vocoder that a call names."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._synthesizer = Synthesizer(voice, open_vocoder(AUTO, voice.config.audio))

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[bytes]:
        """Say each text: complete WAV files, 16 bit, mono, in the order of the texts.

        model_input: texts, as a list, an array, a pandas Series, or a DataFrame of one column; or one text.
        params: `vocoder`, one of `NAMES`; no file, since params may come from another machine. Raises ValueError,
        before anything is spoken, which names the first text that cannot be spoken, or why the vocoder cannot be used.
        """
        vocoder = (params or {}).get("vocoder", AUTO)
        if vocoder not in NAMES:
            raise ValueError(f"`vocoder` must be one of {', '.join(NAMES)}, but got {vocoder!r}.")
        return [to_wav(speech.samples, speech.sample_rate) for speech in self.speak(model_input, vocoder)]

    def speak(self, model_input: Any, vocoder: str = AUTO) -> list[Speech]:
        """As `predict`, with mels, alignments, and whether each sentence ended by its gate.

        vocoder: as for `trainer.vocoder.vocoders.open_vocoder`.
        """
        synthesizer = self._synthesizer
        if vocoder != AUTO:
            synthesizer = Synthesizer(self._voice, open_vocoder(vocoder, self._voice.config.audio))
        texts = _texts(model_input)
        for index, text in enumerate(texts):
            try:
                synthesizer.sentences(text)
                if words := synthesizer.accented(text):
                    _log.warning("text %d: read without accents: %s", index, ", ".join(words))
            except ValueError as error:
                raise ValueError(f"text {index} ({text[:60]!r}): {error}") from error
        return [synthesizer.say(text) for text in texts]

    def get_raw_model(self) -> "VoiceModel":
        """For MLflow's `PyFuncModel.get_raw_model`."""
        return self


def _load_pyfunc(path: str) -> VoiceModel:
    """path: a best.pt, or an exported safetensors file. Raises VoiceError where it holds no voice."""
    return VoiceModel(voice_format.load(Path(path)))


def _texts(model_input: Any) -> list[str]:
    values = np.asarray(model_input, dtype=object)
    if values.ndim > 2 or (values.ndim == 2 and values.shape[1] != 1):
        raise ValueError(f"texts must be one list or one column, but got an array of shape {values.shape}.")
    texts = values.ravel().tolist()
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"text {index} must be a string, but got {text!r} ({type(text).__name__}).")
    return texts
