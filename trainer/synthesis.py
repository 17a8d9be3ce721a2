"""Text to speech with a trained voice: text in, samples out, by a vocoder.

A text is spoken sentence by sentence: attention that was trained on sentences fails on a long text. The same text
always gives the same sound: the dropout of the prenet, which stays on, is drawn from a fixed seed. Does not cover
measuring a voice against recordings: see `trainer.evaluation`.
"""

import re
import threading
from dataclasses import dataclass

import numpy as np
import torch

from trainer.alignment import alignment_score
from trainer.audio import Samples
from trainer.model import Tacotron2
from trainer.text import UnreadableText, front_end
from trainer.vocoder.vocoders import Vocoder
from trainer.voice_format import Voice

SEED = 0
PAUSE = 0.25  # seconds of silence between two sentences
SLOWEST = 0.25  # seconds per symbol, over three times what people need; a longer sentence is cut off
SLOWEST_MARGIN = 1.0  # seconds

_SENTENCE_END = re.compile(r"(?<=[.!?])([\"')]*) +")


@dataclass(frozen=True, eq=False)
class Sentence:
    text: str  # normalised, as the model reads it
    mel: Samples  # (frames, n_mels) natural logarithm
    attention: Samples  # (steps, symbols)
    alignment: float  # free-running, 0 to 1; NaN for fewer than `trainer.alignment.MIN_TOKENS` symbols
    ended: bool  # its gate fired; False: it was cut off at the limit


@dataclass(frozen=True, eq=False)
class Speech:
    samples: Samples  # (samples,) in [-1, 1]
    sample_rate: int  # Hz
    sentences: tuple[Sentence, ...]


class Synthesizer:
    """Speaks on the CPU. Any number of threads may call it; they speak one after the other."""

    def __init__(self, voice: Voice, vocoder: Vocoder) -> None:
        self.audio = voice.config.audio
        self.vocoder = vocoder
        self.text = voice.config.text
        self._front_end = front_end(voice.config.text)
        self._ids = {symbol: row for row, symbol in enumerate(voice.symbols)}
        self._model = Tacotron2(voice.config.model, len(voice.symbols), self.audio.n_mels)
        self._model.load_state_dict(voice.weights)
        self._model.eval()
        self._lock = threading.Lock()  # the random state is global to the process

    def say(self, text: str) -> Speech:
        """Raises ValueError where the text holds a character that has no symbol, or nothing to say."""
        sentences = [self.speak(part) for part in self.sentences(text)]
        pause = np.zeros(round(PAUSE * self.audio.sample_rate), np.float32)
        sounds = [self.vocoder.sound(sentence.mel) for sentence in sentences]
        joined = [part for sound in sounds for part in (sound, pause)][:-1]
        return Speech(np.concatenate(joined), self.audio.sample_rate, tuple(sentences))

    def sentences(self, text: str) -> list[str]:
        """The sentences of `text`, normalised. Raises as `say`."""
        try:
            normalised = self._front_end.read(text).text
        except UnreadableText as error:
            raise ValueError(f"{error}; write it in words, or leave it out.") from error
        if unknown := sorted(set(normalised) - set(self._ids)):
            raise ValueError(f"{unknown[0]!r} was no symbol when this voice was trained; leave it out.")
        parts = [part for part in _SENTENCE_END.sub(r"\1\n", normalised).split("\n") if _has_letters(part)]
        if not parts:
            raise ValueError("there is nothing to say: the text has neither letters nor numbers.")
        return parts

    def speak(self, sentence: str) -> Sentence:
        """Say one sentence, as `sentences` returns it."""
        tokens = torch.tensor([[self._ids[symbol] for symbol in sentence]])
        length = torch.tensor([tokens.shape[1]])
        frames = (length * SLOWEST + SLOWEST_MARGIN) * self.audio.sample_rate / self.audio.hop_length
        limit = frames.long()
        with self._lock, torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            output = self._model.infer(tokens, length, limit)
        spoken = int(output.steps[0]) * self._model.reduction
        score = alignment_score(output.attention, length, output.steps).alignment.item()
        mel, attention = output.mel[0, :spoken].numpy(), output.attention[0, : int(output.steps[0])].numpy()
        return Sentence(sentence, mel, attention, score, ended=spoken < int(limit[0]))


def _has_letters(text: str) -> bool:
    return any(character.isalpha() for character in text)
