"""Reports of a run: what the present weights are worth, which of them are kept, and when no more is to be expected.

A report validates with a teacher, and at most reports the model also speaks without one, as far as that is affordable.
With averaged weights both are measured, and the better of the two is what the report shows and keeps. The loop decides
when a report is due.
"""

import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trainer.checkpoint import TrainingState
from trainer.data.features import Features
from trainer.evaluation.evaluator import Evaluator, with_prefix
from trainer.model import Tacotron2
from trainer.objectives import OBJECTIVES
from trainer.previews import Previews
from trainer.protocol import EventKind
from trainer.summaries import Summaries
from trainer.validation import Validation, better, rank, settle_batch_norm, validate

log = logging.getLogger(__name__)

LEAST_JUDGED = 5  # reports that could be better and were not, before training ends: what is heard of few is noisy
_GIB = 2**30
_HOUR = 3600.0
_HOURLY = re.compile(r"hours-([0-9]+)\.pt")


class Reports:
    """Changes `best`, `kept`, `start` and `progress.reported` of the state, never its weights.

    evaluator: None where there is no clip to speak. emit: writes an event.
    """

    def __init__(
        self,
        state: TrainingState,
        evaluator: Evaluator | None,
        previews: Previews,
        summaries: Summaries,
        emit: Callable[[EventKind, dict[str, Any]], None],
    ) -> None:
        self._state = state
        self._evaluator = evaluator
        self._previews = previews
        self._summaries = summaries
        self._emit = emit
        self._corrects = state.config.corrections.kind == "all"
        self._interval_kept = self._intervals()

    def measure_start(self) -> Validation:
        """Measure what a new run starts from, a voice or another run, on its own corpus: its alignment can be lost."""
        state = self._state
        result = self._measure(0) if self._corrects else self._validated()
        state.start = result.figures
        log.info("before the first update: %s", _listed(state.start))
        return result

    def take_start(self, start: Validation) -> None:
        """Show what `measure_start` found. A voice of the same recordings is a report, which none that is worse
        replaces."""
        state = self._state
        if self._corrects and state.warm_start is not None and state.warm_start.is_of_same_recordings:
            self._take(start, 0)
        else:
            self._summaries.scalars("validation", start.figures, state.progress.update)

    def report(self) -> dict[str, float]:
        """Measure the state, and keep it where it is among the best. Writes the event before any file.

        Returns the figures of the weights that are trained, also where averaged ones are better.
        """
        state = self._state
        index = state.due()
        state.progress = replace(state.progress, reported=index)
        own = self._measure(index)
        if state.average is None:
            self._take(own, index)
            return own.figures
        with state.average.lent():
            averaged = self._measure(index)
            if is_averaged := self._is_better(averaged.figures, own.figures):
                self._take(Validation(averaged.figures | {"averaged": 1.0}, averaged.shown), index)
        if not is_averaged:
            self._take(Validation(own.figures | {"averaged": 0.0}, own.shown), index)
        return own.figures

    def why_end(self) -> str | None:
        """Why no better report is to be expected; None while one is. Depends on the state alone."""
        state = self._state
        patience = state.config.validation.patience
        if not patience or state.best is None or state.best["alignment"] < state.config.validation.alignment_floor:
            return None
        best = int(state.best["index"])
        since = state.progress.reported - best
        judged = sum(map(self._is_judged, range(best + 1, state.progress.reported + 1)))
        if since < patience or judged < min(patience, LEAST_JUDGED):
            return None
        counted = "report was" if since == 1 else f"{since} reports were"
        than = f"report {best}" if best else "the voice that it began with"
        return f"the last {counted} not better than {than}"

    def keep_by_the_hour(self) -> None:
        """Keep the present voice where another `checkpoints.every_hours` have been trained."""
        number = self._intervals()
        if number <= self._interval_kept:  # less after a rollback
            return
        self._interval_kept = number
        self._settle()
        folder = self._state.run_dir.last_checkpoint.parent
        self._state.save_voice(folder / f"hours-{number:04d}.pt", None)  # between reports it has no figures
        kept = _by_the_hour(folder)
        most = self._state.config.checkpoints.most_gib * _GIB
        while len(kept) > 1 and sum(file.stat().st_size for file in kept) > most:
            kept.pop(0).unlink()

    def _intervals(self) -> int:
        """How often `checkpoints.every_hours` has passed."""
        every = self._state.config.checkpoints.every_hours
        return int(self._state.progress.seconds / (every * _HOUR)) if every else 0

    def _measure(self, index: int) -> Validation:
        """Validate, and listen where it is due. Leaves the batch norms' statistics as they were measured for it."""
        result = self._validated()
        return Validation(result.figures | self._heard(index, result.figures["alignment"]), result.shown)

    def _validated(self) -> Validation:
        """With a teacher, with batch norms that are settled on this corpus."""
        self._settle()
        return validate(*self._arguments(), self._previews.wanted)

    def _settle(self) -> None:
        settle_batch_norm(*self._arguments())

    def _arguments(self) -> tuple[Tacotron2, Features, int, float, torch.device]:
        """Of settling and of validating."""
        state = self._state
        c = state.config
        return state.model, state.features, c.validation.batch_size, c.audio.log_floor, state.device

    def _heard(self, index: int, alignment: float) -> dict[str, float]:
        """The free-running figures at report `index`; none where it does not align, or that would cost too much."""
        if self._evaluator is None or not alignment >= self._state.config.validation.alignment_floor:
            return {}
        if not self._is_heard(index, self._evaluator):
            return {}
        return with_prefix(self._evaluator.evaluate(self._state.model).figures)

    def _is_heard(self, index: int, evaluator: Evaluator) -> bool:
        """Whether a voice that aligns speaks at report `index`."""
        budget = self._state.config.budget
        times = 1 if self._state.average is None else 2
        return evaluator.is_due(index, budget.frames / budget.reports, times=times, is_last=index == budget.reports)

    def _is_judged(self, index: int) -> bool:
        """Whether report `index` could be the best, which without speech it never is where that decides."""
        if self._evaluator is None or not OBJECTIVES[self._state.config.validation.best_by].is_heard:
            return True
        return self._is_heard(index, self._evaluator)

    def _is_better(self, figures: dict[str, float], other: dict[str, float] | None) -> bool:
        c = self._state.config.validation
        return better(figures, other, c.alignment_floor, c.best_by)

    def _take(self, result: Validation, index: int) -> None:
        """Show the report, and keep the model's weights where it is among the best. The event comes before the files:
        a kill in between must not lose it."""
        state = self._state
        figures = result.figures
        if not math.isfinite(figures["loss"]):
            log.warning("validation %d: the loss is not finite", index)
        is_best = self._is_better(figures, state.best)
        own = figures | {"index": index}
        state.best = own if is_best else state.best
        self._emit(EventKind.VALIDATION, {"index": index, "best": is_best, **figures})
        self._summaries.scalars("validation", figures, state.progress.update)
        log.info("validation %d: %s", index, _listed(figures))
        self._previews.validation(result, index, state.progress.frames, state.progress.update)
        if is_best:
            state.save_voice(state.run_dir.best_checkpoint, own)
            self._emit(EventKind.CHECKPOINT, {"path": "checkpoints/best.pt", "best": True})
        self._keep(own)

    def _keep(self, figures: dict[str, float]) -> None:
        """Write report-0012.pt where the report is among the `checkpoints.best` best, and delete what no longer is."""
        state = self._state
        c = state.config
        if c.checkpoints.best == 1:
            return

        def order(report: dict[str, float]) -> tuple[bool, bool, float]:
            return rank(report, c.validation.alignment_floor, c.validation.best_by)

        among = sorted([*state.kept, figures], key=order)
        state.kept = among[: c.checkpoints.best]
        if figures in state.kept:
            state.save_voice(_file_of(figures, state), figures)
        for report in among[c.checkpoints.best :]:
            _file_of(report, state).unlink(missing_ok=True)


def _listed(figures: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in figures.items())


def _by_the_hour(folder: Path) -> list[Path]:
    """The voices that `keep_by_the_hour` wrote, the oldest first."""
    numbered = [(int(name[1]), file) for file in folder.iterdir() if (name := _HOURLY.fullmatch(file.name))]
    return [file for _, file in sorted(numbered)]


def _file_of(report: dict[str, float], state: TrainingState) -> Path:
    return state.run_dir.best_checkpoint.with_name(f"report-{int(report['index']):04d}.pt")
