"""The voices of a workspace: a folder each, with the voice itself, and where it comes from."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smart_tuner.names import name_from
from smart_tuner.workspace import VOICE_FILE, Workspace, anchor
from trainer.files import write_atomically

ABOUT = "voice.json"
REQUEST = "request.json"  # of `smart-tuner train`
PLAN = "plan.json"  # of `smart-tuner voice`


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
        return self._read(REQUEST)

    def is_of(self, corpus: str) -> bool:
        """Whether a voice of this corpus, as `anchor` gives it, was begun here."""
        return any((self._read(name) or {}).get("corpus") == corpus for name in (PLAN, REQUEST))

    def _read(self, name: str) -> Mapping[str, Any] | None:
        try:
            content: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content

    def publish(self, checkpoint: Path, about: Mapping[str, Any]) -> None:
        """Copy the voice of a training here. Raises OSError where the disk is full; an older voice stays then."""
        self.path.mkdir(parents=True, exist_ok=True)
        with write_atomically(self.voice) as beside:
            shutil.copyfile(checkpoint, beside)
        _write_json(self.path / ABOUT, about)


def voice_folder(workspace: Path, name: str) -> VoiceFolder:
    return VoiceFolder(Workspace(workspace).voices / name)


def name_of_corpus(corpus: str) -> str:
    """That of the folder, of the list without its ending, or of the embedded corpus: what of it can name a study."""
    path = Path(corpus).resolve()
    text = corpus if corpus.startswith("demo:") else path.stem if path.is_file() else path.name
    return name_from(text) or "voice"


def name_of_voice(corpus: str, workspace: Path) -> str:
    """That of the corpus; of a voice that was begun under the name by an earlier rule, that one."""
    name, before = name_of_corpus(corpus), _name_before(corpus)
    source = anchor(corpus)
    has_only_that = voice_folder(workspace, before).is_of(source) and not voice_folder(workspace, name).is_of(source)
    return before if has_only_that else name


def _name_before(corpus: str) -> str:
    """By the rule that there was first: without what follows a last dot, and without letters beyond a-z."""
    stem = corpus.replace(":", "-") if corpus.startswith("demo:") else Path(corpus).resolve().stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "voice"


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with write_atomically(path) as beside:
        beside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
