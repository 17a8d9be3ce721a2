"""What a study takes from earlier ones: their best settings once, and their curves."""

from typing import Any

import optuna
import pytest
from lab import GUIDED, STUDY, Lab, open_queue, study_spec
from optuna.trial import TrialState
from queues import take

from smart_tuner.enqueueing import enqueue
from smart_tuner.errors import StudyError
from smart_tuner.space import suggest
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.store.enqueued import SettingOfStudy, enqueue_once
from smart_tuner.store.optuna_internals import study_id
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import open_storage
from smart_tuner.study import open_study
from smart_tuner.warm_start import earlier_curves, enqueue_best, refuse_unfit, sources_of

LR: dict[str, Any] = {"type": "float", "low": 5e-4, "high": 5e-3, "log": True}


def earlier(url: str, name: str, values: dict[float, float | None], **changes: Any) -> StudySpec:
    """A study in the store. values: by learning rate; None: it satisfies no constraint."""
    spec = study_spec(name=name, enqueue=[], **changes)
    _, study, queue = open_queue(url, len(values), spec)
    for lr, value in values.items():
        study.enqueue_trial({"optimizer.lr": lr, "guided_attention.enabled": True})
        trial = take(queue)
        suggest(trial, spec.search)
        feasible = value is not None
        queue.report(trial, 1, value, {Attr.ALIGNMENT: {"1": 0.9}, Attr.LOSS: {"1": 3.0}})
        queue.finish(
            trial,
            TrialState.COMPLETE,
            99.0 if value is None else value,
            user={Attr.FEASIBLE: feasible},
            system={"constraints:alignment": -0.4 if feasible else 0.4},
        )
    return spec


def begun(url: str, spec: StudySpec) -> tuple[RetryingStorage, optuna.Study, list[str]]:
    storage = open_storage(url)
    refuse_unfit(storage, spec)
    study = open_study(storage, spec)
    return storage, study, enqueue_best(storage, study, spec)


def taken(url: str, spec: StudySpec, count: int) -> list[dict[str, Any]]:
    """The parameters of the next trials."""
    queue = open_queue(url, 20, spec)[2]
    return [suggest(take(queue), spec.search) for _ in range(count)]


def warm(*names: str, **changes: Any) -> StudySpec:
    return study_spec(name="new", sampler={"seed": 1, "warm_start": list(names)}, **changes)


def test_the_best_settings_of_each_study_come_first_then_the_own_ones(storage_url: str) -> None:
    earlier(storage_url, "en", {1e-3: 9.0, 2e-3: 8.0, 4e-3: None})
    earlier(storage_url, "ru", {3e-3: 5.0, 6e-4: 6.0})
    spec = warm("en", "ru", enqueue=[{"optimizer.lr": 5e-3}])
    _, study, lines = begun(storage_url, spec)
    assert lines == [
        "study 'new': trial 0 takes the setting of trial 1 of study 'en' (distance to the recordings 8.00 dB)",
        "study 'new': trial 1 takes the setting of trial 0 of study 'ru' (distance to the recordings 5.00 dB)",
        "study 'new': trial 2 takes the setting of trial 0 of study 'en' (distance to the recordings 9.00 dB)",
    ]
    assert [params["optimizer.lr"] for params in taken(storage_url, spec, 4)] == [2e-3, 3e-3, 1e-3, 5e-3]
    assert study.trials[1].user_attrs[Attr.ORIGIN] == "trial 0 of study 'ru'"


def test_a_second_start_takes_nothing_again_and_one_from_another_study_its_own(storage_url: str) -> None:
    earlier(storage_url, "en", {1e-3: 9.0})
    earlier(storage_url, "ru", {3e-3: 5.0})
    begun(storage_url, warm("en"))
    assert begun(storage_url, warm("en"))[2] == []
    _, study, lines = begun(storage_url, warm("en", "ru"))
    assert len(lines) == 1
    assert study.user_attrs[StudyAttr.WARM_START] == {"en": [0], "ru": [1]}
    assert len(study.trials) == 2


def test_a_step_that_is_sent_twice_is_done_once(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 9)
    settings = [SettingOfStudy("en", f"trial {number} of study 'en'", GUIDED) for number in (3, 1)]
    for _ in range(2):
        numbers = queue.storage.transaction(lambda store: enqueue_once(store, study_id(study), ["en", "ru"], settings))
        assert numbers == [0, 1]
    assert [trial.user_attrs[Attr.ORIGIN] for trial in study.trials] == [each.origin for each in settings]
    assert study.user_attrs[StudyAttr.WARM_START] == {"en": [0, 1], "ru": []}


def test_settings_that_are_alike_are_tried_once(storage_url: str) -> None:
    earlier(storage_url, "en", {2e-3: 8.0, 2.02e-3: 8.1, 4e-3: 8.2})
    spec = warm("en", enqueue=[])
    begun(storage_url, spec)
    assert [params["optimizer.lr"] for params in taken(storage_url, spec, 2)] == [2e-3, 4e-3]


