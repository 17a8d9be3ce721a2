"""The figures by which a report, a checkpoint or a trial can be the best. Standard library only.

A line in `_ALL` makes a figure of the validation or of the evaluation an objective of studies (`objective.metric`) and
of checkpoints (`validation.best_by`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

_HEARD = "free_running_"  # begins the names of figures that are measured without a teacher


@dataclass(frozen=True)
class Objective:
    """A figure of which less is better."""

    metric: str  # its name among the figures of a trial

    @property
    def figure(self) -> str:
        """Its name among the figures of a validation event."""
        return "loss" if self.metric == VALIDATION_LOSS else self.metric

    @property
    def is_heard(self) -> bool:
        """Whether it is measured on speech without a teacher, and so only at some reports."""
        return self.metric.startswith(_HEARD)


VALIDATION_LOSS = "validation_loss"
DEFAULT_OBJECTIVE = "free_running_distance"
_ALL = (Objective(DEFAULT_OBJECTIVE), Objective(VALIDATION_LOSS))
OBJECTIVES: Mapping[str, Objective] = {objective.metric: objective for objective in _ALL}
