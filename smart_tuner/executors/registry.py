"""The executors by the name that the setting `executor` gives them.

A further one is a module that has `from_settings`, and a line in `EXECUTORS`. The module is imported when its name is
asked for: runs on this machine alone load nothing of Ray.
"""

from importlib import import_module

from smart_tuner.executors import Executor, ExecutorSettings

# Name -> module with `from_settings(settings: ExecutorSettings) -> Executor`.
EXECUTORS = {
    "local": "smart_tuner.executors.local",
    "ray": "smart_tuner.executors.ray.executor",
}


def make_executor(settings: ExecutorSettings) -> Executor:
    """The one that `settings.executor` names."""
    executor: Executor = import_module(EXECUTORS[settings.executor]).from_settings(settings)
    return executor