def test_what_the_study_tries_anyway_or_has_tried_is_passed_over(storage_url: str) -> None:
    earlier(storage_url, "en", {2e-3: 8.0, 4e-3: 8.2})
    spec = warm("en", enqueue=[GUIDED])
    begun(storage_url, spec)
    assert [params["optimizer.lr"] for params in taken(storage_url, spec, 2)] == [4e-3, 2e-3]
    earlier(storage_url, "ru", {2e-3: 5.0, 4e-3: 6.0})
    lines = begun(storage_url, warm("en", "ru", enqueue=[GUIDED]))[2]
    assert lines == ["study 'new': takes no setting of 'ru', since it tries others like them"]


def test_what_waits_to_be_tried_is_passed_over(storage_url: str) -> None:
    earlier(storage_url, "en", {2e-3: 8.0, 4e-3: 8.2})
    earlier(storage_url, "ru", {2e-3: 5.0, 3e-3: 6.0, 4e-3: 6.1})
    begun(storage_url, warm("en", enqueue=[]))
    _, study, queue = open_queue(storage_url, 9, warm("en", enqueue=[]))
    enqueue(queue.storage, study, warm("en", enqueue=[]), {"optimizer.lr": 3e-3, "guided_attention.enabled": True})
    lines = begun(storage_url, warm("en", "ru", enqueue=[]))[2]
    assert lines == ["study 'new': takes no setting of 'ru', since it tries others like them"]


def test_what_has_no_place_in_the_space_is_told(storage_url: str) -> None:
    earlier(storage_url, "en", {4e-3: 9.0})
    search = {"optimizer.lr": LR | {"high": 2e-3}, "batch.size": {"type": "int", "low": 2, "high": 8}}
    spec = warm("en", search=search, fixed={"guided_attention.enabled": False}, enqueue=[])
    lines = begun(storage_url, spec)[2]
    assert lines[1:] == [
        "  batch.size = 16 becomes 8: here it is between 2 and 8",
        "  guided_attention.enabled = True is left out: here it is False in all trials",
        "  optimizer.lr = 0.004 becomes 0.002: here it is between 0.0005 and 0.002",
    ]
    assert taken(storage_url, spec, 1) == [{"optimizer.lr": 2e-3, "batch.size": 8}]


def test_all_that_makes_a_study_unfit_is_refused_together(storage_url: str) -> None:
    earlier(storage_url, "loss", {1e-3: 2.0}, objective={"metric": "validation_loss"})
    earlier(storage_url, "empty", {})
    earlier(storage_url, "mute", {1e-3: None})
    other = {
        "batch.size": {"type": "int", "low": 4, "high": 16},
        "model.reduction": {"type": "int", "low": 2, "high": 5},
    }
    open_study(open_storage(storage_url), study_spec(name="other", search=other, enqueue=[]))
    with pytest.raises(StudyError) as refused:
        refuse_unfit(open_storage(storage_url), warm("new", "los", "loss", "empty", "mute", "other"))
    text = str(refused.value)
    for part in (
        "new: is the study itself",
        "los: the store has no study of this name; it has `loss`",
        "loss: optimises validation_loss",
        "empty: has no complete trial yet, of 0",
        "mute: has 1 complete trial, but no feasible one",
        "other: has no parameter in common",
        "other: has no complete trial yet",
    ):
        assert part in text
    assert "new" not in optuna.get_all_study_names(open_storage(storage_url))


def test_a_study_goes_on_without_one_that_was_deleted_since(storage_url: str) -> None:
    earlier(storage_url, "en", {1e-3: 9.0})
    spec = warm("en", enqueue=[])
    storage, _, _ = begun(storage_url, spec)
    optuna.delete_study(study_name="en", storage=storage)
    refuse_unfit(storage, spec)
    assert sources_of(storage, spec) == []
    assert taken(storage_url, spec, 2)[0]["optimizer.lr"] == 1e-3


def test_curves_count_where_trials_train_as_long(storage_url: str) -> None:
    earlier(storage_url, "en", {1e-3: 9.0, 2e-3: 8.0})
    earlier(storage_url, "longer", {1e-3: 9.0}, budget={"frames": 9000, "reports": 4})
    spec = warm("en", "longer")
    storage = open_storage(storage_url)
    assert [len(source.trials) for source in sources_of(storage, spec)] == [2, 1]
    assert [list(curve) for curve in earlier_curves(sources_of(storage, spec), spec)] == [[1], [1]]


def test_a_setting_that_was_trained_again_shows_its_curve_once(storage_url: str) -> None:
    spec = earlier(storage_url, "en", {1e-3: 9.0}, replicates={"top": 1, "seeds": 1})
    _, study, queue = open_queue(storage_url, 1, spec)
    again = take(queue)
    assert Attr.REPLICATE_OF in queue.stored(again).user_attrs
    queue.report(again, 1, 9.1, {Attr.ALIGNMENT: {"1": 0.9}, Attr.LOSS: {"1": 3.0}})
    assert len(study.trials) == 2
    assert len(earlier_curves(sources_of(queue.storage, warm("en")), warm("en"))) == 1


def test_a_study_begins_with_the_settings_of_another_one(lab: Lab) -> None:
    lab.tuner().optimize(trials=2)
    lab.define(
        name="new", enqueue=[], sampler={"seed": 1, "warm_start": ["lab"]}, corpus="demo:ru", search=STUDY["search"]
    )
    assert lab.tuner().optimize(trials=1).states == {"COMPLETE": 1}
    assert optuna.load_study(study_name="new", storage=open_storage(lab.url)).trials[0].params == GUIDED
