"""TensorBoard's table of trials, read from the files by TensorBoard itself."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from lab import GUIDED, UNGUIDED, Lab, study_spec
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from smart_tuner.figures import verdict
from smart_tuner.sinks.tensorboard import FIGURES, FILE, TensorBoardSink
from smart_tuner.spec.parameters import CategoricalParameter
from smart_tuner.workspace import Workspace


def _table(logs: Path) -> dict[str, tuple[dict[str, Any], dict[str, Any], int]]:
    """{trial: (parameters, figures, status)}, by the HParams plug-in."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.data.provider import ListHyperparametersResult
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2
    from tensorboard.plugins.hparams.backend_context import Context
    from tensorboard.plugins.hparams.list_session_groups import Handler

    read = EventMultiplexer().AddRunsFromDirectory(str(logs)).Reload()
    provider = MultiplexerDataProvider(read, str(logs))
    context, here = Context(TBContext(data_provider=provider)), RequestContext()
    found = context.hparams_metadata(here, "")
    columns = context.experiment_from_metadata(here, "", True, found, ListHyperparametersResult([], []))
    assert [info.name for info in columns.hparam_infos[:2]] == ["Heard", "State"]
    assert columns.metric_infos[0].display_name == "free_running_distance"
    statuses = [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING, api_pb2.STATUS_UNKNOWN]
    request = api_pb2.ListSessionGroupsRequest(allowed_statuses=statuses, slice_size=99)
    groups = Handler(here, context, "", request).run().session_groups
    return {
        group.name: (
            {key: getattr(value, value.WhichOneof("kind")) for key, value in group.hparams.items()},
            {value.name.tag: value.value for value in group.metric_values},
            group.sessions[0].status,
        )
        for group in groups
    }


def test_each_trial_is_shown_once_with_its_parameters_state_and_figures(lab: Lab) -> None:
    from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS

    lab.define(
        search={
            "optimizer.lr": {"type": "float", "low": 5e-4, "high": 5e-3, "log": True},
            "guided_attention.enabled": {"type": "categorical", "choices": [True, False]},
            "guided_attention.sigma": {
                "type": "float", "low": 0.1, "high": 0.5, "when": {"guided_attention.enabled": True},
            },
            "optimizer.kind": {"type": "categorical", "choices": ["adam", "adamw"]},
            "batch.size": {"type": "categorical", "choices": [8, 16]},
        },
        enqueue=[
            {**GUIDED, "guided_attention.sigma": 0.3, "optimizer.kind": "adam", "batch.size": 8},
            {**UNGUIDED, "optimizer.kind": "adamw", "batch.size": 16},
            {**GUIDED, "guided_attention.sigma": 0.2, "optimizer.kind": "adam", "batch.size": 16},
        ],
    )  # fmt: skip
    lab.order(t0={"act_once": ["crash"]}, t2={"act": ["bad input"], "at": 1})
    lab.tuner().optimize(3)
    assert lab.resumed(0) == [False, True]
    assert lab.states() == ["COMPLETE", "PRUNED", "FAIL"]
    table = _table(lab.workspace / "logs")
    assert list(table) == ["0000 lab", "0001 lab", "0002 lab"]
    complete, pruned, failed = table.values()
    assert complete[0] == {
        "Heard": "intelligible in parts",
        "State": "COMPLETE",
        "optimizer.lr": 2e-3,
        "guided_attention.enabled": True,
        "guided_attention.sigma": 0.3,
        "optimizer.kind": "adam",
        "batch.size": 8,
    }
    assert pruned[0] == {
        "Heard": verdict(lab.study().trials[1].user_attrs["metrics"]),
        "State": "PRUNED",
        "optimizer.lr": 2e-3,
        "guided_attention.enabled": False,
        "optimizer.kind": "adamw",
        "batch.size": 16,
    }
    assert (failed[0]["Heard"], failed[0]["State"]) == ("not measured", "FAIL")
    assert [row[2] for row in table.values()] == [STATUS_SUCCESS, STATUS_FAILURE, STATUS_FAILURE]
    for number, row in enumerate([complete, pruned]):
        known = lab.study().trials[number].user_attrs["metrics"]
        figures = {f"final/{key}": known[key] for key in FIGURES if key in known}
        assert row[1] == pytest.approx(figures, rel=1e-6)
        assert {"final/validation_loss", "final/alignment"} <= set(figures)
    assert failed[1] == {}


def test_sync_writes_what_is_missing_and_nothing_else(tmp_path: Path) -> None:
    study = optuna.create_study()
    for state in (TrialState.COMPLETE, TrialState.RUNNING, TrialState.FAIL):
        study.add_trial(create_trial(state=state, value=1.0 if state is TrialState.COMPLETE else None))
    board = TensorBoardSink(study, study_spec(), Workspace(tmp_path))
    board.sync()
    first, running, failed = (tmp_path / "logs" / "lab" / f"trial-{number:04d}" / FILE for number in range(3))
    before, written = first.read_bytes(), failed.stat().st_mtime_ns
    first.unlink()
    board.sync()
    assert first.read_bytes() == before
    assert failed.stat().st_mtime_ns == written
    assert not running.exists()


def test_a_study_that_turns_tensorboard_off_gets_no_table(lab: Lab) -> None:
    lab.define(fixed={"logging.tensorboard": False})
    lab.tuner().optimize(1)
    assert lab.states() == ["COMPLETE"]
    assert not list(lab.workspace.glob("logs/**/*"))


def test_choices_of_several_types_are_shown_as_text(tmp_path: Path) -> None:
    choices = (True, 0.5, "both")
    params, study = {"loss.gate_weight": 0.5}, optuna.create_study()
    distributions = {"loss.gate_weight": CategoricalDistribution(choices)}
    study.add_trial(create_trial(state=TrialState.PRUNED, params=params, distributions=distributions))
    mixed = CategoricalParameter(type="categorical", choices=choices)
    spec = study_spec().model_copy(update={"search": {"loss.gate_weight": mixed}})
    TensorBoardSink(study, spec, Workspace(tmp_path)).sync()
    assert _table(tmp_path / "logs")["0000 lab"][0] == {
        "Heard": "not measured",
        "State": "PRUNED",
        "loss.gate_weight": "0.5",
    }
