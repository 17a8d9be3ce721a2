"""`python -m trainer` on a small corpus: called in this process, or started as another one."""

import json
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from trainer import __main__ as door
from trainer.dotted import merge
from trainer.protocol import EventKind, RunDir, all_events

TIMEOUT = 60.0  # seconds to wait for a process
SMALL: dict[str, Any] = {
    "preset": "tiny",
    "corpus": {"source": "demo:en:24", "validation_share": 0.1},
    "model": {
        "embedding_dim": 16,
        "encoder_dim": 16,
        "prenet_dim": 16,
        "attention_rnn_dim": 16,
        "attention_dim": 16,
        "decoder_rnn_dim": 16,
        "postnet_dim": 16,
    },
    "batch": {"size": 8},
    "budget": {"frames": 24_000, "reports": 3},
    "logging": {"progress_every_updates": 2},
    "device": {"name": "cpu", "threads": 1},
}


def call_main(*arguments: str) -> int:
    """Call `main`, and undo its changes to this process: handlers of logs and signals."""
    handlers = logging.root.handlers[:]
    level = logging.root.level
    caught = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    logging.root.handlers.clear()
    try:
        return door.main(list(arguments))
    finally:
        for handler in logging.root.handlers:
            handler.close()
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
        for number, action in caught.items():
            signal.signal(number, action)


def configure(folder: Path, cache: Path, **changes: Any) -> RunDir:
    """Write config.json of a run whose folder has a difficult name."""
    run = RunDir(folder / "a'; echo foo")
    run.create()
    paths = {"run": str(run.path), "tensorboard": str(folder / "logs 0"), "cache": str(cache)}
    run.config.write_text(json.dumps(merge(merge(SMALL, {"paths": paths}), changes)))
    return run


def start_trainer(run: RunDir, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", "--config", str(run.config), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_event(run: RunDir, process: "subprocess.Popen[str]", kind: EventKind, count: int = 1) -> None:
    deadline = time.monotonic() + TIMEOUT
    while kinds_of(run).count(kind) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"no {kind} event"
        time.sleep(0.05)


def kinds_of(run: RunDir) -> list[EventKind]:
    return [event.kind for event in all_events(run.events)]
