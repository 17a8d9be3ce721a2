"""The executors by the name that the setting `executor` gives them.

Another executor is a module with `from_settings`, and a line in `EXECUTORS`. A module is imported when its executor is
made: runs on this machine alone load nothing of Ray.
"""

from importlib import import_module

from smart_tuner.executors import Executor, ExecutorSettings

# Name -> module with `from_settings(settings: ExecutorSettings) -> Executor`.
EXECUTORS = {
    "local": "smart_tuner.executors.local",
    "ray": "smart_tuner.executors.ray.executor",
}


def make_executor(settings: ExecutorSettings) -> Executor:
    """Make the executor that `settings.executor` names."""
    executor: Executor = import_module(EXECUTORS[settings.executor]).from_settings(settings)
    return executor
