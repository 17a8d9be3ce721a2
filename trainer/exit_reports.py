"""What a run reports outside of the training loop: its log, standard error, and the final event.

Nothing here may hide the exit code: what a full disk does not take is dropped.
"""

import logging
import sys
from contextlib import suppress
from pathlib import Path

from trainer.control_codes import without_control_codes
from trainer.protocol import Event, EventKind, EventWriter, ExitCode, RunDir, all_events


def print_to_stderr(text: object, end: str = "\n") -> None:
    """Standard error may be a log on a full disk: the text is then dropped."""
    with suppress(OSError):
        print(without_control_codes(str(text)), end=end, file=sys.stderr, flush=True)


def report_failure(run: RunDir, reason: str, code: ExitCode) -> ExitCode:
    """Print `reason`, write the event FAILED, and return `code`."""
    print_to_stderr(reason)
    append_event(run, EventKind.FAILED, {"reason": reason, "exit_code": int(code)})
    return code


def append_event(run: RunDir, kind: EventKind, data: dict[str, object]) -> None:
    """Write an event with the frames and the update of the event before it."""
    with suppress(OSError, MemoryError):
        before = all_events(run.events)
        frames, update = (before[-1].frames, before[-1].update) if before else (0, 0)
        writer = EventWriter(run.events)
        try:
            writer.write(Event(kind, frames, update, data))
        finally:
            writer.close()


class _WithoutControlCodes(logging.Formatter):
    """Names of corpora and of tensors, and texts, may hold control codes."""

    def format(self, record: logging.LogRecord) -> str:
        return without_control_codes(super().format(record))


class LogFile(logging.FileHandler):
    """Drops lines that cannot be written; logging itself would print a traceback for each, to the same file."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def set_up_logging(path: Path, quiet: bool) -> None:
    """Log to the file `path`, and to standard error unless `quiet`."""
    handlers: list[logging.Handler] = [LogFile(path, encoding="utf-8", errors="backslashreplace")]
    if not quiet:
        handlers.append(logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(_WithoutControlCodes("%(asctime)s %(levelname)s %(message)s"))
        logging.root.addHandler(handler)
    logging.root.setLevel(logging.INFO)


def close_log() -> None:
    """Log no longer to the file of `set_up_logging`. Does nothing where there is none."""
    for handler in logging.root.handlers[:]:
        if isinstance(handler, LogFile):
            logging.root.removeHandler(handler)
            with suppress(OSError):  # the disk is full
                handler.close()
