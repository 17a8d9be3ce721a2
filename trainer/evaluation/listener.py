"""What a listener of English hears, in word errors: pocketsphinx, whose model comes with its package.

An optional dependency (the extra `listener`), loaded at run time. The listener errs with people's voices, too, and more
with espeak's. Only the difference between speech and recordings that were resynthesised in the same way counts.
"""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from trainer.audio import Samples, resampled
from trainer.installing import extra_command

LANGUAGE = "en"
_SAMPLE_RATE = 16_000  # Hz, of the acoustic model
_WORD = re.compile(r"[a-z']+")


@dataclass(frozen=True)
class WordErrors:
    """wrong: words that were heard in place of others, not heard, or heard without being said."""

    wrong: int
    words: int  # of the text

    @property
    def share(self) -> float:
        """Above 1 where more words are wrong than the text has."""
        return self.wrong / self.words


def is_installed() -> bool:
    return all(find_spec(name) for name in ("pocketsphinx", "jiwer"))


def how_to_install() -> str:
    return extra_command("listener")


class Listener:
    """Hears one sound after the other; what it heard before makes no difference. Raises ImportError."""

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        self._decoder: Any = Decoder(samprate=_SAMPLE_RATE, loglevel="FATAL")

    def errors(self, sound: Samples, sample_rate: int, text: str) -> WordErrors | None:
        """sound: (samples,) in [-1, 1]; text: normalised. None where the text has no words."""
        import jiwer

        said = _WORD.findall(text)
        if not said:
            return None
        heard = jiwer.process_words(" ".join(said), self._hear(sound, sample_rate))
        return WordErrors(heard.substitutions + heard.deletions + heard.insertions, len(said))

    def _hear(self, sound: Samples, sample_rate: int) -> str:
        heard = resampled(sound, sample_rate, _SAMPLE_RATE)
        loud = heard / max(1.0, float(np.abs(heard).max(initial=0.0)))
        self._decoder.start_utt()
        self._decoder.process_raw((loud * 32767).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""
