"""The figures by which a report, a checkpoint or a trial can be the best. Standard library only.

A line in `_ALL` makes a figure of the validation or of the evaluation an objective of studies (`objective.metric`) and
of checkpoints (`validation.best_by`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["minimize", "maximize"]
_HEARD = "free_running_"  # begins the names of figures that are measured without a teacher


@dataclass(frozen=True)
class Objective:
    """A figure, and which way it is better."""

    metric: str  # its name among the figures of a trial
    direction: Direction

    @property
    def figure(self) -> str:
        """Its name among the figures of a validation event."""
        return "loss" if self.metric == VALIDATION_LOSS else self.metric

    @property
    def is_heard(self) -> bool:
        """Whether it is measured on speech without a teacher, and so only at some reports."""
        return self.metric.startswith(_HEARD)

    def cost(self, value: float) -> float:
        """The value such that less is better."""
        return value if self.direction == "minimize" else -value


VALIDATION_LOSS = "validation_loss"
DEFAULT_OBJECTIVE = "free_running_distance"
_ALL = (
    Objective(DEFAULT_OBJECTIVE, "minimize"),
    Objective(VALIDATION_LOSS, "minimize"),
)
OBJECTIVES: Mapping[str, Objective] = {objective.metric: objective for objective in _ALL}
