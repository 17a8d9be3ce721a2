"""The features that are sent to a node: which files, and how they are found. Nothing here starts Ray."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from smart_tuner.executors.ray import transfer


def test_features_are_sent_with_their_settings_and_found_without_our_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The features are of an earlier version, in a cache that cannot be written, and another process tries to."""
    folder = tmp_path / "cache" / "features" / "0123"
    folder.mkdir(parents=True)
    for name in ("mels.npy", ".settings.json.tmp"):
        (folder / name).touch()
    trainer = tmp_path / "trainer"
    printed = json.dumps({"features": str(folder), "settings": {"format": 3}})
    trainer.write_text(f"#!/bin/sh\nenv > '{tmp_path}/environment'\necho '{printed}'\n")
    trainer.chmod(0o755)
    monkeypatch.setattr(transfer, "sys", SimpleNamespace(executable=str(trainer)))
    monkeypatch.setenv("SMART_TUNER_STORAGE", "postgresql://me:hunter2@host/studies")
    config = {"corpus": {"source": "corpus"}, "paths": {"cache": str(tmp_path / "cache")}}
    found = transfer.Uploads().features(tmp_path / "config.json", config)
    assert found is not None
    assert found.files == {"mels.npy": folder / "mels.npy", "settings.json": b'{"format": 3}'}
    assert "hunter2" not in (tmp_path / "environment").read_text()
