"""Previews of a run for people: alignments, mels and speech of the same few sentences, as files with events."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer.config import TrainerConfig
from trainer.data.features import Features
from trainer.evaluation.evaluator import Evaluation
from trainer.evaluation.speech import Speech
from trainer.files import write_atomically
from trainer.protocol import EventKind, RunDir
from trainer.summaries import Summaries
from trainer.validation import Array, Shown, Validation

MIDDLE = "middle"  # the sentence whose pictures and sound are also files


def choose_sentences(features: Features, spoken: int) -> dict[str, int]:
    """A short, a middle and a long validation clip, or fewer, by these names; always the same.

    spoken: the number of validation clips that are synthesised free-running; where above 0, only these are chosen from.
    """
    among = features.validation[:spoken] if spoken else features.validation
    order = sorted(among, key=lambda i: (int(features.frames[i]), i))
    middle = order[len(order) // 2]
    chosen = {"short": order[0], MIDDLE: middle, "long": order[-1]}
    return {name: clip for name, clip in chosen.items() if name == MIDDLE or clip != middle}


class Previews:
    """Writes nothing where `logging.pictures` and `logging.samples` are off."""

    def __init__(
        self,
        config: TrainerConfig,
        features: Features,
        summaries: Summaries,
        emit: Callable[[EventKind, dict[str, Any]], None],
        device: torch.device,
    ) -> None:
        self._config = config
        self._features = features
        self._summaries = summaries
        self._emit = emit
        self._device = device
        self._run_dir = RunDir(Path(config.paths.run))
        self._sentences = choose_sentences(features, config.validation.free_running_utterances)
        # Pictures of the other sentences are for TensorBoard alone.
        self._drawn = list(self._sentences) if config.logging.tensorboard else [MIDDLE]

    @property
    def wanted(self) -> Sequence[int]:
        """The clips whose attention and mel a validation must return."""
        return [self._sentences[name] for name in self._drawn] if self._config.logging.pictures else []

    def announce(self, update: int) -> None:
        """Log the texts of the sentences."""
        if self._config.logging.pictures or self._config.logging.samples:
            lines = [f"- **{name}**: {self._text(name)}" for name in self._sentences]
            self._summaries.text("sentences", "\n".join(lines), update)

    def validation(self, result: Validation, index: int, frames: int, update: int) -> None:
        """Pictures of validation number `index`, which is teacher-forced."""
        title = f"validation {index}, {frames:,} frames, alignment {result.figures['alignment']:.2f}"
        for name, clip in self._sentences.items():
            if clip in result.shown:
                shown = result.shown[clip]
                self._alignment(name, shown, title, f"validation-{index:03d}", update)
                self._mels(name, {"predicted": shown.mel}, "mel", update)

    def free_running(self, evaluation: Evaluation, update: int) -> None:
        """Pictures and samples of the free-running sentences."""
        speech = evaluation.speech
        title = f"without a teacher, alignment {evaluation.figures['alignment']:.2f}"
        for name in self._drawn if self._config.logging.pictures else ():
            shown = speech.shown(speech.batch.indices.index(self._sentences[name]))
            self._alignment(name, shown, title, "free-running", update, free_running=True)
            self._mels(name, {"spoken": shown.mel}, "free-running-mel", update, free_running=True)
        self.samples(speech, update, self._sentences)

    def samples(self, speech: Speech, update: int, names: Iterable[str] = (MIDDLE,)) -> None:
        """Samples of some of the sentences, under the same names in every trial, so that they can be compared."""
        if self._config.logging.samples:
            for name in names:
                self._sample(name, speech.mel(speech.batch.indices.index(self._sentences[name])), update)

    def _alignment(
        self, name: str, shown: Shown, title: str, file: str, update: int, *, free_running: bool = False
    ) -> None:
        from trainer.pictures import draw_alignment

        png = draw_alignment(shown.attention, self._text(name), title)
        self._picture(name, "alignment", png, file, update, free_running=free_running)

    def _mels(
        self, name: str, below: Mapping[str, Array], file: str, update: int, *, free_running: bool = False
    ) -> None:
        """The mel of the recording, with other mels below it."""
        from trainer.pictures import draw_mels

        png = draw_mels({"recorded": self._features.mel(self._sentences[name]), **below}, self._text(name))
        self._picture(name, "mel", png, file, update, free_running=free_running)

    def _picture(self, name: str, what: str, png: bytes, file: str, update: int, *, free_running: bool) -> None:
        """To TensorBoard, and for the middle sentence also to a file."""
        self._summaries.picture(f"{'free_running_' if free_running else ''}{what}/{name}", png, update)
        if name == MIDDLE:
            self._keep(name, what, png, self._run_dir.alignments / f"{file}.png", free_running=free_running)

    def _sample(self, name: str, mel: Array, update: int) -> None:
        """A log-mel converted to sound by Griffin-Lim."""
        from trainer.audio import griffin_lim, to_wav

        if not np.isfinite(mel).all():
            return  # not audible
        audio = self._config.audio
        wav = to_wav(griffin_lim(mel, audio, device=self._device), audio.sample_rate)
        self._summaries.sound(f"sample/{name}", wav, update)
        self._keep(name, "sample", wav, self._run_dir.samples / f"sample-{name}.wav", free_running=True)

    def _keep(self, name: str, what: str, content: bytes, path: Path, *, free_running: bool) -> None:
        with write_atomically(path) as beside:
            beside.write_bytes(content)
        relative = path.relative_to(self._run_dir.path).as_posix()
        data = {"path": relative, "what": what, "text": self._text(name), "free_running": free_running}
        self._emit(EventKind.ARTIFACT, data)

    def _text(self, name: str) -> str:
        return self._features.text(self._sentences[name])
