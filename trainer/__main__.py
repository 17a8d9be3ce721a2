"""`python -m trainer --config F`: train, validate a configuration, or prepare features.

The edge of the trainer: arguments, signals, logging, and the one place where errors become exit codes.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from trainer.config import TrainerConfig
from trainer.errors import UserError
from trainer.protocol import Event, EventKind, EventWriter, ExitCode, RunDir, read_events

if TYPE_CHECKING:
    from trainer.data.features import Features

LEAVE_AT_LATEST = 30.0  # seconds between losing the watching process and leaving without a checkpoint


class StopRequest:
    """Why the run should end, once somebody asked: a signal, or the end of the process that watches."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def listen(self) -> None:
        """First SIGTERM or Ctrl-C: stop after this update, resumable. Second Ctrl-C: at once."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.reason = f"received {signal.Signals(number).name}"
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def tie_to_stdin(self) -> None:
        """Stop when standard input ends: its other end is held by the process that watches, and by nobody else."""
        threading.Thread(target=self._wait_for_end_of_stdin, name="watch-stdin", daemon=True).start()

    def _wait_for_end_of_stdin(self) -> None:
        while os.read(0, 4096):
            pass
        self.reason = "the process that watched this trial is gone"
        threading.Timer(LEAVE_AT_LATEST, os._exit, [ExitCode.STOPPED]).start()


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    # Read when torch is loaded. Threads that wait for each other spin for some microseconds, then sleep: sleeping at
    # once halves the speed of two threads on two idle cores, spinning without end that of busy ones.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    stop = StopRequest()
    if arguments.tied:
        stop.tie_to_stdin()  # before torch is imported: nobody may be left behind in those seconds
    try:
        config = TrainerConfig.load(arguments.config)
        if arguments.check:
            print(f"{arguments.config}: fine")
            return ExitCode.FINISHED
        if arguments.prepare:
            return _prepare(config, arguments.progress)
        stop.listen()
        return _train(config, stop, quiet=arguments.tied)
    except UserError as error:
        print(error, file=sys.stderr)
        return ExitCode.BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer",
        description="Train one Tacotron 2 voice. Started again in the same trial directory, it goes on where it was.",
        epilog='A smallest configuration: {"preset": "tiny", "corpus": {"source": "demo:en"}}. '
        "Exit codes: 0 finished, 2 bad input, 10 stopped and saved, 11 diverged, 12 out of memory.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="F", help="config.json of the run")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="validate the configuration only")
    what.add_argument("--prepare", action="store_true", help="check the corpus and compute its features only")
    parser.add_argument("--progress", choices=["text", "json"], default="text", help="form of --prepare's progress")
    parser.add_argument("--tied", action="store_true", help="stop when standard input ends (used by the tuner)")
    return parser


def _prepare(config: TrainerConfig, form: str) -> int:
    from trainer.loop import choose_device

    choose_device(config.device)
    features = _open_features(config, _show_json if form == "json" else _show_text)
    frames = sum(int(features.frames[i]) for i in (*features.train, *features.validation))
    seconds = frames * config.audio.hop_length / config.audio.sample_rate
    summary = {
        "train": len(features.train),
        "validation": len(features.validation),
        "skipped": features.skipped,
        "minutes": round(seconds / 60, 2),
        "frames": frames,
    }
    print(json.dumps({"prepared": summary}) if form == "json" else f"ready: {summary}", flush=True)
    return ExitCode.FINISHED


def _show_json(done: int, total: int, what: str) -> None:
    print(json.dumps({"done": done, "total": total, "what": what}), flush=True)


def _show_text(done: int, total: int, what: str) -> None:
    end = "\n" if done == total else "\r"
    if sys.stderr.isatty() or done == total:
        print(f"{what}: {done}/{total}", end=end, file=sys.stderr, flush=True)


def _open_features(config: TrainerConfig, progress: Callable[[int, int, str], None]) -> "Features":
    from trainer.data.features import open_features  # imports torch: 2 s that --check and --help need not wait

    return open_features(config, progress)


def _train(config: TrainerConfig, stop: StopRequest, quiet: bool) -> int:
    run = RunDir(Path(config.paths.run))
    run.create()
    _log_to(run.log, quiet)
    try:
        features = _open_features(config, _show_text)
        from trainer.loop import Training

        return Training(config, features, lambda: stop.reason).run()
    except UserError as error:
        return _failed(run, str(error), ExitCode.BAD_INPUT)
    except Exception as error:
        logging.getLogger("trainer").error("%s", traceback.format_exc())
        reason = f"{type(error).__name__}: {error}"
        return _failed(run, reason, ExitCode.OUT_OF_MEMORY if _is_out_of_memory(error) else ExitCode.CRASHED)


def _failed(run: RunDir, reason: str, code: ExitCode) -> ExitCode:
    print(reason, file=sys.stderr)
    before, _ = read_events(run.events)
    frames, update = (before[-1].frames, before[-1].update) if before else (0, 0)
    writer = EventWriter(run.events)
    writer.write(Event(EventKind.FAILED, frames, update, {"reason": reason, "exit_code": int(code)}))
    writer.close()
    return code


def _is_out_of_memory(error: Exception) -> bool:
    """torch says it in three ways: its own type on CUDA, a RuntimeError of the CPU's allocator, MemoryError."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in text
        or "not enough memory" in text
    )


def _log_to(path: Path, quiet: bool) -> None:
    """quiet: into the file alone."""
    handlers: list[logging.Handler] = [logging.FileHandler(path, encoding="utf-8")]
    if not quiet:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers)


if __name__ == "__main__":
    sys.exit(main())
