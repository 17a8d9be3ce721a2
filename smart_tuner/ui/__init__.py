"""Three pages that show a workspace: optuna-dashboard, MLflow, TensorBoard. Nothing here is needed to run trials.

`page_process` is the process of one page, `supervisor` starts and watches the processes, `ports` finds their ports.
"""

from dataclasses import dataclass
from enum import StrEnum

AUDITION_PORT = 5003  # of `smart-tuner listen`, by default; here with those of the pages, so that all differ


@dataclass(frozen=True)
class _Facts:
    label: str
    shows: str
    port: int
    health: str  # path that answers once the server is ready


class Page(StrEnum):
    OPTUNA = "optuna"
    MLFLOW = "mlflow"
    TENSORBOARD = "tensorboard"

    @property
    def label(self) -> str:
        return _FACTS[self].label

    @property
    def shows(self) -> str:
        return _FACTS[self].shows

    @property
    def port(self) -> int:
        """The default port."""
        return _FACTS[self].port

    @property
    def health(self) -> str:
        return _FACTS[self].health


_FACTS = {
    Page.OPTUNA: _Facts("optuna-dashboard", "trials, importances, pictures", 5002, "/dashboard"),
    Page.MLFLOW: _Facts("MLflow", "best parameters, comparison", 5000, "/health"),
    Page.TENSORBOARD: _Facts("TensorBoard", "curves, pictures, sound", 5001, "/"),
}
