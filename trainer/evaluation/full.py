"""The full evaluation of a voice: every validation sentence of a corpus, or texts that have no recordings.

Yields sentence after sentence with all its figures, and with what can be seen and heard of it. `results` writes them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainer.alignment import alignment_score
from trainer.audio import griffin_lim
from trainer.config import AudioConfig
from trainer.data.batches import validation_batches
from trainer.data.features import Features
from trainer.data.progress import OnProgress
from trainer.errors import VoiceError
from trainer.evaluation.distance import Array
from trainer.evaluation.listener import Listener, WordErrors
from trainer.evaluation.sentences import Recordings, Sentence, Spoken, measure
from trainer.evaluation.speech import speak
from trainer.evaluation.texts import Line
from trainer.model import Tacotron2
from trainer.synthesis import Synthesizer
from trainer.validation import Shown
from trainer.voice_format import symbols_difference

BATCH = 8  # sentences that are spoken together
RESYNTHESISED = 32  # recordings of which the ceiling is the mean
LISTENED = 30  # sentences that a listener hears, which may take as long as they last
_SPEAKING = "sentences spoken and measured"


@dataclass(frozen=True)
class Judged:
    """The figures of one sentence. NaN and None: not measured."""

    id: str  # the clip's name, or the line of the text
    sentence: Spoken
    other_mcd: float = math.nan  # dB, of the recording to those of other sentences, mean
    ceiling_mcd: float = math.nan  # dB, of the recording to itself after Griffin-Lim
    words: WordErrors | None = None
    words_recorded: WordErrors | None = None  # of the recording after Griffin-Lim


@dataclass(frozen=True, eq=False)
class Perceived:
    """What can be seen and heard of one sentence."""

    spoken: Shown
    recorded: Array | None  # (frames, M) log-mel


@dataclass(frozen=True, eq=False)
class Corpus:
    """What the validation sentences of `features` are spoken and measured with."""

    model: Tacotron2
    features: Features
    audio: AudioConfig
    device: torch.device
    listener: Listener | None

    def judge(self, progress: OnProgress) -> Iterator[tuple[Judged, Perceived]]:
        """The validation sentences, from short to long."""
        total = len(self.features.validation)
        recordings = Recordings(self.features)
        resynthesised = _spread(self.features.validation, RESYNTHESISED)
        listened = _spread(self.features.validation, LISTENED) if self.listener else set()
        progress(0, total, _SPEAKING)
        done = 0
        for clips in validation_batches(self.features, BATCH):
            speech = speak(self.model, self.features, clips, self.audio.log_floor, self.device)
            for row, sentence in enumerate(measure(speech, self.features, recordings)):
                clip = sentence.clip
                mel = self.features.mel(clip).astype(np.float32)
                shown = speech.shown(row)
                judged = Judged(
                    id=self.features.id(clip),
                    sentence=sentence,
                    other_mcd=recordings.other_mcd(clip),
                    ceiling_mcd=recordings.ceiling([clip], self.audio) if clip in resynthesised else math.nan,
                    words=self._words(shown.mel, sentence) if clip in listened else None,
                    words_recorded=self._words(mel, sentence) if clip in listened else None,
                )
                yield judged, Perceived(shown, mel)
                done += 1
                progress(done, total, _SPEAKING)

    def _words(self, mel: Array, sentence: Sentence) -> WordErrors | None:
        return word_errors(self.listener, mel, sentence.text, self.audio)


def judge_texts(
    lines: Sequence[Line], synthesizer: Synthesizer, listener: Listener | None, progress: OnProgress
) -> Iterator[tuple[Judged, Perceived]]:
    """The sentences of all lines, in their order."""
    total = sum(len(line.sentences) for line in lines)
    listened = _spread(range(total), LISTENED) if listener else set()
    done = 0
    for line in lines:
        for text in line.sentences:
            progress(done, total, _SPEAKING)
            spoken = synthesizer.speak(text)
            steps, tokens = (torch.tensor([size]) for size in spoken.attention.shape)
            score: dict[str, Any] = alignment_score(torch.from_numpy(spoken.attention)[None], tokens, steps).rows()[0]
            sentence = Spoken(
                text=text,
                frames=len(spoken.mel),
                endless=spoken.endless,
                **score,
                skipped=spoken.skipped,
                repeats=spoken.repeats,
            )
            words = word_errors(listener, spoken.mel, text, synthesizer.audio) if done in listened else None
            shown = Shown(spoken.attention, spoken.mel)
            yield Judged(f"line {line.number}", sentence, words=words), Perceived(shown, None)
            done += 1
    progress(total, total, _SPEAKING)


def word_errors(listener: Listener | None, mel: Array, text: str, audio: AudioConfig) -> WordErrors | None:
    if listener is None or not np.isfinite(mel).all():
        return None
    return listener.errors(griffin_lim(mel, audio), audio.sample_rate, text)


def refuse_unknown_symbols(features: Features, symbols: Sequence[str], where: str) -> None:
    """Raises VoiceError where the corpus has a symbol that the voice was trained without, or has another table."""
    known = min(len(symbols), len(features.symbols))
    if difference := symbols_difference(symbols[:known], features.symbols[:known]):
        raise VoiceError(f"{where}: {difference} by the features of the corpus; name a corpus with --corpus.")
    for clip in features.validation:
        if int(features.tokens(clip).max()) >= len(symbols):
            raise VoiceError(
                f"{where}: was trained without a symbol of the text {features.text(clip)[:60]!r} "
                f"({features.id(clip)}); name another corpus with --corpus."
            )


def _spread(clips: Sequence[int], count: int) -> set[int]:
    """As many of them, evenly spread."""
    return {clips[round(at)] for at in np.linspace(0, len(clips) - 1, min(count, len(clips)))}
