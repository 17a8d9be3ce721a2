"""The voices of a workspace: a folder each, with the voice itself, and where it comes from."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smart_tuner.workspace import VOICE_FILE, Workspace
from trainer.files import write_atomically

ABOUT = "voice.json"
REQUEST = "request.json"


@dataclass(frozen=True)
class VoiceFolder:
    """`<workspace>/voices/<name>`. Only `publish` and `write_request` write there."""

    path: Path

    @property
    def voice(self) -> Path:
        return self.path / VOICE_FILE

    def write_request(self, request: Mapping[str, Any]) -> None:
        """Keep what was asked for, so that the same command continues it."""
        self.path.mkdir(parents=True, exist_ok=True)
        _write_json(self.path / REQUEST, request)

    def request(self) -> Mapping[str, Any] | None:
        """None where no training of this voice was ever begun here."""
        try:
            request: dict[str, Any] = json.loads((self.path / REQUEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return request

    def publish(self, checkpoint: Path, about: Mapping[str, Any]) -> None:
        """Copy the voice of a training here. Raises OSError where the disk is full; an older voice stays then."""
        self.path.mkdir(parents=True, exist_ok=True)
        with write_atomically(self.voice) as beside:
            shutil.copyfile(checkpoint, beside)
        _write_json(self.path / ABOUT, about)


def voice_folder(workspace: Path, name: str) -> VoiceFolder:
    return VoiceFolder(Workspace(workspace).voices / name)


def name_of_corpus(corpus: str) -> str:
    """That of the folder or list, or of the embedded corpus, with what names of studies may hold."""
    stem = corpus.replace(":", "-") if corpus.startswith("demo:") else Path(corpus).resolve().stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "voice"


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with write_atomically(path) as beside:
        beside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
