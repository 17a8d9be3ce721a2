"""Writes to one MLflow run: caches what it holds, and sends only what differs."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from smart_tuner.mlflow_mirror.projection import Point, drawable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Below the limits of MLflow's log-batch: 1000, 100 and 100, and 1000 for all together.
_METRICS_PER_CALL = 800
_PARAMS_PER_CALL = _TAGS_PER_CALL = 100
_UNFINISHED = ("RUNNING", "SCHEDULED")


class RunWriter:
    """Assumes that nobody else writes to the run. Each method raises MLflow's errors; the cache is invalid then.

    Not thread-safe.
    """

    def __init__(self, client: "MlflowClient", run: "Run") -> None:
        self._client = client
        self.id: str = run.info.run_id
        self.start: int = run.info.start_time
        self.artifacts_uri: str = run.info.artifact_uri
        self.params: dict[str, str] = dict(run.data.params)
        self.tags: dict[str, str] = dict(run.data.tags)
        self.metrics = {name: drawable(value) for name, value in run.data.metrics.items()}  # the latest of each
        self._state = (run.info.status, run.info.end_time)
        self.requests = 0  # those that changed something

    def log(self, points: Iterable[Point], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Send points, missing parameters and changed tags in as few requests as MLflow allows, the tags last."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(point.name, point.value, point.time, point.step) for point in points]
        new = [Param(name, value) for name, value in params.items() if name not in self.params]
        changed = [RunTag(name, value) for name, value in tags.items() if self.tags.get(name) != value]
        while metrics or new or changed:
            batch, metrics = metrics[:_METRICS_PER_CALL], metrics[_METRICS_PER_CALL:]
            some, new = new[:_PARAMS_PER_CALL], new[_PARAMS_PER_CALL:]
            last, changed = ([], changed) if metrics or new else (changed[:_TAGS_PER_CALL], changed[_TAGS_PER_CALL:])
            self._client.log_batch(self.id, metrics=batch, params=some, tags=last)
            self.requests += 1
            self.metrics |= {metric.key: metric.value for metric in batch}
        self.params |= {name: value for name, value in params.items() if name not in self.params}
        self.tags |= tags

    def set_tag(self, name: str, value: str) -> None:
        self.log((), {}, {name: value})

    def drop_tags(self, unwanted: Callable[[str], bool]) -> None:
        for tag in [tag for tag in self.tags if unwanted(tag)]:
            self._client.delete_tag(self.id, tag)
            self.requests += 1
            del self.tags[tag]

    def set_status(self, status: str, ended: int | None) -> None:
        """ended: in milliseconds, for a finished run. MLflow cannot remove the end of a run that is continued."""
        if status in _UNFINISHED:
            if self._state[0] != status:
                self._client.update_run(self.id, status=status)
                self.requests += 1
                self._state = (status, self._state[1])
        elif self._state != (status, ended):
            self._client.set_terminated(self.id, status, ended)
            self.requests += 1
            self._state = (status, ended)

    def points(self) -> set[Point]:
        """All points of the run, read from MLflow with one request per curve."""
        return {
            Point(name, drawable(point.value), point.timestamp, point.step)
            for name in self.metrics
            for point in self._client.get_metric_history(self.id, name)
        }
