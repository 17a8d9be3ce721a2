"""Optuna's private parts do what this project needs, and only one module uses them.

If a test fails here with a new version of Optuna, its docstring names the changed part and what depends on it.
"""

import ast
import copy
import inspect
import json
import math
import pickle
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from alembic.script import ScriptDirectory
from lab import open_queue
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Table, select, update
from waiting import wait_until

import smart_tuner
from smart_tuner.store import optuna_internals as internals
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import open_storage

PACKAGE = Path(smart_tuner.__file__).parent
ONLY_HERE = PACKAGE / "store" / "optuna_internals.py"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[RetryingStorage]:
    storage = open_storage(f"sqlite:///{tmp_path}/studies.db")
    yield storage
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture
def study(storage: RetryingStorage) -> optuna.Study:
    return optuna.create_study(storage=storage, study_name="s")


def ask(study: optuna.Study) -> optuna.Trial:
    """A trial that Optuna itself makes."""
    trial_id = internals.storage_of(study).create_new_trial(internals.study_id(study))
    return optuna.Trial(study, trial_id)


def rows(storage: RetryingStorage, table: Table) -> list[dict[str, object]]:
    return storage.transaction(lambda store: [dict(row) for row in store.execute(select(table)).mappings()])


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names(study: optuna.Study) -> set[str]:
    """The private names of the objects of Optuna that this project uses."""
    storage = internals.storage_of(study)
    objects = (study, ask(study), study.trials[0], storage, storage._backend, TPESampler(), TPESampler)
    return {name for one in objects for name in dir(one) if is_private(name)}


