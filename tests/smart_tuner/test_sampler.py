"""The points that a study draws: new ones for every trial, the same ones for the same seed."""

from pathlib import Path
from typing import Any

import pytest
from lab import open_queue, study_spec
from queues import finish, take

from smart_tuner.space import suggest
from smart_tuner.spec import StudySpec


def draw(url: str, count: int, spec: StudySpec) -> list[dict[str, Any]]:
    queue = open_queue(url, count, spec)[2]
    drawn = []
    while (trial := queue.take()) is not None:
        drawn.append(suggest(trial, spec.search))
        finish(queue, trial)
    return drawn


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_continued_study_draws_new_points(storage_url: str, kind: str) -> None:
    spec = study_spec(enqueue=[], sampler={"seed": 1, "kind": kind})
    drawn = draw(storage_url, 4, spec) + draw(storage_url, 8, spec)
    assert len({params["optimizer.lr"] for params in drawn}) == 8


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_workers_with_one_seed_draw_different_points(storage_url: str, kind: str) -> None:
    spec = study_spec(enqueue=[], sampler={"seed": 1, "kind": kind})
    workers = [open_queue(storage_url, 6, spec)[2] for _ in range(3)]
    drawn = [suggest(take(worker), spec.search) for worker in workers for _ in range(2)]
    assert len({params["optimizer.lr"] for params in drawn}) == 6


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_the_same_seed_draws_the_same_points_and_another_seed_others(tmp_path: Path, kind: str) -> None:
    def course(name: str, seed: int) -> list[dict[str, Any]]:
        sampler = {"seed": seed, "kind": kind, "startup_trials": 3}
        return draw(f"sqlite:///{tmp_path}/{name}.db", 6, study_spec(enqueue=[], sampler=sampler))

    first = course("a", 1)
    assert course("b", 1) == first
    other = course("c", 2)
    assert not {p["optimizer.lr"] for p in first} & {p["optimizer.lr"] for p in other}
