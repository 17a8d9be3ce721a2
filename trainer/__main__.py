"""`python -m trainer`: train, check, prepare features; evaluate, import, export, say; check a corpus or the machine.

The edge of the trainer: signals, logging, and the one place where errors become exit codes.
"""

import argparse
import functools
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

from trainer.arguments import parse_arguments
from trainer.config import TrainerConfig
from trainer.config_file import load_config
from trainer.data.cache_command import cache
from trainer.data.check.command import corpus_check
from trainer.data.progress import OnProgress
from trainer.doctor import doctor
from trainer.errors import ConfigError, CorpusError, UserError
from trainer.evaluation.command import evaluate
from trainer.exit_codes import exit_code_of
from trainer.exit_reports import append_event, close_log, print_to_stderr, report_failure, set_up_logging
from trainer.export.command import export
from trainer.files import lock
from trainer.protocol import EventKind, ExitCode, RunDir
from trainer.say import say
from trainer.standby import train_in_turn
from trainer.stopping import Stopped, StopRequest, die_with_watcher
from trainer.system import refuse_other_system

if TYPE_CHECKING:
    from trainer.data.features import Features
    from trainer.leftovers import Leftovers

LOCK_TIMEOUT = 45.0  # seconds that a watched trainer waits for the earlier one in its folder, which may be ending


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    # Read when torch is loaded. A waiting thread spins for some microseconds, then sleeps. Sleeping at once halves the
    # speed of two threads on two idle cores; spinning without end halves it on busy ones.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    stop = StopRequest()
    if arguments.standby:
        stop.expect_line()
    if arguments.tied or arguments.standby:  # before torch is imported: in those seconds, too, the watcher may die
        die_with_watcher()
        stop.tie_to_stdin()
    return _exit_code(lambda: _do(arguments, stop), arguments)


