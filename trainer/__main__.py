"""`python -m trainer --config F`: train, validate a configuration, or prepare features; `import`, `export`: voices.

The edge of the trainer: arguments, signals, logging, and the one place where errors become exit codes.
"""

import argparse
import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.config import TrainerConfig
from trainer.config_file import load_config
from trainer.errors import ConfigError, UserError
from trainer.faults import exit_code_of
from trainer.files import lock
from trainer.last_words import failed, log_to, say, tell
from trainer.protocol import EventKind, ExitCode, RunDir
from trainer.stopping import Stopped, StopRequest, die_with_watcher

if TYPE_CHECKING:
    from trainer.data.features import Features

STANDBY_PAUSE = 2.0  # seconds before one that stands by imports torch, and slows down the first updates beside it
LOCK_PATIENCE = 45.0  # seconds that a watched trainer waits for one before it in its folder, which may be just leaving


def main(argv: list[str] | None = None) -> int:
    arguments = _arguments(argv)
    # Read when torch is loaded. Threads that wait for each other spin for some microseconds, then sleep: sleeping at
    # once halves the speed of two threads on two idle cores, spinning without end that of busy ones.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    stop = StopRequest()
    stop.waits_for_order = arguments.standby
    if arguments.tied or arguments.standby:  # before torch is imported: nobody may be left behind in those seconds
        die_with_watcher()
        stop.tie_to_stdin()
    try:
        if arguments.command:
            return _exchange(arguments)
        if arguments.standby:
            arguments.config, arguments.tied = _stand_by(stop), True
        return _use(load_config(arguments.config), arguments, stop)
    except Stopped as asked:
        say(f"{asked}; what is prepared is kept, and the same command goes on")
        return ExitCode.STOPPED
    except Exception as error:
        code = exit_code_of(error)
        if code == ExitCode.CRASHED:
            raise
        say(error if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
        return code
    except KeyboardInterrupt:  # the second one
        return 128 + signal.SIGINT


def _use(config: TrainerConfig, arguments: argparse.Namespace, stop: StopRequest) -> int:
    if arguments.check:
        return _check(config, arguments.config)
    if arguments.look:
        return _look(config)
    if arguments.locate:
        return _locate(config)
    stop.listen()
    if arguments.prepare:
        return _prepare(config, stop, arguments.progress)
    return _train(config, stop, quiet=arguments.tied)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command and arguments.config:
        parser.error(f"{arguments.command} takes no --config")
    if not arguments.command and not arguments.config and not arguments.standby:
        parser.error("--config is required, or one of the commands import and export")
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer",
        usage="python -m trainer --config F [--check | --look | --locate | --prepare [--progress {text,json}]]\n"
        "                         [--tied]\n"
        "       python -m trainer import NVIDIA.pt --to VOICE.pt [--symbols FILE]\n"
        "       python -m trainer export VOICE.pt --to NVIDIA.pt",
        description="Train one Tacotron 2 voice. Started again in the same trial directory, it goes on where it was.",
        epilog='A smallest configuration: {"preset": "tiny", "corpus": {"source": "demo:en"}}. '
        "Exit codes: 0 finished, 2 bad input, 10 stopped and saved, 11 diverged, 12 out of memory, "
        "13 the disk is full or cannot be written.",
    )
    parser.add_argument(
        "--config", type=Path, metavar="F", help="config.json of the run, or a YAML file of the same keys"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="validate the configuration only")
    what.add_argument("--look", action="store_true", help="check the corpus's lists, texts and files only")
    what.add_argument(
        "--locate",
        action="store_true",
        help="say as JSON where the corpus's features lie, null where they are not computed (used by the tuner)",
    )
    what.add_argument("--prepare", action="store_true", help="check the corpus and compute its features only")
    parser.add_argument("--progress", choices=["text", "json"], default="text", help="form of --prepare's progress")
    parser.add_argument("--tied", action="store_true", help="stop when standard input ends (used by the tuner)")
    what.add_argument(
        "--standby",
        action="store_true",
        help='import torch, then wait for {"config": F} on standard input, and be tied to it (used by the tuner)',
    )
    _add_commands(parser)
    return parser


