"""What optuna-dashboard gets to see of a study: artifacts, notes, flat attributes. Its own code reads them back here."""

import json
import logging
from pathlib import Path

import pytest
from lab import Lab
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from optuna.trial import FrozenTrial

from smart_tuner.store.attributes import Attr
from smart_tuner.store.storage import open_storage

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> "Lab":
    """A study of one trial that completes and one that is pruned, both with pictures and sounds."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        lab = Lab(tmp_path_factory.mktemp("shown"), monkeypatch)
        lab.order(any={"hold_unguided_at": 2, "exhibits": True})
        lab.tuner(jobs=2).optimize(2)
        return lab
