"""Applies corrections to a run: asks the policies of `trainer.corrections`, changes the state, records what was done.

Each correction is an event, a line of the log, and a line in TensorBoard's tab Text.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from trainer.checkpoint import TrainingState
from trainer.corrections import not_finite, policy
from trainer.corrections.correction import Action, Cause, Correction
from trainer.corrections.gradients import UpdateFigures
from trainer.corrections.history import Report
from trainer.corrections.policy import Setting
from trainer.evaluation.verdict import PREFIX
from trainer.protocol import EventKind, ExitCode
from trainer.schedules import guided_attention_weight
from trainer.summaries import Summaries
from trainer.suspects import SuspectsFile
from trainer.training_figures import UpdateChecks

log = logging.getLogger(__name__)


class Corrector:
    """Changes the state; writes events and summaries. `corrections.kind` says what is corrected."""

    def __init__(
        self, state: TrainingState, summaries: Summaries, emit: Callable[[EventKind, dict[str, Any]], None]
    ) -> None:
        self._state = state
        self._summaries = summaries
        self._emit = emit
        self._is_on = state.config.corrections.kind == "all"
        self._suspects = SuspectsFile(state.config, state.features, state.run_dir)
        self.checks = UpdateChecks(state.device)

    def begin(self) -> None:
        """Keep the state of a new run, so that a rollback before the first report returns to its start."""
        state = self._state
        if not self._is_on or state.resumed:
            return
        if state.start is not None:  # of the voice or run that it starts from, whose alignment can be lost
            self._remember(state.start)
        state.save_start(aligned=policy.is_aligned(state.history))

    def guided_attention_weight(self) -> float:
        """As scheduled, or as corrected."""
        weight = self._state.history.guided_weight
        return self._scheduled_weight() if weight is None else weight

    def _scheduled_weight(self) -> float:
        return guided_attention_weight(self._state.config.guided_attention, self._state.progress.frames)

    def limits_gradients(self) -> bool:
        """Whether an update that explodes is clipped."""
        return self._is_on and self._state.history.clipping.is_on

    def updated(self, updates: Sequence[UpdateFigures]) -> bool:
        """Look at the figures of some updates; False when training gives up."""
        state = self._state
        for each in updates:
            bad = 0 if each.finite else state.progress.bad_updates_in_a_row + 1
            state.progress = replace(state.progress, bad_updates_in_a_row=bad)
            correction = not_finite.propose(bad, state.progress.rollbacks, state.progress.lr_scale)
            if correction is not None and not self._apply_not_finite(correction):
                return False
            if correction is not None and correction.action is Action.ROLL_BACK:
                break  # later results belong to the state that was rolled back
            if self._is_on:
                self._watch_gradients(each)
        return True

    def _apply_not_finite(self, correction: Correction) -> bool:
        state = self._state
        saved = state.reported() if correction.action is Action.ROLL_BACK else None
        self._record(_with_update(correction, saved))
        if correction.action is Action.GIVE_UP:
            self._emit(EventKind.FAILED, {"reason": correction.reason, "exit_code": ExitCode.DIVERGED})
            return False
        if correction.action is Action.ROLL_BACK:
            rollbacks = state.progress.rollbacks + 1
            self.checks.forget()
            if saved is not None:
                state.restore(saved)
            state.progress = replace(
                state.progress, rollbacks=rollbacks, lr_scale=correction.after, bad_updates_in_a_row=0
            )
        return True

    def _watch_gradients(self, update: UpdateFigures) -> None:
        state = self._state
        clipping, correction = state.history.clipping.after(update)
        state.history = replace(state.history, clipping=clipping)
        if correction is not None:
            self._record(correction)

    def reported(self, figures: Mapping[str, float]) -> None:
        """Look at the figures of a validation. Save afterwards: a resumed run must not decide again."""
        if not self._is_on:
            return
        state = self._state
        self._remember(figures)
        setting = Setting(state.config.budget.frames, self._scheduled_weight(), state.progress.lr_scale)
        correction = policy.propose(state.history, setting)
        if correction is None:
            return
        saved = state.aligned() if correction.action is Action.ROLL_BACK else None
        correction = _with_update(correction, saved)
        self._record(correction)
        figure = policy.figure_of(correction.cause, state.history)
        state.history = state.history.with_correction(correction, figure)
        if saved is not None:
            self.checks.forget()
            state.restore_weights(saved)
            state.progress = replace(state.progress, bad_updates_in_a_row=0)
        # What is kept has its rate already, and may have been lowered since, for updates that were not finite.
        if correction.cause is not Cause.LATE and correction.action is not Action.KEEP:
            state.progress = replace(state.progress, lr_scale=correction.after)

    def _remember(self, figures: Mapping[str, float]) -> None:
        progress = self._state.progress
        heard = (figures.get(f"{PREFIX}{name}", math.nan) for name in ("distance", "alignment"))
        report = Report(progress.update, progress.frames, figures["loss"], figures["alignment"], *heard)
        self._state.history = self._state.history.with_report(report)

    def save(self, *, at_report: bool) -> None:
        """Write the checkpoints. Raises OSError where the disk is full."""
        state = self._state
        if at_report and self._is_on:
            state.save_report(aligned=policy.is_aligned(state.history))
        else:
            state.save()

    def saw(self, clips: Sequence[int], loss: Tensor, alignment: Tensor | None) -> None:
        """The clips of an update. loss, alignment: (B,) on the device; None where clips are not scored."""
        if self._state.clips is not None and alignment is not None:
            self._state.clips.add(clips, loss, alignment)

    def end_epoch(self) -> None:
        """List the outliers among the clips. Waits for the device."""
        if self._state.clips is not None:
            self._suspects.write(self._state.clips.end_epoch())

    def _record(self, correction: Correction) -> None:
        data = {
            "what": correction.action,
            "cause": correction.cause,
            "reason": correction.reason,
            "before": correction.before,
            "after": correction.after,
        }
        self._emit(EventKind.CORRECTION, data)
        update = self._state.progress.update
        self._summaries.text("corrections", f"update {update:,}: {correction.reason}", update)
        log.warning("%s (update %d)", correction.reason, update)


def _with_update(correction: Correction, saved: Mapping[str, Any] | None) -> Correction:
    """A rollback with the update that it returns to; without a saved state only the learning rate is lowered."""
    if correction.action is not Action.ROLL_BACK:
        return correction
    if saved is None:
        reason = f"{correction.reason}; no state to return to is kept"
        return replace(correction, action=Action.LOWER_RATE, reason=reason)
    return replace(
        correction, reason=f"{correction.reason}; back to the weights of update {saved['progress']['update']:,}"
    )
