"""Finished trials in TensorBoard's HParams tab: searched parameters, state and final figures of each.

A projection of the store: one small file per trial beside those of its trainer, written once and never read back, so
that a continued trial is shown once. The trainer writes curves, pictures and sound. Needs no torch.
"""

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.figures import HEADLINE, NOT_MEASURED, verdict
from smart_tuner.outcome import Outcome
from smart_tuner.spec import StudySpec
from smart_tuner.spec.parameters import CategoricalParameter, Search
from smart_tuner.store.attributes import Attr
from smart_tuner.store.optuna_internals import stored_trial
from smart_tuner.workspace import Workspace
from trainer.evaluation.verdict import Heard
from trainer.files import write_atomically
from trainer.protocol import Event

# TensorBoard reads a folder's files in the order of their names, each once, so this one comes after the trainer's.
FILE = "events.out.tfevents.9999999999.hparams"
# TensorBoard shows five parameters and five figures unless a person selects more, and its parallel coordinates leave
# out a trial without one of those. So what is heard comes first, which is measured of pruned trials, too. Parameters
# are sorted by name, capitals first.
FIGURES = (
    *(figure.name for figure in HEADLINE),
    "alignment_share_good",
    "gate_f1",
    "stop_error_frames",
    "free_running_duration_error",
)
HEARD = "Heard"  # the verdict
VERDICTS = (*Heard, NOT_MEASURED)
STATE = "State"
STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class TensorBoardSink:
    """Writes nothing for a study that turns TensorBoard off."""

    def __init__(self, study: Study, spec: StudySpec, workspace: Workspace) -> None:
        self._study = study
        self._spec = spec
        self._workspace = workspace

    def trial_started(
        self,
        number: int,
        params: Mapping[str, Any],
        *,
        history: Sequence[Event] = (),
        resumed: bool,
        promoted: bool = False,
        replicate_of: int | None = None,
    ) -> None:
        """Nothing: TensorBoard would not show a state that changes later."""

    def event(self, number: int, event: Event) -> None:
        """Nothing."""

    def trial_ended(self, number: int, outcome: Outcome) -> None:
        if outcome.state.is_final:
            self._write(stored_trial(self._study, number))

    def paused_ended(self, number: int, outcome: Outcome) -> None:
        self._write(stored_trial(self._study, number))

    def sync(self) -> None:
        """Write missing files: of trials whose worker died right after they ended."""
        for trial in self._study.get_trials(deepcopy=False):
            self._write(trial)

    def _write(self, trial: FrozenTrial) -> None:
        path = Path(self._workspace.paths(self._spec.name, trial.number).tensorboard) / FILE
        wanted = self._spec.fixed.get("logging.tensorboard", True) and trial.state.is_finished()
        if wanted and (not path.exists() or Attr.PROMOTED in trial.user_attrs):  # one that was PRUNED before
            # The number comes first, since a narrow column cuts off the end.
            content = event_file(f"{trial.number:04d} {self._spec.name}", trial, self._spec.search)
            with write_atomically(path) as beside:
                beside.write_bytes(content)


def event_file(name: str, trial: FrozenTrial, search: Search) -> bytes:
    """Each final figure is a curve of one point at the trial's number, so that all trials form the study's history."""
    from tensorboard.compat.proto.event_pb2 import Event as Record
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    known, ended = trial.user_attrs.get(Attr.METRICS, {}), _seconds(trial.datetime_complete)
    figures = [Summary.Value(tag=f"final/{key}", simple_value=known[key]) for key in FIGURES if key in known]
    content = io.BytesIO()
    writer = RecordWriter(content)
    writer.write(Record(wall_time=ended, file_version="brain.Event:2").SerializeToString())
    for summary in (_columns(search), _begun(name, trial, search), _ended(trial, ended), Summary(value=figures)):
        writer.write(Record(wall_time=ended, step=trial.number, summary=summary).SerializeToString())
    return content.getvalue()


def _columns(search: Search) -> Any:
    """The columns of the table. Without them, TensorBoard would show every curve as a figure."""
    from tensorboard.plugins.hparams.api_pb2 import Experiment, HParamInfo, MetricInfo, MetricName
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from tensorboard.plugins.hparams.summary_v2 import Discrete, RealInterval

    parameters = []
    for name, values in ((HEARD, map(str, VERDICTS)), (STATE, (ended.name for ended in STATES))):
        info = HParamInfo(name=name, differs=True)
        Discrete(values).update_hparam_info(info)
        parameters.append(info)
    for key, parameter in search.items():
        info = HParamInfo(name=key, differs=not parameter.when)  # parameters that some trials lack come last
        if isinstance(parameter, CategoricalParameter):
            domain = Discrete(_of_one_type(parameter, choice) for choice in parameter.choices)
        else:
            domain = RealInterval(float(parameter.low), float(parameter.high))
        domain.update_hparam_info(info)
        parameters.append(info)
    figures = [MetricInfo(name=MetricName(tag=f"final/{key}"), display_name=key) for key in FIGURES]
    experiment = Experiment(hparam_infos=parameters, metric_infos=figures)
    return _about("experiment", HParamsPluginData(experiment=experiment))


def _begun(name: str, trial: FrozenTrial, search: Search) -> Any:
    """The parameters, and among them verdict and state: there the table shows them, and can filter by them."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    values = {HEARD: verdict(trial.user_attrs.get(Attr.METRICS, {})), STATE: trial.state.name}
    for key, given in trial.params.items():
        parameter = search.get(key)
        values[key] = _of_one_type(parameter, given) if isinstance(parameter, CategoricalParameter) else given
    summary = hparams_pb(values, trial_id=name, start_time_secs=_seconds(trial.datetime_start))
    for value in summary.value:  # maps have another order in each process, but a trial's file must be the same
        about = value.metadata.plugin_data
        about.content = HParamsPluginData.FromString(about.content).SerializeToString(deterministic=True)
    return summary


def _ended(trial: FrozenTrial, seconds: float) -> Any:
    from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    status = STATUS_SUCCESS if trial.state is TrialState.COMPLETE else STATUS_FAILURE
    end = SessionEndInfo(status=status, end_time_secs=seconds)
    return _about("session_end_info", HParamsPluginData(session_end_info=end))


def _about(what: str, content: Any) -> Any:
    """A summary with `content` for the plug-in. Its `api` module has no function for these, and loads TensorFlow."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    about = metadata.create_summary_metadata(content)
    return Summary(value=[Summary.Value(tag=f"_hparams_/{what}", metadata=about, tensor=metadata.NULL_TENSOR)])


def _of_one_type(parameter: CategoricalParameter, value: Any) -> Any:
    """A column has values of one type: text, if the choices have several types."""
    return value if len({type(choice) for choice in parameter.choices}) == 1 else str(value)


def _seconds(at: datetime | None) -> float:
    """Since the epoch. Optuna's times are naive and local, as `timestamp` expects."""
    return at.timestamp() if at is not None else 0.0
