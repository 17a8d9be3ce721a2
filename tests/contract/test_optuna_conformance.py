"""Optuna's own conformance suites, run on our storage with every kind of store, and on our samplers."""

from collections.abc import Callable
from typing import Any

import pytest
from lab import study_spec
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import FrozenTrial

from smart_tuner.sampler import SamplerPerTrial, sampler_of
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import open_storage


class TestStorage(StorageTestCase):
    @pytest.fixture
    def storage(self, storage_url: str) -> RetryingStorage:
        return open_storage(storage_url)


class InferringSampler(SamplerPerTrial):
    """Infers the search space before it samples, as `Trial` always does, and Optuna's suite does not.

    Otherwise TPE with `group=True`, also Optuna's own, has no groups to sample: 42 tests of the suite would fail.
    """

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self.infer_relative_search_space(study, trial)
        return super().sample_relative(study, trial, search_space)


class TestTpe(BasicSamplerTestCase, RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        spec = study_spec(sampler={"kind": "tpe", "seed": 1, "startup_trials": 1})
        return lambda: InferringSampler(spec)


class TestRandom(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        spec = study_spec(sampler={"kind": "random", "seed": 1})
        return lambda: sampler_of(spec)
