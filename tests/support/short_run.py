"""A model of a few thousand weights and a run of a second, for tests of training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trainer import checkpoint_files
from trainer.config import TrainerConfig
from trainer.data.features import Features
from trainer.dotted import merge
from trainer.loop import train_on
from trainer.model import Tacotron2
from trainer.protocol import Event, EventKind, EventReader, RunDir
from trainer.resuming import open_state
from trainer.text import SYMBOLS

CPU = torch.device("cpu")
FLOOR = 1e-5
SMALL: dict[str, Any] = {
    "preset": "tiny",
    "audio": {"n_mels": 8},
    "model": {
        "embedding_dim": 16,
        "encoder_dim": 16,
        "encoder_convolutions": 1,
        "prenet_dim": 8,
        "attention_rnn_dim": 16,
        "attention_dim": 8,
        "attention_dropout": 0.1,
        "decoder_dropout": 0.1,
        "location_filters": 4,
        "location_kernel": 7,
        "decoder_rnn_dim": 16,
        "postnet_dim": 8,
        "postnet_convolutions": 2,
    },
    "batch": {"size": 4},
    "budget": {"frames": 4000, "reports": 4},
    "validation": {"free_running_utterances": 2},
    "logging": {"progress_every_updates": 1, "tensorboard": False, "pictures": False, "samples": False},
    "device": {"name": "cpu", "threads": 1},
}


def small_config(folder: Path, **changes: Any) -> TrainerConfig:
    return TrainerConfig.from_mapping(merge(merge(SMALL, changes), {"paths": {"run": str(folder)}}))


def small_model(seed: int = 3, **changes: Any) -> Tacotron2:
    torch.manual_seed(seed)
    config = small_config(Path("unused"), model=changes)
    return Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels)


class Run:
    """One start of a run: its exit code, events and state."""

    def __init__(
        self, config: TrainerConfig, features: Features, stop_reason: Callable[[], str | None] = lambda: None
    ) -> None:
        self.dir = RunDir(Path(config.paths.run))
        record = EventReader(self.dir.events)
        list(record.read())  # skips the events of earlier starts
        self.state = open_state(config, features)
        self.code = train_on(self.state, stop_reason)
        self.events = list(record.read())

    def of(self, kind: EventKind) -> list[Event]:
        return [event for event in self.events if event.kind is kind]

    @property
    def last(self) -> dict[str, Any]:
        return checkpoint_files.load(self.dir.last_checkpoint)


_OF_THE_MACHINE = ("frames_per_second", "memory_bytes")


def figures_of(events: list[Event]) -> list[tuple[str, int, int, dict[str, Any]]]:
    """Progress and validation events without figures that depend on the machine."""
    kinds = (EventKind.PROGRESS, EventKind.VALIDATION)
    return [
        (e.kind, e.frames, e.update, {k: v for k, v in e.data.items() if k not in _OF_THE_MACHINE})
        for e in events
        if e.kind in kinds
    ]


def same(a: Any, b: Any) -> bool:
    """Bit-equal, including all nested values."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def stop_after(calls: int, reason: str = "enough") -> Callable[[], str | None]:
    """A request to stop before update `calls`, counted from 0."""
    asked = iter(range(10**9))
    return lambda: reason if next(asked) >= calls else None
