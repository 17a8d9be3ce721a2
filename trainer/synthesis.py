"""Text to speech with a trained voice: text in, samples out, by a vocoder.

A text is spoken sentence by sentence: attention that was trained on sentences fails on a long text. A
sentence that fails is spoken again, with other dropout of the prenet, which stays on. It is drawn from fixed seeds, so
that the same text always gives the same sound. Does not cover measuring a voice against recordings: see
`trainer.evaluation`.
"""

import re
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from trainer.alignment import alignment_score, attention_figures
from trainer.audio import Samples
from trainer.model import Tacotron2
from trainer.text import UnreadableText, accented_words, front_end
from trainer.vocoder.vocoders import Vocoder
from trainer.voice_format import Voice

SEED = 0  # of the first attempt at a sentence; the next ones follow
ATTEMPTS = 3
LEAST_ALIGNMENT = 0.5  # below it attention is stuck, or does not follow the text
PAUSE = 0.25  # seconds of silence between two sentences
SLOWEST = 0.25  # seconds per symbol, over three times what people need; a longer sentence is cut off
SLOWEST_MARGIN = 1.0  # seconds

LONGEST = 250  # characters of a sentence; LJSpeech's longest has 187, and attention fails far beyond its training
_CLAUSE_END = re.compile(r"(?<=[,;:]) +")
_SENTENCE_END = re.compile(r"(?<=[.!?])([\"')]*) +")


@dataclass(frozen=True, eq=False)
class Sentence:
    text: str  # normalised, as the model reads it
    mel: Samples  # (frames, n_mels) natural logarithm
    attention: Samples  # (steps, symbols)
    alignment: float  # free-running, 0 to 1; NaN for fewer than `trainer.alignment.MIN_TOKENS` symbols
    skipped: float  # share of symbols that attention jumps over
    repeats: int  # times that attention moves back
    ended: bool  # its gate fired; False: it was cut off at the limit
    attempts: int = 1  # at speaking it, of which this is the best

    @property
    def endless(self) -> bool:
        return not self.ended

    @property
    def failed(self) -> bool:
        """Whether another attempt may be better."""
        return self.endless or self.skipped > 0 or self.alignment < LEAST_ALIGNMENT

    @property
    def _badness(self) -> tuple[bool, float, float]:
        return self.endless, self.skipped, -self.alignment


@dataclass(frozen=True, eq=False)
class Speech:
    samples: Samples  # (samples,) in [-1, 1]
    sample_rate: int  # Hz
    sentences: tuple[Sentence, ...]


class Synthesizer:
    """Speaks. Any number of threads may call it; they speak one after the other."""

    def __init__(self, voice: Voice, vocoder: Vocoder, device: torch.device | str = "cpu") -> None:
        """device: of the model; the same text sounds the same on the same kind of device."""
        self.audio = voice.config.audio
        self.vocoder = vocoder
        self.text = voice.config.text
        self._front_end = front_end(voice.config.text)
        self._ids = {symbol: row for row, symbol in enumerate(voice.symbols)}
        self._trained = frozenset(voice.trained_symbols)
        self._model = Tacotron2(voice.config.model, len(voice.symbols), self.audio.n_mels)
        self._model.load_state_dict(voice.weights)
        self._device = torch.device(device)
        self._model.to(self._device).eval()
        self._lock = threading.Lock()  # the random state is global to the process

    def say(self, text: str) -> Speech:
        """Raises ValueError where the text holds a character that has no symbol, or nothing to say."""
        sentences, sounds = zip(*self.stream(text), strict=True)
        return Speech(np.concatenate(sounds), self.audio.sample_rate, sentences)

    def stream(self, text: str) -> Iterator[tuple[Sentence, Samples]]:
        """Each sentence with its sound, (samples,), as soon as it is spoken; all but the first begin with a pause.

        Raises as `say`, before anything is spoken.
        """
        return self._stream(self.sentences(text))

    def _stream(self, sentences: list[str]) -> Iterator[tuple[Sentence, Samples]]:
        pause = np.zeros(round(PAUSE * self.audio.sample_rate), np.float32)
        for number, text in enumerate(sentences):
            sentence = self.speak(text)
            sound = self.vocoder.sound(sentence.mel)
            yield sentence, np.concatenate([pause, sound]) if number else sound

    def sentences(self, text: str) -> list[str]:
        """The sentences of `text`, normalised; one beyond `LONGEST` is cut. Raises as `say`."""
        try:
            normalised = self._front_end.read(text).text
        except UnreadableText as error:
            raise ValueError(f"{error}; write it in words, or leave it out.") from error
        if unknown := sorted(set(normalised) - set(self._ids)):
            raise ValueError(f"{unknown[0]!r} was no symbol when this voice was trained; leave it out.")
        sentences = _SENTENCE_END.sub(r"\1\n", normalised).split("\n")
        parts = [part for sentence in sentences for part in _short_enough(sentence) if _has_letters(part)]
        if not parts:
            raise ValueError("there is nothing to say: the text has neither letters nor numbers.")
        return parts

    def accented(self, text: str) -> list[str]:
        """The words of `text` that are read without their accents, each once. text: as for `sentences`."""
        reading = self._front_end.read(text)
        return list(dict.fromkeys(word for word, _ in accented_words(text, reading.expansions)))

    def untrained(self, text: str) -> list[str]:
        """The letters of `text`, as they are read, that no text of the voice's corpora had, each once: their sounds are
        those of untrained weights. text: as for `sentences`."""
        read = dict.fromkeys(self._front_end.read(text).text)
        return [symbol for symbol in read if symbol.isalpha() and symbol not in self._trained]

    def speak(self, sentence: str) -> Sentence:
        """Say one sentence, as `sentences` returns it; the best of up to `ATTEMPTS` where one fails."""
        spoken: list[Sentence] = []
        while len(spoken) < ATTEMPTS and all(attempt.failed for attempt in spoken):
            spoken.append(self._attempt(sentence, SEED + len(spoken)))
        return replace(min(spoken, key=lambda attempt: attempt._badness), attempts=len(spoken))

    def _attempt(self, sentence: str, seed: int) -> Sentence:
        tokens = torch.tensor([[self._ids[symbol] for symbol in sentence]])
        length = torch.tensor([tokens.shape[1]])
        frames = (length * SLOWEST + SLOWEST_MARGIN) * self.audio.sample_rate / self.audio.hop_length
        limit = frames.long()
        device = self._device
        with self._lock, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            output = self._model.infer(tokens.to(device), length, limit)
        spoken = int(output.steps[0]) * self._model.reduction
        score = alignment_score(output.attention, length.to(device), output.steps).alignment.item()
        mel = output.mel[0, :spoken].cpu().numpy()
        attention = output.attention[0, : int(output.steps[0])].cpu().numpy()
        ended = spoken < int(limit[0])
        return Sentence(sentence, mel, attention, score, **attention_figures(attention), ended=ended)


def _short_enough(sentence: str) -> list[str]:
    """`sentence` alone, or cut after clauses, and else between words, into parts of at most `LONGEST` characters.

    A single word may be longer.
    """
    if len(sentence) <= LONGEST:
        return [sentence]
    clauses = _CLAUSE_END.split(sentence)
    if len(clauses) == 1:
        return textwrap.wrap(sentence, LONGEST, break_long_words=False, break_on_hyphens=False)
    parts = [""]
    for clause in clauses:
        joined = f"{parts[-1]} {clause}".strip()
        if len(joined) <= LONGEST:
            parts[-1] = joined
        else:
            parts += _short_enough(clause)
    return parts


def _has_letters(text: str) -> bool:
    return any(character.isalpha() for character in text)