def private_uses(path: Path, names: set[str]) -> Iterator[str]:
    """Private imports and attributes of Optuna. Private attributes of the module itself are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    stored = (node for node in ast.walk(tree) if isinstance(getattr(node, "ctx", None), ast.Store))
    own |= {str(getattr(node, "attr", None) or getattr(node, "id", None)) for node in stored}
    for node in ast.walk(tree):
        found = False
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "optuna":
            found = any(is_private(name) for name in [*(node.module or "").split("."), *(a.name for a in node.names)])
        elif isinstance(node, ast.Import):
            found = any(a.name.startswith("optuna.") and "._" in a.name for a in node.names)
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            its_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls") and node.attr in own
            found = not its_own and (node.attr in names or ast.unparse(node).startswith("optuna."))
        if found:
            yield f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}"


def test_only_one_module_uses_private_parts_of_optuna(study: optuna.Study) -> None:
    names = private_names(study)
    assert list(private_uses(ONLY_HERE, names)), "they are recognised"
    others = [path for path in PACKAGE.rglob("*.py") if path != ONLY_HERE]
    assert [use for path in others for use in private_uses(path, names)] == []


def test_ids_are_the_keys_of_the_storage(study: optuna.Study, storage: RetryingStorage) -> None:
    """`study_id`, `trial_id`: every statement of ours, heartbeats and notes."""
    ask(optuna.create_study(storage=storage, study_name="other"))
    ask(study)
    trial = ask(study)
    assert storage.get_study_name_from_id(internals.study_id(study)) == "s"
    assert storage.get_trial(internals.trial_id(trial)).number == trial.number == 1
    assert internals.trial_id(study.trials[1]) == internals.trial_id(trial)


def test_a_study_is_stored_until_it_is_deleted(study: optuna.Study, storage: RetryingStorage) -> None:
    """`is_stored`: the audition page reports a deleted study."""
    assert internals.is_stored(study)
    storage.delete_study(internals.study_id(study))
    assert not internals.is_stored(study)


def test_the_tables_hold_what_optuna_writes(study: optuna.Study, storage: RetryingStorage) -> None:
    """The tables: every statement of ours; numbers and their types: curves, and the value of a trial."""
    study.set_user_attr("u", 1)
    storage.set_study_system_attr(internals.study_id(study), "s", 2)
    trial = ask(study)
    trial_id = internals.trial_id(trial)
    trial.set_user_attr("u", 3)
    storage.set_trial_system_attr(trial_id, "s", 4)
    storage.record_heartbeat(trial_id)
    losses = [0.25, math.inf, -math.inf, math.nan]
    for step, loss in enumerate(losses):
        trial.report(loss, step)
    study.tell(trial, 0.5)
    (stored,) = rows(storage, internals.TRIALS)
    assert (stored["trial_id"], stored["number"], stored["state"]) == (trial_id, 0, TrialState.COMPLETE)
    assert [row["study_name"] for row in rows(storage, internals.STUDIES)] == ["s"]
    for table, value in (
        (internals.STUDY_USER_ATTRIBUTES, 1),
        (internals.STUDY_SYSTEM_ATTRIBUTES, 2),
        (internals.TRIAL_USER_ATTRIBUTES, 3),
        (internals.TRIAL_SYSTEM_ATTRIBUTES, 4),
    ):
        assert [json.loads(str(row["value_json"])) for row in rows(storage, table)] == [value], table
    (value,) = rows(storage, internals.TRIAL_VALUES)
    assert (value["objective"], value["value"], value["value_type"]) == (0, 0.5, internals.FINITE_VALUE)
    reports = rows(storage, internals.INTERMEDIATE_VALUES)
    pairs = [(row["intermediate_value"], row["intermediate_value_type"]) for row in reports]
    assert pairs == [internals.to_stored_value(loss) for loss in losses]
    assert repr([internals.from_stored_value(*pair) for pair in pairs]) == repr(losses)
    assert [row["trial_id"] for row in rows(storage, internals.HEARTBEATS)] == [trial_id]


def test_the_keys_of_system_attributes_are_optunas(study: optuna.Study, tmp_path: Path) -> None:
    """The samplers learn from constraints, queued settings are tried, the dashboard shows artifacts."""
    study.enqueue_trial({"x": 1.0})
    trial = study.get_trials(deepcopy=False)[0]
    assert trial.system_attrs[internals.FIXED_PARAMS_KEY] == {"x": 1.0}
    running = ask(study)
    running.set_constraint("alignment", 0.1)
    (tmp_path / "folder").mkdir()
    (tmp_path / "picture").touch()
    store = FileSystemArtifactStore(tmp_path / "folder")
    name = upload_artifact(study_or_trial=running, file_path=str(tmp_path / "picture"), artifact_store=store)
    written = study.trials[1].system_attrs
    assert written[internals.OPTUNA_CONSTRAINT_PREFIX + "alignment"] == 0.1
    assert json.loads(written[internals.ARTIFACTS_ATTR_PREFIX + name])["mimetype"] == internals.DEFAULT_MIME_TYPE


def test_the_newest_migration_is_the_version_of_new_tables(storage: RetryingStorage) -> None:
    """`MIGRATIONS`: a store that another Optuna made is refused."""
    newest = next(iter(ScriptDirectory(str(internals.MIGRATIONS)).walk_revisions()))
    assert newest.revision == storage.get_head_version() == storage.get_current_version()


def test_every_method_that_optunas_cache_calls_is_retried() -> None:
    """`CALLED_BY_CACHE`, `STALE_TRIALS_METHOD`: trials go on while the store is away."""
    called = set(re.findall(r"self\._backend\.(\w+)", inspect.getsource(_CachedStorage)))
    public = {name for name in vars(optuna.storages.BaseStorage) if not name.startswith("_")}
    needs_no_store = {"get_heartbeat_interval", "get_heartbeat_stale_trial_callback", "check_trial_is_updatable"}
    for name in (called | public) - needs_no_store - {"remove_session"}:
        method = getattr(RetryingStorage, name)
        assert method.__module__ == "smart_tuner.store.retrying" or hasattr(method, "__wrapped__"), name


def test_refreshed_trials_are_those_that_samplers_see(tmp_path: Path) -> None:
    """`refresh_trials`, `ParameterGroups`: a sampler learns from the trials of other workers."""
    url = f"sqlite:///{tmp_path}/studies.db"
    storage, study, queue = open_queue(url, 9)
    groups = internals.ParameterGroups()
    assert groups.calculate(study, use_cache=True).search_spaces == []
    space = {"x": FloatDistribution(0, 1)}
    study.add_trial(optuna.create_trial(params={"x": 0.5}, distributions=space, value=1.0))
    assert groups.calculate(study, use_cache=True).search_spaces == []
    internals.refresh_trials(study)
    assert groups.calculate(study, use_cache=True).search_spaces == [space]
    del queue
    storage.remove_session()
    storage.engine.dispose()


class Counted:
    """A lock that counts who asks for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.asked = 0

    def __enter__(self) -> None:
        self.asked += 1
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def test_threads_share_one_read_that_began_after_all_asked(study: optuna.Study, storage: RetryingStorage) -> None:
    """`_CachedStorage._read_trials_from_remote_storage` is where a study's trials come from; else each thread reads."""
    internals.share_reads(study)
    cache = cast(Any, internals.storage_of(study))
    cache._reading = Counted()
    begun, go = threading.Event(), threading.Event()
    reads: list[int] = []
    read = storage._get_trials

    def slowly(*arguments: Any, **options: Any) -> list[FrozenTrial]:
        found = read(*arguments, **options)
        reads.append(len(found))
        begun.set()
        assert go.wait(30)
        return found

    storage._get_trials = slowly  # type: ignore[method-assign]
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(study.get_trials)
        assert begun.wait(30)
        storage.create_new_trial(internals.study_id(study))
        others = [pool.submit(study.get_trials) for _ in range(4)]
        wait_until(lambda: cache._reading.asked == 5)
        go.set()
        assert [len(other.result()) for other in others] == [1] * 4, "they asked after it was there"
        first.result()
    assert reads == [0, 1]

    storage._get_trials = lambda *_, **options: 1 / 0  # type: ignore[assignment]
    with pytest.raises(ZeroDivisionError):
        study.get_trials()
    storage._get_trials = read  # type: ignore[method-assign]
    storage.create_new_trial(internals.study_id(study))
    assert len(study.get_trials()) == 2, "a read that failed answers nobody"
    assert len(pickle.loads(pickle.dumps(study)).get_trials()) == 2


