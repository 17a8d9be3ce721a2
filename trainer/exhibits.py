"""What a run shows people on its way: alignments, mels and speech of the same sentences; files are told as events."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.config import TrainerConfig
from trainer.data.features import Features
from trainer.protocol import EventKind, RunDir, write_atomically
from trainer.summaries import Summaries
from trainer.synthesis import Spoken
from trainer.validation import Array, Shown, Validation

MIDDLE = "middle"  # the sentence whose pictures and sound are files, too
ITERATIONS = 30  # of Griffin-Lim; the file has the usual 60, which take twice as long


def choose_sentences(features: Features, spoken: int) -> dict[str, int]:
    """A short, a middle and a long validation clip, or fewer, by these names; always the same.

    spoken: the model will say so many of them without a teacher, and those alone are chosen from, if any.
    """
    among = features.validation[:spoken] if spoken else features.validation
    order = sorted(among, key=lambda i: (int(features.frames[i]), i))
    middle = order[len(order) // 2]
    chosen = {"short": order[0], MIDDLE: middle, "long": order[-1]}
    return {name: clip for name, clip in chosen.items() if name == MIDDLE or clip != middle}


class Exhibits:
    """Writes nothing where `logging.pictures` and `logging.samples` are off."""

    def __init__(
        self,
        config: TrainerConfig,
        features: Features,
        summaries: Summaries,
        emit: Callable[[EventKind, dict[str, Any]], None],
    ) -> None:
        self._config, self._features, self._summaries, self._emit = config, features, summaries, emit
        self._run_dir = RunDir(Path(config.paths.run))
        sentences = choose_sentences(features, config.validation.free_running_utterances)
        files_only = {MIDDLE: sentences[MIDDLE]}
        self._sentences = sentences if config.logging.tensorboard else files_only

    @property
    def wanted(self) -> Sequence[int]:
        """The clips that a validation is to show."""
        return list(self._sentences.values()) if self._config.logging.pictures else []

    def announce(self, update: int) -> None:
        """What the sentences are."""
        if self._config.logging.pictures or self._config.logging.samples:
            lines = [f"- **{name}**: {self._text(name)}" for name in self._sentences]
            self._summaries.text("sentences", "\n".join(lines), update)

    def validation(self, result: Validation, index: int, frames: int, update: int) -> None:
        """Validation number `index`, with the teacher's frames."""
        title = f"validation {index}, {frames:,} frames, alignment {result.figures['alignment']:.2f}"
        for name, clip in self._sentences.items():
            if clip in result.shown:
                shown = result.shown[clip]
                self._alignment(name, "alignment", shown, title, f"validation-{index:03d}", update)
                self._mels(name, "mel", {"predicted": shown.mel}, "mel", update)

    def free_running(self, spoken: Spoken, update: int) -> None:
        """The sentences as they were spoken without a teacher."""
        title = f"without a teacher, alignment {spoken.figures['alignment']:.2f}"
        for name, clip in self._sentences.items():
            shown = spoken.shown(spoken.batch.indices.index(clip))
            if self._config.logging.pictures:
                self._alignment(name, "free_running_alignment", shown, title, "free-running", update)
                self._mels(name, "free_running_mel", {"spoken": shown.mel}, "free-running-mel", update)
            if self._config.logging.samples:
                self._sample(name, shown.mel, update)

    def _alignment(self, name: str, group: str, shown: Shown, title: str, file: str, update: int) -> None:
        from trainer.pictures import draw_alignment

        png = draw_alignment(shown.attention, self._text(name), title)
        self._summaries.picture(f"{group}/{name}", png, update)
        self._keep(name, "alignment", png, self._run_dir.alignments / f"{file}.png")

    def _mels(self, name: str, group: str, below: Mapping[str, Array], file: str, update: int) -> None:
        """The recording, and another mel below it."""
        from trainer.pictures import draw_mels

        png = draw_mels({"recorded": self._features.mel(self._sentences[name]), **below}, self._text(name))
        self._summaries.picture(f"{group}/{name}", png, update)
        self._keep(name, "mel", png, self._run_dir.alignments / f"{file}.png")

    def _sample(self, name: str, mel: Array, update: int) -> None:
        """A log-mel turned into sound by Griffin-Lim."""
        from trainer.audio import griffin_lim, to_wav

        audio = self._config.audio
        samples = griffin_lim(mel, audio, 2 * ITERATIONS if name == MIDDLE else ITERATIONS)
        wav = to_wav(samples, audio.sample_rate)
        self._summaries.sound(f"sample/{name}", wav, update)
        self._keep(name, "sample", wav, self._run_dir.samples / "free-running.wav")

    def _keep(self, name: str, what: str, content: bytes, path: Path) -> None:
        """As a file, where it is of the middle sentence."""
        if name != MIDDLE:
            return
        with write_atomically(path) as beside:
            beside.write_bytes(content)
        relative = path.relative_to(self._run_dir.path).as_posix()
        self._emit(EventKind.ARTIFACT, {"path": relative, "what": what, "text": self._text(name)})

    def _text(self, name: str) -> str:
        return self._features.text(self._sentences[name])