def _exit_code(do: Callable[[], int], arguments: argparse.Namespace) -> int:
    """The exit code of what is done. Raises what is a crash."""
    try:
        return do()
    except Stopped as stopped:
        print_to_stderr(f"{stopped}; what is prepared is kept: run the same command again to continue")
        return ExitCode.STOPPED
    except Exception as error:
        code = exit_code_of(error)
        if code == ExitCode.CRASHED:
            raise
        print_to_stderr(error if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
        if isinstance(error, CorpusError) and arguments.progress == "json":
            print(json.dumps({"refused": "corpus"}), flush=True)
        return code
    except KeyboardInterrupt:  # the second one
        return 128 + signal.SIGINT


def _do(arguments: argparse.Namespace, stop: StopRequest) -> int:
    refuse_other_system()
    if arguments.command:
        return _command(arguments, stop)
    if arguments.standby:
        return _train_in_turn(arguments, stop)
    return _use(load_config(arguments.config), arguments, stop)


def _command(arguments: argparse.Namespace, stop: StopRequest) -> int:
    if arguments.command == "evaluate":
        return evaluate(arguments, stop, _shown_as(arguments.progress))
    if arguments.command == "say":
        return say(arguments)
    if arguments.command == "cache":
        return cache(arguments)
    if arguments.command == "corpus-check":
        return corpus_check(arguments, stop, _shown_as(arguments.progress))
    if arguments.command == "export":
        return export(arguments)
    if arguments.command == "doctor":
        return doctor(arguments, _shown_as(arguments.progress))
    return _import(arguments)


def _use(config: TrainerConfig, arguments: argparse.Namespace, stop: StopRequest) -> int:
    if arguments.check:
        return _check(config, arguments.config)
    if arguments.check_corpus:
        return _check_corpus(config)
    if arguments.locate:
        return _locate(config)
    stop.listen()
    if arguments.prepare:
        return _prepare(config, stop, arguments.progress)
    if arguments.measure_speed is not None:
        return _measure_speed(config, stop, arguments.progress, arguments.measure_speed)
    return _train(config, stop, quiet=arguments.tied)


def _train_in_turn(arguments: argparse.Namespace, stop: StopRequest) -> int:
    arguments.tied = True

    def train(path: Path) -> int:
        return _exit_code(lambda: _use(load_config(path), arguments, stop), arguments)

    def warm_up() -> None:
        from trainer.device import warm_up  # imports torch

        warm_up(_like(arguments.like))

    return train_in_turn(stop, train, warm_up, lambda: _leftovers().give_back())


def _like(path: Path | None) -> TrainerConfig | None:
    """The configuration in `path`; None where it cannot be used, which the trainer of that trial reports."""
    with suppress(UserError, OSError):
        return None if path is None else load_config(path)
    return None


@functools.cache
def _leftovers() -> "Leftovers":
    from trainer.leftovers import Leftovers  # imports torch

    return Leftovers()


def _import(arguments: argparse.Namespace) -> int:
    from trainer.nvidia.import_export import import_file

    print(import_file(arguments.source, arguments.to, arguments.symbols))
    return ExitCode.FINISHED


def _check_warm_start_exists(config: TrainerConfig) -> None:
    """What can be checked of `warm_start` without torch."""
    if config.warm_start and not Path(config.warm_start).is_file():
        raise ConfigError(
            f"`warm_start`: {config.warm_start}: there is no such file; correct the path, or remove the key."
        )


def _check_warm_start(config: TrainerConfig) -> None:
    """Check all of `warm_start`, before the hours that a corpus may take."""
    _check_warm_start_exists(config)
    if config.warm_start:
        from trainer.warm_start import warm_start

        warm_start(config)


def _check(config: TrainerConfig, path: Path) -> int:
    _check_warm_start_exists(config)
    print(f"{path}: fine")
    return ExitCode.FINISHED


def _check_corpus(config: TrainerConfig) -> int:
    """Check what needs seconds, or minutes for a large corpus, without opening a recording."""
    from trainer.data.corpus import check_corpus, describe_layout  # imports numpy, which --check and --help do not need

    _check_warm_start_exists(config)
    corpus = check_corpus(config.corpus, config.text)
    found = None
    if corpus:
        layout = describe_layout(config.corpus)
        found = {"train": len(corpus.train), "validation": len(corpus.validation), "layout": layout}
    print(json.dumps({"found": found}))
    return ExitCode.FINISHED


def _locate(config: TrainerConfig) -> int:
    from trainer.data.features import locate_features  # imports numpy, which --check and --help do not need
    from trainer.data.features_settings import settings_of

    folder = locate_features(config)
    print(json.dumps({"features": str(folder.absolute()) if folder else None, "settings": settings_of(config)}))
    return ExitCode.FINISHED


def _prepare(config: TrainerConfig, stop: StopRequest, form: str) -> int:
    from trainer.data.check.brief import brief_check
    from trainer.data.corpus import describe_layout
    from trainer.device import choose_device

    choose_device(config.device)
    _check_warm_start(config)
    progress = _stoppable(_shown_as(form), stop)
    features = _open_features(config, progress)
    frames = sum(int(features.frames[i]) for i in (*features.train, *features.validation))
    seconds = frames * config.audio.hop_length / config.audio.sample_rate
    summary = {
        "train": len(features.train),
        "validation": len(features.validation),
        "skipped": features.skipped,
        "minutes": round(seconds / 60, 2),
        "frames": frames,
        "language": features.language,
        "layout": "" if config.paths.features else describe_layout(config.corpus),
    }
    found = brief_check(config, features, progress)
    if form == "json":
        print(json.dumps({"prepared": summary, "findings": found}), flush=True)
    else:
        print("\n".join([f"ready: {summary}", *(f"{each['severity']}: {each['text']}" for each in found)]), flush=True)
    return ExitCode.FINISHED


def _measure_speed(config: TrainerConfig, stop: StopRequest, form: str, seconds: float) -> int:
    from trainer.speed import measure_speed

    features = _open_features(config, _stoppable(_shown_as(form), stop))
    speed = measure_speed(config, features, seconds, stop)
    print(json.dumps({"frames_per_second": round(speed, 1)}))
    return ExitCode.FINISHED


def _shown_as(form: str) -> OnProgress:
    return _show_json if form == "json" else _show_text


def _show_json(done: int, total: int, what: str) -> None:
    print(json.dumps({"done": done, "total": total, "what": what}), flush=True)


def _show_text(done: int, total: int, what: str) -> None:
    end = "\n" if done == total else "\r"
    if sys.stderr.isatty() or done == total:
        print_to_stderr(f"{what}: {done}/{total}", end)


def _stoppable(show: OnProgress, stop: StopRequest) -> OnProgress:
    """Shows progress, and raises Stopped there when a stop is requested."""

    def show_and_check(done: int, total: int, what: str) -> None:
        show(done, total, what)
        stop.check()

    return show_and_check


def _open_features(config: TrainerConfig, progress: OnProgress) -> "Features":
    from trainer.data.features import open_features  # imports numpy, which --check and --help do not need

    return open_features(config, progress)


def _train(config: TrainerConfig, stop: StopRequest, quiet: bool) -> int:
    run = RunDir(Path(config.paths.run))
    _make_folders(run, config)
    with _alone_in(run, stop, LOCK_TIMEOUT if quiet else 0.0):
        run.create()
        return _train_alone(run, config, stop, quiet)


def _make_folders(run: RunDir, config: TrainerConfig) -> None:
    """Raises ConfigError where one cannot be made."""
    folders = {"run": run.path, "cache": Path(config.paths.cache)}
    if config.logging.tensorboard:
        folders["tensorboard"] = Path(config.paths.tensorboard)
    for key, folder in folders.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"`paths.{key}`: {folder}: this folder cannot be made ({error.strerror}); name another one."
            ) from error


