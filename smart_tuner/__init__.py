"""Decide what to train next: an Optuna study over Tacotron 2 training runs.

from smart_tuner import SmartTunerMain
result = SmartTunerMain("studies/quickstart.yaml", workspace="workspace").optimize(trials=50)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smart_tuner.main import SmartTunerMain as SmartTunerMain
    from smart_tuner.results import BestTrial as BestTrial
    from smart_tuner.results import StudyResult as StudyResult

__all__ = ["BestTrial", "SmartTunerMain", "StudyResult"]

_HOMES = {"SmartTunerMain": "main", "BestTrial": "results", "StudyResult": "results"}


def __getattr__(name: str) -> Any:
    """Import on first use: Optuna takes a third of a second, for which `smart-tuner --help` must not wait."""
    import sys
    from importlib import import_module

    from smart_tuner.trainer_package import refuse_other_trainer

    if name in _HOMES:
        if "trainer" not in sys.modules:
            refuse_other_trainer()
        from trainer.system import refuse_other_system

        refuse_other_system()
        return getattr(import_module(f"smart_tuner.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
