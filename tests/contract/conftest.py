"""A Ray cluster of several nodes on this machine, for all tests of a session."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

NODES = 2
STORE_BYTES = 100 * 2**20
WATCHFUL = {"health_check_period_ms": 500}  # a lost node is noticed after 2.5 seconds, not 15


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """The head has no CPU, so that no trial runs beside the tuner. `RAY_TEST_CLUSTER` has the cluster's address."""
    from ray.cluster_utils import Cluster

    before = signal.getsignal(signal.SIGTERM)  # Ray replaces it
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False, "_system_config": WATCHFUL}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    os.environ["RAY_TEST_CLUSTER"] = cluster.address
    for _ in range(NODES):
        add_node_to(cluster)
    yield cluster
    cluster.shutdown()
    signal.signal(signal.SIGTERM, before)
    del os.environ["RAY_TEST_CLUSTER"]


@pytest.fixture
def add_node(ray_cluster: Any) -> Callable[..., Any]:
    return partial(add_node_to, ray_cluster)


def add_node_to(cluster: Any, **options: Any) -> Any:
    return cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES, **options)