@contextmanager
def _alone_in(run: RunDir, stop: StopRequest, timeout: float) -> Iterator[None]:
    """Hold the lock of the run's folder, so that two trainers never write into one record.

    timeout: seconds to wait until another trainer in that folder ends. Raises Stopped after that, and when a stop is
    requested meanwhile; with a timeout of 0 it raises ConfigError at once.
    """
    give_up = time.monotonic() + timeout

    def wait_or_give_up() -> None:
        if not timeout:
            raise ConfigError(
                f"`paths.run`: {run.path}: another trainer is at work there; stop that one, or name another folder."
            )
        stop.check()
        if time.monotonic() > give_up:
            raise Stopped(f"another trainer is at work in {run.path}")

    with lock(run.path / ".lock", wait_or_give_up):
        yield


def _train_alone(run: RunDir, config: TrainerConfig, stop: StopRequest, quiet: bool) -> int:
    try:
        set_up_logging(run.log, quiet)
        if not run.has_checkpoint() and not config.continue_from:
            _check_warm_start(config)
        features = _open_features(config, _stoppable(_show_text, stop))
        from trainer.loop import train

        stop.check()
        return train(config, features, lambda: stop.reason)
    except Stopped as stopped:
        append_event(run, EventKind.STOPPED, {"reason": str(stopped)})
        raise
    except UserError as error:
        return report_failure(run, str(error), exit_code_of(error))
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # they hold the model, whose memory the report may need
        logging.getLogger("trainer").error("%s", traceback.format_exc())
        return report_failure(run, f"{type(error).__name__}: {error}", exit_code_of(error))
    finally:
        close_log()


def _leave(code: int) -> None:
    """Exit at once: all files are closed, and the next trial would wait a second for Python and torch to shut down."""
    for close in (logging.shutdown, sys.stdout.flush, sys.stderr.flush):
        with suppress(OSError):  # a full disk, or a closed pipe: the exit code matters more
            close()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
