"""The training loop of one run, from wherever its state is to the end of its budget.

All that happens is written as events. The loop does not own the state and its checkpoints (checkpoint), the learning
rate and guided attention (schedules), what is done where training goes wrong (corrector), curves and pictures
(summaries, previews), and the measurements (reports, validation, evaluation).
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from trainer import checkpoint_files
from trainer.checkpoint import TrainingState
from trainer.config import TrainerConfig
from trainer.corrector import Corrector
from trainer.data.batches import Batch, epoch_batches
from trainer.data.features import Features
from trainer.data.loading import make_loader
from trainer.environment import environment
from trainer.evaluation.evaluator import Evaluation, Evaluator
from trainer.memory import held_bytes
from trainer.previews import Previews
from trainer.protocol import Event, EventKind, EventWriter, ExitCode
from trainer.reports import Reports
from trainer.resuming import open_state
from trainer.schedules import lr_factor
from trainer.summaries import Summaries
from trainer.training_figures import MeanFigures
from trainer.updates import Updates

log = logging.getLogger(__name__)

StopReason = Callable[[], str | None]  # called before each update: why to stop, None to go on


def train(config: TrainerConfig, features: Features, stop_reason: StopReason = lambda: None) -> ExitCode:
    """Start or resume the run of `config`, and train it. Raises as `open_state` and `train_on`."""
    return train_on(open_state(config, features), stop_reason)


def train_on(state: TrainingState, stop_reason: StopReason = lambda: None) -> ExitCode:
    """Train to the end of the budget, or until `stop_reason` returns one. The last event says how it ended.

    Raises OSError where the disk is full; what was saved before is whole.
    """
    folder = Path(state.config.paths.tensorboard) if state.config.logging.tensorboard else None
    events = EventWriter(state.run_dir.events)
    try:
        with Summaries(folder, state.progress.update if state.resumed else None) as summaries:
            return Training(state, events, summaries, stop_reason).run()
    finally:
        events.close()


class Training:
    """The loop over updates. Changes the state; writes `events` and `summaries`."""

    def __init__(
        self,
        state: TrainingState,
        events: EventWriter,
        summaries: Summaries,
        stop_reason: StopReason,
    ) -> None:
        self._state = state
        self._config = state.config
        self._features = state.features
        self._events = events
        self._summaries = summaries
        self._stop_reason = stop_reason
        self._previews = Previews(state.config, state.features, summaries, self._emit, state.device)
        config = state.config
        self._loader = make_loader(
            state.features, config.model.reduction, config.audio.log_floor, state.device, config.loss.gate_tail
        )
        validation = config.validation
        clips = state.features.validation[: validation.free_running_utterances]
        evaluator = Evaluator(state.features, clips, config.audio, state.device, validation.free_running_share)
        self._evaluator = evaluator if clips else None
        self._reports = Reports(state, self._evaluator, self._previews, summaries, self._emit)
        self._corrector = Corrector(state, summaries, self._emit)
        self._updates = Updates(state.model, state.optimizer, config, state.norms, score_clips=state.clips is not None)
        self._figures = MeanFigures()
        self._epoch_order = lru_cache(maxsize=2)(self._order_of)
        self._started = time.monotonic()
        self._saved = self._started  # time of the last checkpoint, on the monotonic clock
        self._seconds_before = state.progress.seconds

    def run(self) -> ExitCode:
        state = self._state
        starts_from = not state.resumed and (self._config.warm_start or self._config.continue_from)
        start = self._reports.measure_start() if starts_from else None
        self._announce()
        if start is not None:
            self._reports.take_start(start)
        self._corrector.begin()
        for batch in self._batches():
            if (reason := self._stop_reason()) is not None:
                return self._leave(reason)
            self._update(batch)
            rare = state.due() > state.progress.reported or self._is_save_due()
            checks = self._corrector.checks
            if not self._corrector.updated(checks.all() if rare else checks.ready()):
                return ExitCode.DIVERGED
            # Once in a while:
            if state.progress.update % self._config.logging.progress_every_updates == 0:
                self._report_progress()
            if state.due() > state.progress.reported:
                self._corrector.reported(self._reports.report())
                self._save(at_report=True)
            elif self._is_save_due():
                self._save()
            self._reports.keep_by_the_hour()
        return self._finish()

    def _is_save_due(self) -> bool:
        return time.monotonic() - self._saved > self._config.logging.checkpoint_every_seconds

    def _batches(self) -> Iterator[Batch]:
        """Batches from where `progress` is until the budget is spent or no better report is to be expected.

        A rollback moves `progress` back.
        """
        state = self._state
        while state.progress.frames < self._config.budget.frames and self._reports.why_end() is None:
            p = state.progress
            order = self._epoch_order(p.epoch)
            if p.position >= len(order):
                state.progress = replace(p, epoch=p.epoch + 1, position=0)
                self._corrector.end_epoch()
                continue
            upcoming = order[p.position + 1] if p.position + 1 < len(order) else self._epoch_order(p.epoch + 1)[0]
            yield self._loader.load(order[p.position], upcoming)

    def _order_of(self, epoch: int) -> list[list[int]]:
        """The epoch's batches, as lists of clip numbers."""
        train = np.asarray(self._features.train)
        batches = epoch_batches(self._features.frames[train], self._config.batch.size, self._config.seed, epoch)
        return [train[list(batch)].tolist() for batch in batches]

    def _update(self, batch: Batch) -> None:
        """One optimiser step. The device skips it where something is not finite.

        Nothing here waits for the device: the corrector knows later whether the step was skipped.
        """
        state = self._state
        state.model.train()
        p = state.progress
        config = self._config
        lr = config.optimizer.lr * p.lr_scale * lr_factor(config.schedule, p.update, p.frames / config.budget.frames)
        outcome = self._updates(
            batch, lr, self._corrector.guided_attention_weight(), limits=self._corrector.limits_gradients()
        )
        if state.average is not None:
            state.average.update(p.update + 1)
        self._corrector.checks.add(p.update + 1, outcome.checks)
        self._corrector.saw(batch.indices, outcome.mel_of_clips, outcome.alignment)
        self._figures.add(outcome.means, lr, batch.frames)
        state.progress = replace(
            p,
            frames=p.frames + batch.frames,
            update=p.update + 1,
            position=p.position + 1,
            seconds=self._seconds_before + time.monotonic() - self._started,
        )

    def _report_progress(self) -> None:
        state = self._state
        figures = self._figures.take() | {"memory_bytes": held_bytes(state.device)}
        self._emit(EventKind.PROGRESS, figures)
        self._summaries.scalars("train", figures, state.progress.update)
        log.info("update %d  frames %d  loss %.4f", state.progress.update, state.progress.frames, figures["loss"])

    def _finish(self) -> ExitCode:
        """Let the best model speak, and write the final event."""
        state = self._state
        reason = self._reports.why_end() or "the budget is spent"
        log.info("training ends: %s", reason)
        if self._evaluator is not None and state.run_dir.best_checkpoint.exists():
            best = checkpoint_files.load(state.run_dir.best_checkpoint, state.device)
            state.model.load_state_dict(best["model"])
            evaluation = self._speak(self._evaluator)
            self._previews.free_running(evaluation, state.progress.update)
        figures = {"seconds": state.progress.seconds, "best": state.best}
        self._emit(EventKind.FINISHED, {**figures, "reason": reason, "kernels": state.model.kernels})
        return ExitCode.FINISHED

    def _speak(self, evaluator: Evaluator) -> Evaluation:
        """Evaluate the present weights."""
        evaluation = evaluator.evaluate(self._state.model)
        figures = evaluation.figures | evaluator.ceiling()
        self._emit(EventKind.FREE_RUNNING, figures)
        self._summaries.scalars("free_running", figures, self._state.progress.update)
        return evaluation

    def _leave(self, reason: str) -> ExitCode:
        if not self._corrector.updated(self._corrector.checks.all()):
            return ExitCode.DIVERGED
        self._save()
        if self._evaluator is not None and self._state.progress.reported:  # no trial is pruned before the first report
            try:
                evaluation = self._speak(self._evaluator)
                self._previews.samples(evaluation.speech, self._state.progress.update)
            except (RuntimeError, MemoryError, OSError) as error:  # all is saved; this must not fail the trial
                log.warning("the stopped model was not evaluated: %s", error)
        self._emit(EventKind.STOPPED, {"reason": reason, "kernels": self._state.model.kernels})
        log.info("stopped: %s", reason)
        return ExitCode.STOPPED

    def _save(self, *, at_report: bool = False) -> None:
        state = self._state
        self._saved = time.monotonic()
        if state.progress.bad_updates_in_a_row:
            return  # a rollback needs a good state
        self._corrector.save(at_report=at_report)
        self._emit(EventKind.CHECKPOINT, {"path": "checkpoints/last.pt", "best": False})

    def _announce(self) -> None:
        state = self._state
        first = self._features.train[0]
        self._emit(
            EventKind.STARTED,
            {
                "config": asdict(self._config),
                "resumed": state.resumed,
                **({"start": state.start} if state.start else {}),
                **({"warm_start": state.warm_start.report(self._features.used_symbols())} if state.warm_start else {}),
                "parameters": sum(p.numel() for p in state.model.parameters()),
                **environment(state.device),
                "kernels": state.model.kernels,
                "train_utterances": len(self._features.train),
                "validation_utterances": len(self._features.validation),
            },
        )
        log.info("%s in %s", "resumed" if state.resumed else "started", state.run_dir.path)
        log.info("first text as the model sees it: %s", self._features.text(first))
        if not state.resumed:
            self._previews.announce(state.progress.update)

    def _emit(self, kind: EventKind, data: dict[str, Any]) -> None:
        self._events.write(Event(kind, self._state.progress.frames, self._state.progress.update, data))
