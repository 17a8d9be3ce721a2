"""What a study is: its definition, the points that it draws, and the best of its trials."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from lab import STUDY, open_queue, study_spec
from optuna.trial import TrialState, create_trial
from taking import finish, take

from smart_tuner.errors import StudyError
from smart_tuner.space import suggest
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import Attr
from smart_tuner.store.storage import open_storage
from smart_tuner.study import best_trial, nearest_trial, open_study


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("corpus", {"corpus": "demo:ru"}),
        ("budget", {"budget": {"frames": 2000, "reports": 4}}),
        ("constraints", {"constraints": {"alignment": {"at_least": 0.7}}}),
        ("fixed", {"fixed": {"model.reduction": 3}}),
        ("preset", {"preset": "full"}),
    ],
)
def test_a_study_whose_trials_could_not_be_compared_is_refused(
    storage_url: str, key: str, change: dict[str, Any]
) -> None:
    storage = open_storage(storage_url)
    queue = open_queue(storage_url, 1)[2]
    suggest(take(queue), study_spec().search)
    with pytest.raises(StudyError, match=rf"study 'lab' exists with `{key}` = .*Give the new study another name"):
        open_study(storage, study_spec(**change))
    open_study(storage, study_spec(name="other", **change))


def test_a_study_in_which_nothing_ran_takes_another_definition(storage_url: str) -> None:
    storage = open_storage(storage_url)
    open_study(storage, study_spec(corpus="demo:ru"))
    study = open_study(storage, study_spec(corpus="demo:en"))
    assert study.user_attrs["definition"]["corpus"] == "demo:en"


def test_the_choices_of_a_parameter_cannot_change(storage_url: str) -> None:
    queue = open_queue(storage_url, 1)[2]
    suggest(take(queue), study_spec().search)
    one_choice_more = {"optimizer.kind": {"type": "categorical", "choices": ["adam", "adamw"]}, **STUDY["search"]}
    open_study(open_storage(storage_url), study_spec(search=one_choice_more))
    turned = {**one_choice_more, "optimizer.kind": {"type": "categorical", "choices": ["adamw", "adam"]}}
    with pytest.raises(StudyError, match=r"`search.optimizer.kind.choices` = .*cannot change"):
        open_study(open_storage(storage_url), study_spec(search=turned))


def test_what_is_searched_and_how_may_change(storage_url: str) -> None:
    storage = open_storage(storage_url)
    first = open_study(storage, study_spec())
    changed = study_spec(
        search={"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-3}},
        enqueue=[],
        trials=99,
        pruner={"patience": 3},
    )
    second = open_study(storage, changed)
    assert second.user_attrs["id"] == first.user_attrs["id"]
    assert second.user_attrs["definition"]["trials"] == 99


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
def test_one_seed_gives_one_course_and_another_seed_another(tmp_path: Path, kind: str) -> None:
    def course(name: str, seed: int) -> list[dict[str, Any]]:
        sampler = {"seed": seed, "kind": kind, "startup_trials": 3}
        return draw(f"sqlite:///{tmp_path}/{name}.db", 6, study_spec(enqueue=[], sampler=sampler))

    first = course("a", 1)
    assert course("b", 1) == first
    other = course("c", 2)
    assert not {p["optimizer.lr"] for p in first} & {p["optimizer.lr"] for p in other}


def add(study: optuna.Study, end: str, value: float | None, alignment: float | None, feasible: bool = False) -> None:
    metrics = {} if alignment is None else {Attr.METRICS: {"alignment": alignment}}
    attrs = {**metrics, Attr.FEASIBLE: feasible}
    study.add_trial(create_trial(state=TrialState[end], value=value, user_attrs=attrs))


def test_the_best_is_the_feasible_complete_trial_of_least_loss(storage_url: str) -> None:
    _, study, _ = open_queue(storage_url, 9)
    assert best_trial(study) is None
    add(study, "COMPLETE", 0.1, 0.05, feasible=False)
    add(study, "PRUNED", 0.2, 0.9, feasible=True)
    add(study, "FAIL", None, None)
    assert best_trial(study) is None
    for value in (3.0, 2.0, 2.0, 4.0):
        add(study, "COMPLETE", value, 0.6, feasible=True)
    best = best_trial(study)
    assert best is not None
    assert best.number == 4


def test_the_nearest_is_the_finished_trial_of_highest_alignment(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 9)
    assert nearest_trial(study) is None
    take(queue).set_user_attr(Attr.METRICS, {"alignment": 0.9})  # runs still
    add(study, "FAIL", None, None)
    assert nearest_trial(study) is None
    add(study, "COMPLETE", 0.1, 0.05)
    add(study, "PRUNED", 5.0, 0.4)
    add(study, "COMPLETE", 2.0, 0.3)
    nearest = nearest_trial(study)
    assert nearest is not None
    assert nearest.number == 3