def test_shared_groups_change_no_sample() -> None:
    """`share_groups`, `ParameterGroups`: a study with a seed draws as Optuna's sampler would."""

    class Counted(internals.ParameterGroups):
        calls = 0

        def calculate(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            self.calls += 1
            return super().calculate(*arguments, **options)  # type: ignore[arg-type]

    def draw(groups: Counted | None) -> list[dict[str, object]]:
        with pytest.warns(optuna.exceptions.ExperimentalWarning):
            sampler = TPESampler(seed=1, n_startup_trials=3, group=True, multivariate=True)
        if groups is not None:
            internals.share_groups(sampler, groups)
        study = optuna.create_study(sampler=sampler)
        study.optimize(conditional, n_trials=12)
        return [trial.params for trial in study.trials]

    groups = Counted()
    assert draw(groups) == draw(None)
    assert groups.calls >= 12


def conditional(trial: optuna.Trial) -> float:
    """The second parameter depends on the first."""
    kind = trial.suggest_categorical("kind", ["a", "b"])
    return trial.suggest_float(kind, 0, 1)


def test_a_finished_trial_that_waits_again_is_read_again(study: optuna.Study, storage: RetryingStorage) -> None:
    """`forget_trials`. A worker that is at work while `optimize --trials` lets ended trials go on depends on it."""
    study.tell(ask(study), 1.0)
    assert study.get_trials(deepcopy=False)[0].state is TrialState.COMPLETE
    waits = update(internals.TRIALS).values(state=TrialState.WAITING, datetime_complete=None)
    storage.transaction(lambda store: store.execute(waits))
    internals.forget_trials(study)
    assert study.get_trials(deepcopy=False)[0].state is TrialState.WAITING
    assert internals.storage_of(study).get_trial(internals.trial_id(study.trials[0])).state is TrialState.WAITING
    storage.transaction(lambda store: store.execute(waits.values(state=TrialState.RUNNING)))
    assert study.get_trials(deepcopy=False)[0].state is TrialState.RUNNING


def test_samplers_see_paused_trials_as_pruned(study: optuna.Study) -> None:
    """`StudyAsShown`. What a sampler learns from depends on it: trials that have paused, the present ranges."""
    study.enqueue_trial({"x": 1.0}, user_attrs={"paused": True})
    study.enqueue_trial({"x": 2.0})
    study.tell(ask(study), 1.0)

    def as_pruned(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        trials = copy.deepcopy(trials)
        for trial in trials:
            if "paused" in trial.user_attrs:
                trial.state = TrialState.PRUNED
        return list(trials)

    shown = internals.StudyAsShown(study, as_pruned)
    states = (TrialState.PRUNED, TrialState.COMPLETE)
    assert [trial.state for trial in shown.get_trials()] == [TrialState.PRUNED, TrialState.WAITING, TrialState.COMPLETE]
    assert [trial.number for trial in shown.get_trials(states=states)] == [0, 2]
    assert next(trial.state for trial in study.get_trials()) is TrialState.WAITING
    assert shown.study_name == study.study_name
    internals.refresh_trials(study)
    study.enqueue_trial({"x": 3.0})
    assert len(shown.get_trials()) == 3, "those that were read when the trial was taken"
    internals.refresh_trials(study)
    assert len(shown.get_trials()) == 4


def test_one_trial_is_read_alone(study: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """`stored_trial`. A report on one trial must not read all of a large study."""
    for value in (1.0, 2.0):
        study.tell(ask(study), value)
    monkeypatch.setattr(RDBStorage, "_get_trials", None)
    assert internals.stored_trial(study, 1).value == 2.0
