"""The corpus: checked, and turned into features once, before any trial. The trainer does it, in a separate process."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from smart_tuner.errors import CorpusRefused, SmartTunerError
from smart_tuner.machine.capacity import Capacity
from smart_tuner.masking import without_secrets
from smart_tuner.run.context import Context
from smart_tuner.spec import StudySpec
from smart_tuner.terminal.screen import can_redraw, print_line
from smart_tuner.workspace import anchored
from trainer.config import TrainerConfig, unflatten
from trainer.protocol import ExitCode

GRACE_SECONDS = 3.0
LINE_SECONDS = 60.0  # between two lines of progress in a log


def prepare_corpus(config: TrainerConfig, console: Console, *, lists_only: bool = False) -> Mapping[str, Any]:
    """Check the corpus and compute its features. Returns how much speech there is.

    lists_only: check only its lists, its texts and whether its files exist, which takes a second and computes or writes
    nothing. Then it returns the number of clips, and an empty mapping for an embedded corpus.
    Raises CorpusRefused with the trainer's own message where the corpus cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="smart-tuner-") as folder:
        path = Path(folder) / "config.json"
        path.write_text(config.to_json(), encoding="utf-8")
        how = ["--check-corpus"] if lists_only else ["--prepare", "--progress", "json"]
        command = [sys.executable, "-P", "-m", "trainer", *how, "--config", str(path)]
        # A session of its own: Ctrl-C in the terminal reaches only us, and we end it. Tied: it ends when we are gone.
        with subprocess.Popen(
            [*command, "--tied"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",  # a library may write names of files in another encoding
            start_new_session=True,
            env=without_secrets(os.environ),
        ) as process:
            try:
                return _follow(process, console)
            except KeyboardInterrupt:
                console.print("stopping; what is prepared is kept", highlight=False)
                raise
            finally:
                _end(process)


def prepare_study(context: Context, spec: StudySpec, capacity: Capacity) -> None:
    """Check the corpus, and compute the features that all trials share; no searched parameter changes them.

    A voice that trials start from is checked, too: with one, no parameter that shapes the model is searched.
    Raises as `prepare_corpus`.
    """
    device = capacity.devices[0] if capacity.here else "cpu"  # the trainer checks that the device exists
    config = _shared_config(spec, device, asdict(context.workspace.paths(spec.name, 0)))
    console = context.console
    prepared = prepare_corpus(anchored(config), console)
    left_out = f", {prepared['skipped']} longer ones left out" if prepared["skipped"] else ""
    console.print(
        f"{spec.corpus}: {prepared['minutes']:.1f} minutes of speech, {prepared['train']} clips to train and "
        f"{prepared['validation']} to validate{left_out}; {capacity}.",
        highlight=False,
        soft_wrap=not console.is_terminal,  # no line breaks in a log
    )


def check_corpus_of(spec: StudySpec, console: Console) -> Mapping[str, Any]:
    """Find faults of the corpus before workers on other machines do. Returns and raises as `prepare_corpus`."""
    return prepare_corpus(anchored(_shared_config(spec, "cpu", {})), console, lists_only=True)


def _shared_config(spec: StudySpec, device: str, paths: Mapping[str, Any]) -> TrainerConfig:
    """What all trials share and features depend on."""
    shared = {k: v for k, v in spec.fixed.items() if k.startswith(("corpus.", "audio.", "model.", "warm_start"))}
    raw = unflatten({"preset": spec.preset, "corpus.source": spec.corpus, **shared})
    raw |= {"device": {"name": device}, "paths": dict(paths)}
    return TrainerConfig.from_mapping(raw, f"study {spec.name!r}")


def _end(process: subprocess.Popen[str]) -> None:
    """Give it a moment to remove unfinished files, then kill it; a second Ctrl-C kills it at once."""
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()


def _follow(process: subprocess.Popen[str], console: Console) -> Mapping[str, Any]:
    assert process.stdout is not None
    assert process.stderr is not None
    complaints: deque[str] = deque(maxlen=40)
    reader = Thread(target=_collect, args=(process.stderr, complaints), daemon=True)
    reader.start()
    prepared: dict[str, Any] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    moves = can_redraw(console)
    printed = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not moves) as progress:
        tasks: dict[str, Any] = {}
        for line in process.stdout:
            message = json.loads(line)
            if "prepared" in message or "found" in message:
                prepared = message.get("prepared") or message.get("found") or {}
                continue
            what = message["what"]
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=message["total"])
            progress.update(tasks[what], completed=message["done"])
            if not moves and time.monotonic() - printed >= LINE_SECONDS:
                printed = time.monotonic()
                print_line(console, f"{what}: {message['done']} of {message['total']}")
    code = process.wait()
    reader.join()
    if code == ExitCode.BAD_INPUT:
        raise CorpusRefused("".join(complaints).strip())
    if code != ExitCode.FINISHED:
        raise SmartTunerError(f"preparing the corpus failed (exit code {code}):\n{''.join(complaints).strip()}")
    return prepared


def _collect(stream: IO[str], lines: deque[str]) -> None:
    with suppress(ValueError):  # the stream was closed, since nobody waits for the process any longer
        lines.extend(stream)
