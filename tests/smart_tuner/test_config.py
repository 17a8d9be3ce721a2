from pathlib import Path
from typing import Any

import pytest
import yaml

from smart_tuner.config import Settings, load_settings, masked
from smart_tuner.errors import SettingsError
from smart_tuner.workspace import shipped

SECRET = "hunter2"
URL = f"postgresql+psycopg://me:{SECRET}@db.example/studies"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SMART_TUNER_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    return tmp_path


def local(text: str) -> None:
    Path("config/local.yaml").write_text(text, encoding="utf-8")


def test_the_shipped_file_has_every_setting_with_its_default() -> None:
    raw = yaml.safe_load((shipped("config") / "default.yaml").read_text(encoding="utf-8"))
    assert set(raw) == set(Settings.model_fields)
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert load_settings().model_dump() == defaults


def test_the_default_stores_are_inside_the_workspace() -> None:
    settings = load_settings(workspace="some where")
    assert settings.storage_url == "sqlite:///some where/studies.db"
    assert settings.mlflow_url == "sqlite:///some where/mlflow.db"
    assert load_settings(workspace="/abs").storage_url == "sqlite:////abs/studies.db"


def test_argument_before_environment_before_file_before_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().jobs == "auto"
    local("jobs: 2\nmlflow: false\n")
    assert load_settings().jobs == 2
    monkeypatch.setenv("SMART_TUNER_JOBS", "3")
    assert load_settings().jobs == 3
    assert load_settings(jobs=4).jobs == 4
    assert load_settings(jobs=None).jobs == 3
    monkeypatch.setenv("SMART_TUNER_JOBS", "")
    assert load_settings().jobs == 2
    assert load_settings().mlflow is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("job: 2", "`job` is no known key; nearest: `jobs`"),
        ("storge: x", "`storge` is no known key; nearest: `storage`"),
        ("jobs: 0", "`jobs` must be `auto` or a whole number of at least 1, but got 0"),
        ("jobs: true", "`jobs` must be `auto`"),
        ("executor: slurm", "`executor` must be 'local' or 'ray', but got 'slurm'"),
        ("devices: a,b", "`devices` must be `auto` or the numbers of GPUs, such as 0,1"),
        ("trials_per_device: 0", "`trials_per_device` must be at least 1"),
        ("stop_grace_seconds: -1", "`stop_grace_seconds` must be at least 0, but got -1"),
        ("stop_grace_seconds: .inf", "`stop_grace_seconds` must be finite"),
        ("device: gpu", "`device` must be auto, cpu, cuda"),
        ("mlflow: perhaps", "`mlflow` must be true or false"),
        ("storage: studies.db", "`storage` must be a URL"),
        ("workspace: a?b", "`workspace` must not hold ? or #"),
        ("jobs: 1\njobs: 2", "line 2: is no valid YAML: the key `jobs` is given twice"),
        ("jobs", "must hold a mapping"),
    ],
)
def test_an_invalid_file_is_refused_with_its_key_and_a_hint(text: str, expected: str) -> None:
    local(text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith("config/local.yaml")
    assert expected in str(caught.value)


def test_an_invalid_variable_is_named_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    local("device: gpu")
    monkeypatch.setenv("SMART_TUNER_JOBS", "many")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    first, second = sorted(str(caught.value).splitlines())
    assert first.startswith("config/local.yaml: `device` ")
    assert second.startswith("environment: `SMART_TUNER_JOBS` must be")


def test_an_unknown_variable_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_TUNER_WORKSPCE", "/x")
    with pytest.raises(SettingsError, match=r"`SMART_TUNER_WORKSPCE`.*nearest: `SMART_TUNER_WORKSPACE`"):
        load_settings()


def test_an_invalid_argument_is_named_as_an_option() -> None:
    with pytest.raises(SettingsError, match=r"option: `jobs` must be"):
        load_settings(jobs=-1)


@pytest.mark.parametrize("source", ["argument", "environment", "file"])
def test_passwords_are_never_shown(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    explicit: dict[str, Any] = {}
    if source == "argument":
        explicit = {"storage": URL, "tracking_uri": f"https://x.example?token={SECRET}"}
    elif source == "environment":
        monkeypatch.setenv("SMART_TUNER_STORAGE", URL)
    else:
        local(f"storage: {URL}")
    settings = load_settings(**explicit)
    assert settings.storage_url == URL
    for shown in (
        repr(settings),
        str(settings),
        repr(settings.storage),
        f"{settings.storage}",
        settings.model_dump_json(),
    ):
        assert SECRET not in shown
    assert "me:***@db.example" in repr(settings)


@pytest.mark.parametrize("text", [f"storage: {{url: '{URL}'}}", f"storag: {URL}", f"jobs: {URL}"])
def test_passwords_are_not_shown_in_errors(text: str) -> None:
    local(text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert SECRET not in str(caught.value)
    assert SECRET not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me:a@b/c@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("http://s3cr3t@host", "http://***@host"),
        ("redis://:pw@host", "redis://:***@host"),
        ("mysql://host/db?user=me&password=pw&ssl=1", "mysql://host/db?user=me&password=***&ssl=1"),
        ("https://host?access_token=pw", "https://host?access_token=***"),
        ("sqlite:////home/a@b/studies.db", "sqlite:////home/a@b/studies.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("cannot reach postgresql://me:pw@host now", "cannot reach postgresql://me:***@host now"),
        ("the scheme is lacking: me:pw@host/db", "the scheme is lacking: me:***@host/db"),
        ("dsn: host=h password='p w' dbname=d", "dsn: host=h password=*** dbname=d"),
        ("models:/quickstart@champion", "models:/quickstart@champion"),
    ],
)
def test_masking(url: str, expected: str) -> None:
    assert masked(url) == expected


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().jobs = 3  # type: ignore[misc]