def _stand_by(stop: StopRequest) -> Path:
    """Wait for the order which run to train, and warm up meanwhile. Output goes to that run's log from then on."""
    order = stop.wait_for_order(STANDBY_PAUSE)
    if order is None:
        from trainer.device import warm_up

        warm_up()
        order = stop.wait_for_order()
    try:
        config = Path(json.loads(order or b"")["config"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f'Standard input must say {{"config": "FILE"}} in one line, but got {order!r}.') from error
    path = RunDir(config.parent).log
    try:
        with path.open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
    except (OSError, ValueError) as error:  # the second: a zero byte
        raise ConfigError(f"{path}: cannot be written ({error}); the folder of the order must be there.") from error
    return config


def _add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(
        dest="command",
        prog="python -m trainer",
        title="commands",
        description="Voices to and from the layout of NVIDIA/tacotron2.",
    )
    taking = commands.add_parser(
        "import",
        help="make a voice of a checkpoint of NVIDIA/tacotron2",
        description="Make a voice of a checkpoint of NVIDIA/tacotron2, with the sizes that its tensors have. "
        "Train it on with the key `warm_start` of a configuration.",
    )
    taking.add_argument("source", type=Path, metavar="NVIDIA.pt", help="the checkpoint: float32 or float16")
    taking.add_argument("--to", type=Path, required=True, metavar="VOICE.pt", help="where to write the voice")
    taking.add_argument(
        "--symbols",
        type=Path,
        metavar="FILE",
        help="its symbols, one per line, padding first (UTF-8); needed where they are not NVIDIA's own 148",
    )
    giving = commands.add_parser(
        "export",
        help="make a checkpoint of NVIDIA/tacotron2 of a voice",
        description="Make a checkpoint that the code of NVIDIA/tacotron2 loads of a voice.",
    )
    giving.add_argument("source", type=Path, metavar="VOICE.pt", help="a best.pt, or what `import` wrote")
    giving.add_argument("--to", type=Path, required=True, metavar="NVIDIA.pt", help="where to write the checkpoint")


def _exchange(arguments: argparse.Namespace) -> int:
    from trainer.nvidia.exchange import export_file, import_file

    if arguments.command == "import":
        print(import_file(arguments.source, arguments.to, arguments.symbols))
    else:
        print(export_file(arguments.source, arguments.to))
    return ExitCode.FINISHED


def _check_warm_start_is_there(config: TrainerConfig) -> None:
    """All of `warm_start` that can be checked without torch."""
    if config.warm_start and not Path(config.warm_start).is_file():
        raise ConfigError(
            f"`warm_start`: {config.warm_start}: there is no such file; mend the path, or remove the key."
        )


def _check_warm_start(config: TrainerConfig) -> None:
    """All of it, before the hours that a corpus may take."""
    _check_warm_start_is_there(config)
    if config.warm_start:
        from trainer.voice import warm_start

        warm_start(config)


def _check(config: TrainerConfig, path: Path) -> int:
    _check_warm_start_is_there(config)
    print(f"{path}: fine")
    return ExitCode.FINISHED


def _look(config: TrainerConfig) -> int:
    """At what is wrong in a second or in minutes of hours: no recording is opened."""
    from trainer.data.corpus import look_at  # numpy, which --check and --help need not wait for

    _check_warm_start_is_there(config)
    corpus = look_at(config.corpus)
    counts = {"train": len(corpus.train), "validation": len(corpus.validation)} if corpus else None
    print(json.dumps({"found": counts}))
    return ExitCode.FINISHED


def _locate(config: TrainerConfig) -> int:
    from trainer.data.features import locate_features  # numpy, which --check and --help need not wait for

    folder = locate_features(config)
    print(json.dumps({"features": str(folder.absolute()) if folder else None}))
    return ExitCode.FINISHED


def _prepare(config: TrainerConfig, stop: StopRequest, form: str) -> int:
    from trainer.device import choose_device

    choose_device(config.device)
    _check_warm_start(config)
    features = _open_features(config, stop, _show_json if form == "json" else _show_text)
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
        say(f"{what}: {done}/{total}", end)


def _open_features(config: TrainerConfig, stop: StopRequest, show: Callable[[int, int, str], None]) -> "Features":
    from trainer.data.features import open_features  # imports torch: 2 s that --check and --help need not wait

    def show_and_obey(done: int, total: int, what: str) -> None:
        show(done, total, what)
        stop.obey()

    return open_features(config, show_and_obey)


def _train(config: TrainerConfig, stop: StopRequest, quiet: bool) -> int:
    run = RunDir(Path(config.paths.run))
    _make_folders(run, config)
    with _alone_in(run, stop, LOCK_PATIENCE if quiet else 0.0):
        run.create()
        return _train_alone(run, config, stop, quiet)


def _make_folders(run: RunDir, config: TrainerConfig) -> None:
    """Raises ConfigError where that cannot be."""
    folders = {"run": run.path, "cache": Path(config.paths.cache)}
    if config.logging.tensorboard:
        folders["tensorboard"] = Path(config.paths.tensorboard)
    for key, folder in folders.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"`paths.{key}`: {folder}: no such folder can be made ({error.strerror}); name another one."
            ) from error


@contextmanager
def _alone_in(run: RunDir, stop: StopRequest, patience: float) -> Iterator[None]:
    """Hold the lock of the run's folder; the record of another trainer is not ours to write into.

    patience: seconds to wait for a trainer at work there to end. Raises Stopped after that, or when asked to stop
    meanwhile; ConfigError at once where patience is 0.
    """
    give_up = time.monotonic() + patience

    def wait_or_give_up() -> None:
        if not patience:
            raise ConfigError(
                f"`paths.run`: {run.path}: another trainer is at work there; end that one, or name another folder."
            )
        stop.obey()
        if time.monotonic() > give_up:
            raise Stopped(f"another trainer is at work in {run.path}")

    with lock(run.path / ".lock", wait_or_give_up):
        yield


def _train_alone(run: RunDir, config: TrainerConfig, stop: StopRequest, quiet: bool) -> int:
    try:
        log_to(run.log, quiet)
        if not run.has_checkpoint():
            _check_warm_start(config)
        features = _open_features(config, stop, _show_text)
        from trainer.loop import train

        return train(config, features, lambda: stop.reason)
    except Stopped as asked:
        tell(run, EventKind.STOPPED, {"reason": str(asked)})
        raise
    except UserError as error:
        return failed(run, str(error), exit_code_of(error))
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # they hold the model, where last words may need its memory
        logging.getLogger("trainer").error("%s", traceback.format_exc())
        return failed(run, f"{type(error).__name__}: {error}", exit_code_of(error))


def _leave(code: int) -> None:
    """All files are closed by now. Taking Python and torch apart takes a second, in which the next trial waits."""
    for finish in (logging.shutdown, sys.stdout.flush, sys.stderr.flush):
        with suppress(OSError):  # a full disk, or nobody who listens: the exit code says more
            finish()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
