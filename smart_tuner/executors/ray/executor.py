"""Trials on a Ray cluster: several machines, no shared file system.

Each trial is an actor, which Ray starts once and never restarts: our own queue continues interrupted trials. Ray counts
CPUs and GPUs and chooses the node. What is sent to the node and fetched from it: `run`; what happens there: `node`.
Ray is imported only when it is first needed.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from smart_tuner.errors import SettingsError
from smart_tuner.executors import ExecutorSettings, Launch
from smart_tuner.executors.ray.cluster import Connection
from smart_tuner.executors.ray.transfer import Uploads
from smart_tuner.machine.admission import FreeAdmission
from smart_tuner.machine.capacity import Capacity, Demand

if TYPE_CHECKING:
    from smart_tuner.executors.ray.run import RayRun

NODE_SECONDS = 60.0  # in which an autoscaling cluster may add a node that is large enough
_THREADS = 8  # of an actor: `stop` must get through while `update` waits


def from_settings(settings: ExecutorSettings) -> "RayExecutor":
    each = settings.trials_per_device or 1
    return RayExecutor(settings.ray_address, settings.stop_grace_seconds, trials_per_device=each)


class RayExecutor:
    """address: see `Connection`. grace_seconds, command: see `LocalExecutor`.

    trials_per_device: how many trials share a GPU. node_folder: where nodes keep their files; by default, their
    temporary folder.
    """

    runs_may_wait = True  # Ray starts the actor when a node has capacity for it

    def __init__(
        self,
        address: str | None = None,
        grace_seconds: float = 20.0,
        command: tuple[str, ...] | None = None,
        *,
        trials_per_device: int = 1,
        node_folder: str | None = None,
    ) -> None:
        self._connection = Connection(address)
        self._grace = grace_seconds
        self._command = command
        self._trials_per_device = trials_per_device
        self._node_folder = node_folder
        self._uploads = Uploads()

    @contextmanager
    def launch(self, launch: Launch) -> Iterator["RayRun"]:
        """Raises SettingsError where there is no cluster; `events` raises it where no node can run the trial."""
        self._connection.open()
        from smart_tuner.executors.ray.run import RayRun

        launch.run_dir.create()
        needs = self._needs(launch.device, launch.threads)
        actor = _actor(needs).remote(self._node_folder, uuid4().hex)
        run = RayRun(actor, launch, self._uploads, self._grace, self._command, _capacity_check(needs))
        try:
            yield run
        finally:
            run.close()

    def close(self) -> None:
        self._uploads.clear()
        self._connection.close()

    def capacity(self, demand: Demand) -> Capacity:
        """As many trials as the cluster can hold now, with one thread each. Ray decides which GPU a trial gets.

        Raises SettingsError as `launch`.
        """
        device = demand.device
        if device == "auto":
            device = "cuda" if self._count("cuda") else "cpu"
        jobs = max(1, min(demand.jobs or self._count(device), demand.trials))
        return Capacity(jobs, 1, (device,) * jobs, here=False)

    def admission(self, capacity: Capacity, preset: str) -> FreeAdmission:
        return FreeAdmission()  # Ray decides when a trial starts

    def _count(self, device: str) -> int:
        """How many trials with one thread the cluster can hold at once."""
        self._connection.open()
        needs = self._needs(device, 1)
        return sum(min(int(node.get(name, 0) / need) for name, need in needs.items()) for node in _nodes())

    def _needs(self, device: str, threads: int) -> dict[str, float]:
        gpu = {"GPU": 1 / self._trials_per_device} if device.startswith("cuda") else {}
        return {"CPU": float(threads), **gpu}


def _actor(needs: dict[str, float]) -> Any:
    import ray

    from smart_tuner.executors.ray.node import NodeTrial

    return ray.remote(
        num_cpus=needs["CPU"],
        num_gpus=needs.get("GPU", 0),
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=_THREADS,
        scheduling_strategy="SPREAD",
    )(NodeTrial)


def _nodes() -> list[dict[str, float]]:
    """The total resources of each node."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _capacity_check(needs: dict[str, float]) -> Callable[[], None]:
    """A function that raises SettingsError where for a minute no node was large enough, even if idle."""
    last = time.monotonic()
    lock = threading.Lock()

    def check() -> None:
        nonlocal last
        with lock:
            nodes = _nodes()
            if any(all(node.get(name, 0) >= need for name, need in needs.items()) for node in nodes):
                last = time.monotonic()
            elif time.monotonic() - last > NODE_SECONDS:
                wanted = " and ".join(f"{need:g} {name}" for name, need in needs.items())
                there = "; ".join(", ".join(f"{node.get(name, 0):g} {name}" for name in needs) for node in nodes)
                raise SettingsError(
                    f"`executor`: a trial needs {wanted} on one node, but the nodes of the Ray cluster have {there}; "
                    "let more trials share a device, give each fewer threads, or add a larger node."
                )

    return check
