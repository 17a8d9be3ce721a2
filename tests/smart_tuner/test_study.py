"""The definition of a study: which parts may change after trials have run."""

from typing import Any

import optuna
import pytest
from lab import STUDY, open_queue, study_spec
from queues import take

from smart_tuner.errors import StudyError
from smart_tuner.space import suggest
from smart_tuner.store.storage import open_storage
from smart_tuner.study import changes_of, open_study


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
    with pytest.raises(
        StudyError,
        match=rf"(?s)study 'lab' has trials of another.*\n  {key}[.\w]*: .* -> .*Give the new study another name",
    ):
        open_study(storage, study_spec(**change))
    open_study(storage, study_spec(name="other", **change))


def test_a_study_without_trials_accepts_another_definition(storage_url: str) -> None:
    storage = open_storage(storage_url)
    open_study(storage, study_spec(corpus="demo:ru"))
    study = open_study(storage, study_spec(corpus="demo:en"))
    assert study.user_attrs["definition"]["corpus"] == "demo:en"


def test_a_new_study_has_no_line_of_optunas_and_its_logging_stays_as_it_was(
    storage_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    storage = open_storage(storage_url)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        open_study(storage, study_spec())
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
    assert "A new study" not in capfd.readouterr().err


def test_the_choices_of_a_parameter_cannot_change(storage_url: str) -> None:
    queue = open_queue(storage_url, 1)[2]
    suggest(take(queue), study_spec().search)
    one_choice_more = {"optimizer.kind": {"type": "categorical", "choices": ["adam", "adamw"]}, **STUDY["search"]}
    open_study(open_storage(storage_url), study_spec(search=one_choice_more))
    reordered = {**one_choice_more, "optimizer.kind": {"type": "categorical", "choices": ["adamw", "adam"]}}
    with pytest.raises(StudyError, match=r"optimizer.kind: one of adam, adamw -> one of adamw, adam"):
        open_study(open_storage(storage_url), study_spec(search=reordered))


def test_a_frozen_parameter_may_get_another_value_and_be_searched_again(storage_url: str) -> None:
    storage, _, queue = open_queue(storage_url, 4)
    suggest(take(queue), study_spec().search)
    guided = {"guided_attention.enabled": STUDY["search"]["guided_attention.enabled"]}
    fixed = [study_spec(search=guided, fixed={"optimizer.lr": lr}, enqueue=[]) for lr in (1e-3, 2e-3)]
    lines = []
    for spec in (*fixed, study_spec(enqueue=[])):
        lines.append(changes_of(storage, spec)[0])
        open_study(storage, spec)
    assert lines == [
        "optimizer.lr: 0.0005..0.005 (log) -> always 0.001",
        "optimizer.lr: always 0.001 -> always 0.002",
        "optimizer.lr: always 0.002 -> 0.0005..0.005 (log)",
    ]


def test_the_search_and_the_pruner_may_change(storage_url: str) -> None:
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
