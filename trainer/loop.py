"""One training run, from the first update or the last checkpoint to the end of its budget.

The loop owns the model, the optimiser and the random state, and tells everything that happens as
events. What it does not own: the learning rate and guided attention (schedules), what to do about
updates that are not finite (corrections), files (checkpoint, summaries), what is validated (validation).
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from trainer import checkpoint, voice
from trainer.config import TrainerConfig, flatten
from trainer.corrections import Action, Correction, propose
from trainer.data.batches import Batch, epoch_batches
from trainer.data.features import Features
from trainer.data.loading import make_loader
from trainer.device import choose_device, set_up
from trainer.environment import environment
from trainer.errors import ConfigError, CorpusError
from trainer.free_running import speak
from trainer.losses import Losses, training_losses
from trainer.memory import held_bytes
from trainer.meter import Meter, Outcomes
from trainer.model import Tacotron2
from trainer.previews import Previews
from trainer.protocol import Event, EventKind, EventWriter, ExitCode, RunDir
from trainer.schedules import guided_attention_weight, lr_factor
from trainer.summaries import Summaries
from trainer.text import SYMBOLS
from trainer.validation import settle_batch_norm, validate

log = logging.getLogger(__name__)

# Settings that a run may be continued with, other than those it began with.
MAY_CHANGE = ("budget.", "validation.", "logging.", "device.", "paths.", "corpus.", "warm_start")


@dataclass(frozen=True)
class Progress:
    """Where a run is. Goes into `last.pt` as it is."""

    frames: int = 0  # mel frames of speech seen
    update: int = 0
    epoch: int = 0
    position: int = 0  # batches of this epoch that were seen
    reported: int = 0  # index of the last validation
    seconds: float = 0.0  # spent training, over all starts
    bad_updates_in_a_row: int = 0
    rollbacks: int = 0
    lr_scale: float = 1.0  # below 1 after a rollback


class Training:
    """Holds one run. `stop_reason` is asked before each update: words when somebody asked to stop, else None."""

    def __init__(
        self, config: TrainerConfig, features: Features, stop_reason: Callable[[], str | None] = lambda: None
    ) -> None:
        self.config, self.features, self.stop_reason = config, features, stop_reason
        self.run_dir = RunDir(Path(config.paths.run))
        self.run_dir.create()
        self.device = choose_device(config.device)
        set_up(self.device, config.device)
        torch.manual_seed(config.seed)
        self.model = Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels).to(self.device)
        if self.device.type == "cuda":
            self.model.decoder.use_graphs()
        self.optimizer = self._make_optimizer()
        self.progress = Progress()
        self.best: dict[str, float] | None = None  # figures of the best validation
        self._loader = make_loader(features, config.model.reduction, config.audio.log_floor, self.device)
        self._outcomes = Outcomes(self.device)
        self._epoch_order = lru_cache(maxsize=2)(self._order_of)
        self.resumed = self._resume()
        if not self.resumed and (weights := voice.warm_start(config)) is not None:
            self.model.load_state_dict(weights)
            log.info("begins with the weights of %s", config.warm_start)

    def run(self) -> ExitCode:
        """Train to the end of the budget, or until asked to stop. The last event says how it ended.

        Raises OSError where the disk is full; what was saved before is whole.
        """
        tensorboard = Path(self.config.paths.tensorboard) if self.config.logging.tensorboard else None
        self.events = EventWriter(self.run_dir.events)
        try:
            with Summaries(tensorboard, self.progress.update if self.resumed else None) as self.summaries:
                self._exhibits = Previews(self.config, self.features, self.summaries, self._emit)
                self._announce()
                if not self.resumed:
                    self._exhibits.announce(self.progress.update)
                return self._train()
        finally:
            self.events.close()

    def _train(self) -> ExitCode:
        self._started, self._seconds_before = time.monotonic(), self.progress.seconds
        self._meter = Meter()
        last_saved, every = time.monotonic(), self.config.logging.checkpoint_every_seconds
        for batch in self._batches():
            if (reason := self.stop_reason()) is not None:
                return self._leave(reason)
            self._update(batch)
            rare = self._due() > self.progress.reported or time.monotonic() - last_saved > every
            if not self._judge(self._outcomes.all() if rare else self._outcomes.ready()):
                return ExitCode.DIVERGED
            # Once in a while:
            if self.progress.update % self.config.logging.progress_every_updates == 0:
                self._report_progress()
            if self._due() > self.progress.reported:
                self._validate()
                last_saved = time.monotonic()
            elif time.monotonic() - last_saved > every:
                self._save()
                last_saved = time.monotonic()
        return self._finish()

    def _batches(self) -> Iterator[Batch]:
        """Batches until the budget is spent, from wherever `progress` says; a rollback moves it back."""
        while self.progress.frames < self.config.budget.frames:
            p = self.progress
            order = self._epoch_order(p.epoch)
            if p.position >= len(order):
                self.progress = replace(p, epoch=p.epoch + 1, position=0)
                continue
            upcoming = order[p.position + 1] if p.position + 1 < len(order) else self._epoch_order(p.epoch + 1)[0]
            yield self._loader.load(order[p.position], upcoming)

    def _order_of(self, epoch: int) -> list[list[int]]:
        """The epoch's batches, as clips' numbers."""
        train = np.asarray(self.features.train)
        batches = epoch_batches(self.features.frames[train], self.config.batch.size, self.config.seed, epoch)
        return [train[list(batch)].tolist() for batch in batches]

    def _update(self, batch: Batch) -> None:
        """One optimiser step: forward, backward, clip, step. The device skips it where something is not finite.

        Nothing here waits for the device: whether it was skipped is told later, by `_outcomes`.
        """
        self.model.train()
        p, config = self.progress, self.config
        lr = config.optimizer.lr * p.lr_scale * lr_factor(config.schedule, p.update, p.frames / config.budget.frames)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        losses = self._losses(batch, guided_attention_weight(config.guided_attention, p.frames))
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.optimizer.gradient_clip)
        finite = torch.isfinite(norm) & torch.isfinite(losses.total.detach())
        self.optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]  # of torch's fused optimisers
        self.optimizer.step()
        self._outcomes.add(finite)
        self._meter.add(losses, norm, lr, batch.frames)
        self.progress = replace(
            p,
            frames=p.frames + batch.frames,
            update=p.update + 1,
            position=p.position + 1,
            seconds=self._seconds_before + time.monotonic() - self._started,
        )

    def _judge(self, finite: Sequence[bool]) -> bool:
        """Count updates that were not finite, and do what is proposed; False when it is to give up."""
        for good in finite:
            bad = 0 if good else self.progress.bad_updates_in_a_row + 1
            self.progress = replace(self.progress, bad_updates_in_a_row=bad)
            correction = propose(bad, self.progress.rollbacks, self.progress.lr_scale)
            if correction is not None and not self._apply(correction):
                return False
            if correction is not None and correction.action is Action.ROLL_BACK:
                break  # what came after belongs to the state that was left
        return True

    def _losses(self, batch: Batch, guided_weight: float) -> Losses:
        lowered = self.device.type == "cuda" and self.config.device.precision != "float32"
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=lowered or self.config.device.precision == "bf16"
        ):
            output = self.model(batch.tokens, batch.token_lengths, batch.mels, batch.mel_lengths)
        tokens = batch.token_lengths.to(self.device, non_blocking=True)
        guided, loss = self.config.guided_attention, self.config.loss
        return training_losses(output, batch.mels, batch.mel_lengths, tokens, loss, guided, guided_weight)

    def _apply(self, correction: Correction) -> bool:
        """Do what a correction proposes; False when it is to give up."""
        before = self.progress.lr_scale
        data = {"what": correction.action, "reason": correction.reason, "before": before, "after": correction.lr_scale}
        self._emit(EventKind.CORRECTION, data)
        log.warning("%s (update %d)", correction.reason, self.progress.update)
        if correction.action is Action.GIVE_UP:
            self._emit(EventKind.FAILED, {"reason": correction.reason, "exit_code": ExitCode.DIVERGED})
            return False
        if correction.action is Action.ROLL_BACK:
            rollbacks = self.progress.rollbacks + 1
            self._outcomes.forget()
            if (saved := checkpoint.newest(self.run_dir, self.device)) is not None:
                self._restore(saved)
            self.progress = replace(
                self.progress, rollbacks=rollbacks, lr_scale=correction.lr_scale, bad_updates_in_a_row=0
            )
        return True

    def _due(self) -> int:
        """Index of the last validation that should have been, 0..reports."""
        budget = self.config.budget
        return min(budget.reports, self.progress.frames * budget.reports // budget.frames)

    def _report_progress(self) -> None:
        figures = self._meter.take() | {"memory_bytes": held_bytes(self.device)}
        self._emit(EventKind.PROGRESS, figures)
        self.summaries.scalars("train", figures, self.progress.update)
        log.info("update %d  frames %d  loss %.4f", self.progress.update, self.progress.frames, figures["loss"])

    def _validate(self) -> None:
        """Validate, keep the best, save. The event comes first: saved first, a kill in between would lose it."""
        c = self.config
        arguments = (self.model, self.features, c.validation.batch_size, c.audio.log_floor, self.device)
        settle_batch_norm(*arguments)
        result = validate(*arguments, self._exhibits.wanted)
        index = self._due()
        self.progress = replace(self.progress, reported=index)
        if not math.isfinite(result.figures["loss"]):
            log.warning("validation %d: the loss is not finite", index)
        is_best = result.better_than(self.best, c.validation.alignment_floor)
        self.best = result.figures | {"index": index} if is_best else self.best
        self._emit(EventKind.VALIDATION, {"index": index, "best": is_best, **result.figures})
        self.summaries.scalars("validation", result.figures, self.progress.update)
        log.info("validation %d: %s", index, "  ".join(f"{k} {v:.3f}" for k, v in result.figures.items()))
        self._exhibits.validation(result, index, self.progress.frames, self.progress.update)
        if is_best:
            self._save_best()
        self._save()

    def _finish(self) -> ExitCode:
        """The budget is spent: let the best model speak, then say goodbye."""
        if self.config.validation.free_running_utterances and self.run_dir.best_checkpoint.exists():
            self._speak()
        self._emit(EventKind.FINISHED, {"seconds": self.progress.seconds, "best": self.best})
        return ExitCode.FINISHED

    def _speak(self) -> None:
        c = self.config
        best = checkpoint.load(self.run_dir.best_checkpoint, self.device)
        self.model.load_state_dict(best["model"])
        torch.manual_seed(c.seed)
        chosen = self.features.validation[: c.validation.free_running_utterances]
        spoken = speak(self.model, self.features, chosen, c.audio.log_floor, self.device)
        self._emit(EventKind.FREE_RUNNING, spoken.figures)
        self.summaries.scalars("free_running", spoken.figures, self.progress.update)
        self._exhibits.free_running(spoken, self.progress.update)

    def _say_one_sentence(self) -> None:
        """By the model as it is: a trial that is pruned never comes to `_speak`, and shall be heard, too."""
        c = self.config
        torch.manual_seed(c.seed)
        spoken = speak(self.model, self.features, [self._exhibits.middle], c.audio.log_floor, self.device)
        self._exhibits.samples(spoken, self.progress.update)

    def _leave(self, reason: str) -> ExitCode:
        if not self._judge(self._outcomes.all()):
            return ExitCode.DIVERGED
        self._save()
        if self.progress.reported and self.config.logging.samples:  # before the first report nothing is pruned
            try:
                self._say_one_sentence()
            except (RuntimeError, MemoryError, OSError) as error:  # all is saved, and a sample is not worth the trial
                log.warning("no sample: %s", error)
        self._emit(EventKind.STOPPED, {"reason": reason})
        log.info("stopped: %s", reason)
        return ExitCode.STOPPED

    def _save(self) -> None:
        if self.progress.bad_updates_in_a_row:
            return  # only a good state may be rolled back to
        content: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "best": self.best,
            "settings": asdict(self.config),
            "corpus": self.features.fingerprint,
            "rng": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            content["rng_cuda"] = torch.cuda.get_rng_state(self.device)
        checkpoint.save(self.run_dir.last_checkpoint, content, keep=self.run_dir.previous_checkpoint)
        self._emit(EventKind.CHECKPOINT, {"path": "checkpoints/last.pt", "best": False})

    def _save_best(self) -> None:
        # Whoever speaks with it has no corpus to tell the language from.
        language = cast(Literal["en", "ru"], self.features.language)
        config = replace(self.config, corpus=replace(self.config.corpus, language=language))
        best = voice.Voice(self.model.state_dict(), config, SYMBOLS, self.best)
        voice.save(self.run_dir.best_checkpoint, best)
        self._emit(EventKind.CHECKPOINT, {"path": "checkpoints/best.pt", "best": True})

    def _resume(self) -> bool:
        """Go on from the newest checkpoint that can be read; False where there is none: training begins anew."""
        content = checkpoint.newest(self.run_dir, self.device)
        if content is None:
            return False
        if content["corpus"] != self.features.fingerprint:
            raise CorpusError(
                f"{self.config.corpus.source}: the corpus has changed since the run in {self.run_dir.path} began, so "
                "that it cannot be continued. Put the corpus back as it was, or begin anew: a study by another name "
                "(--name), a run in another folder (`paths.run`)."
            )
        self._refuse_another_run(content.get("settings", {}))
        self._restore(content)
        return True

    def _refuse_another_run(self, began: dict[str, Any]) -> None:
        """Raises ConfigError where a setting differs that its numbers depend on."""
        before, now = flatten(began), flatten(asdict(self.config))
        for key, value in now.items():
            if not key.startswith(MAY_CHANGE) and key in before and before[key] != value:
                raise ConfigError(
                    f"`{key}` was {before[key]!r} when the run in {self.run_dir.path} began, and is {value!r} now. "
                    "Put it back, or give the run another folder (`paths.run`)."
                )

    def _restore(self, content: dict[str, Any]) -> None:
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.progress = Progress(**content["progress"])
        self.progress = replace(self.progress, reported=self._due())  # the budget may be another one
        self.best = content["best"]
        torch.set_rng_state(content["rng"].cpu())
        if "rng_cuda" in content and self.device.type == "cuda":
            torch.cuda.set_rng_state(content["rng_cuda"].cpu(), self.device)

    def _make_optimizer(self) -> torch.optim.Optimizer:
        c = self.config.optimizer
        kind = torch.optim.AdamW if c.kind == "adamw" else torch.optim.Adam
        betas = (c.beta1, c.beta2)
        return kind(self.model.parameters(), lr=c.lr, betas=betas, eps=c.eps, weight_decay=c.weight_decay, fused=True)

    def _announce(self) -> None:
        first = self.features.train[0]
        self._emit(
            EventKind.STARTED,
            {
                "config": asdict(self.config),
                "resumed": self.resumed,
                "parameters": sum(p.numel() for p in self.model.parameters()),
                **environment(self.device),
                "train_utterances": len(self.features.train),
                "validation_utterances": len(self.features.validation),
            },
        )
        log.info("%s in %s", "continued" if self.resumed else "begun", self.run_dir.path)
        log.info("first text as the model sees it: %s", self.features.text(first))

    def _emit(self, kind: EventKind, data: dict[str, Any]) -> None:
        self.events.write(Event(kind, self.progress.frames, self.progress.update, data))
