"""Trials that a person adds to a study: what they are, and what is refused."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import yaml
from lab import open_queue, study_spec
from queues import finish, take
from servers import every_store

from smart_tuner.enqueueing import Enqueued, enqueue, setting_of_file
from smart_tuner.errors import StudyError
from smart_tuner.space import suggest
from smart_tuner.store.attributes import Attr
from smart_tuner.store.control import Budget, read_control, request_run
from smart_tuner.store.enqueued import Raised

WHEN = {"guided_attention.enabled": True}
SPEC = study_spec(
    search={
        "optimizer.lr": {"type": "float", "low": 5e-4, "high": 5e-3, "log": True},
        "guided_attention.enabled": {"type": "categorical", "choices": [True, False]},
        "guided_attention.weight": {"type": "float", "low": 1, "high": 9, "when": WHEN},
    },
    enqueue=[{"optimizer.lr": 2e-3, "guided_attention.enabled": True, "guided_attention.weight": 5.0}],
)


@pytest.fixture
def begun(storage_url: str) -> Any:
    """A study of three trials, of which the first has its parameters and runs."""
    _, study, queue = open_queue(storage_url, 3, SPEC)
    request_run(study, Budget(3), joins=False)
    suggest(take(queue), SPEC.search)
    return study, queue


def test_it_is_next_and_the_sampler_chooses_the_rest(begun: Any) -> None:
    study, queue = begun
    added = enqueue(queue.storage, study, SPEC, {"optimizer.lr": 1e-3})
    assert added == Enqueued(1, {"optimizer.lr": 1e-3}, None)
    trial = take(queue)
    params = suggest(trial, SPEC.search)
    assert (trial.number, params["optimizer.lr"]) == (1, 1e-3)
    assert "guided_attention.enabled" in params
    assert take(queue).number == 2
    assert queue.take() is None  # it counts as one of the three


def test_it_takes_what_has_an_effect_from_another_trial(begun: Any) -> None:
    study, queue = begun
    enqueue(queue.storage, study, SPEC, {"guided_attention.enabled": False}, 0)
    assert suggest(take(queue), SPEC.search) == {"optimizer.lr": 2e-3, "guided_attention.enabled": False}


def test_a_study_with_all_its_trials_gets_one_more(begun: Any) -> None:
    study, queue = begun
    for _ in range(2):
        finish(queue, take(queue))
    added = enqueue(queue.storage, study, SPEC, {"optimizer.lr": 1e-3}, None)
    assert added == Enqueued(3, {"optimizer.lr": 1e-3}, Raised(4))
    assert read_control(study).target == 4


def test_what_a_lower_target_left_out_goes_on_and_is_told(begun: Any) -> None:
    study, queue = begun
    left_out = [take(queue) for _ in range(2)]
    request_run(study, Budget(1), joins=False)
    queue.give_back(left_out[0])
    finish(queue, left_out[1])
    added = enqueue(queue.storage, study, SPEC, {"optimizer.lr": 1e-3}, None)
    assert added.raised == Raised(target=4, going_on=1)
    queue.target = 4
    assert [take(queue).number for _ in range(2)] == [1, 3]


@every_store
def test_many_people_who_add_trials_at_once_each_raise_the_target(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 0, SPEC)
    request_run(study, Budget(0), joins=False)
    together = Barrier(8)

    def add(_: int) -> Enqueued:
        together.wait()
        return enqueue(queue.storage, study, SPEC, {"optimizer.lr": 1e-3})

    with ThreadPoolExecutor(together.parties) as people:
        added = list(people.map(add, range(together.parties)))
    raised = sorted((each.number, each.raised.target) for each in added if each.raised)
    assert raised == [(number, number + 1) for number in range(8)]
    assert read_control(study).target == 8


BEST = {"optimizer.lr": 1e-3, "guided_attention.enabled": True, "guided_attention.weight": 7.0}


@pytest.mark.parametrize(
    "content",
    [
        BEST,
        {"trial": 3, "study": "lab", "params": BEST},
        {
            "preset": "tiny",
            "optimizer": {"lr": 1e-3},
            "guided_attention": {"weight": 7.0},
            "paths": {"run": "a"},
        },
    ],
)
def test_it_takes_a_setting_from_a_file(begun: Any, tmp_path: Path, content: dict[str, Any]) -> None:
    study, queue = begun
    file = tmp_path / "setting.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    enqueue(queue.storage, study, SPEC, {"optimizer.lr": 2e-3}, setting_of_file(file, SPEC))
    assert suggest(take(queue), SPEC.search) == BEST | {"optimizer.lr": 2e-3}


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        ("optimizer.rl: 1e-3\nmodel.reductoin: 3", ["optimizer.rl", "model.reductoin"]),
        (
            "model.reduction: 5\noptimizer.lr: 1e-3",
            ["study 'lab' does not search `model.reduction` = 5 (its trials have 4); remove that, or search it."],
        ),
        (
            "preset: full\noptimizer.lr: 1e-3",
            [
                "`model.encoder_dim` = 512 (its trials have 128)",
                "12 more; remove that, or search it. The file is of preset 'full', the study of 'tiny'.",
            ],
        ),
        ("preset: huge\noptimizer.lr: 1e-3", ["`preset` must be a known preset"]),
        ("- 1", ["must hold a mapping"]),
    ],
)
def test_a_file_of_another_setting_is_refused(tmp_path: Path, content: str, messages: list[str]) -> None:
    file = tmp_path / "setting.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(StudyError) as refused:
        setting_of_file(file, SPEC)
    assert all(message in str(refused.value) for message in (str(file), *messages))


@pytest.mark.parametrize(
    ("setting", "like", "message"),
    [
        ({"optimizer.lr": 1.0}, None, "`optimizer.lr` must be between 0.0005 and 0.005, but got 1.0"),
        ({"optimizer.rl": 1e-3}, None, "`optimizer.rl` is no key of `search`"),
        ({"guided_attention.weight": 5.0}, None, "has no effect here: it needs `guided_attention.enabled` = True"),
        ({}, None, "needs a parameter"),
        ({}, 1, "has no trial 1 that has begun"),
        ({}, -1, "has no trial -1 that has begun"),
    ],
)
def test_what_the_study_cannot_have_is_refused(begun: Any, setting: dict[str, Any], like: int, message: str) -> None:
    study, queue = begun
    with pytest.raises(StudyError, match=message):
        enqueue(queue.storage, study, SPEC, setting, like)
    assert len(study.trials) == 1


def test_a_study_that_has_not_begun_tries_its_own_settings_afterwards(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 3, SPEC)
    request_run(study, Budget(3), joins=False)
    enqueue(queue.storage, study, SPEC, {"optimizer.lr": 1e-3}, None)
    assert [suggest(take(queue), SPEC.search)["optimizer.lr"] for _ in range(2)] == [1e-3, 2e-3]
    assert [trial.user_attrs.get(Attr.ORIGIN) for trial in study.trials] == ["a person", None]
