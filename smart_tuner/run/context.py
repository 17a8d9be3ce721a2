"""What one process that runs trials has: its settings, executor, terminal and store."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from smart_tuner.config import Settings
from smart_tuner.executors import Executor
from smart_tuner.machine.capacity import Capacity, Demand, largest_preset
from smart_tuner.notify.channels import channels_of
from smart_tuner.spec import StudySpec
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import open_storage
from smart_tuner.workspace import Workspace


@dataclass(frozen=True)
class Context:
    """`open_context` makes one. Its parts may be used from any thread."""

    settings: Settings
    executor: Executor
    console: Console
    storage: RetryingStorage

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.settings.workspace)

    def capacity(self, specs: Sequence[StudySpec], trials: int) -> Capacity:
        """How many trials of these studies run at once, and where. trials: the number that all of them are to have."""
        settings = self.settings
        demand = Demand(
            largest_preset(spec.preset for spec in specs),
            trials,
            None if settings.jobs == "auto" else settings.jobs,
            settings.device,
            settings.devices,
            settings.trials_per_device,
        )
        return self.executor.capacity(demand)


def open_context(settings: Settings, executor: Executor, console: Console) -> Context:
    """Open the store. Raises UserError also for what would fail only later: a read-only workspace, invalid channels."""
    Workspace(settings.workspace).refuse_unwritable()
    channels_of(settings)
    return Context(settings, executor, console, open_storage(settings.storage_url))
