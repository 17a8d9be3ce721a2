"""What a run says outside of training: its log, standard error, and the event that tells how it ended.

None of it may hide the exit code: on a full disk what cannot be said is left unsaid.
"""

import logging
import sys
from contextlib import suppress
from pathlib import Path

from trainer.protocol import Event, EventKind, EventWriter, ExitCode, RunDir, all_events


def say(text: object, end: str = "\n") -> None:
    """On standard error, which may be a log on a full disk."""
    with suppress(OSError):
        print(text, end=end, file=sys.stderr, flush=True)


def failed(run: RunDir, reason: str, code: ExitCode) -> ExitCode:
    say(reason)
    tell(run, EventKind.FAILED, {"reason": reason, "exit_code": int(code)})
    return code


def tell(run: RunDir, kind: EventKind, data: dict[str, object]) -> None:
    """Outside of training: where a run was when it last said something."""
    with suppress(OSError, MemoryError):
        before = all_events(run.events)
        frames, update = (before[-1].frames, before[-1].update) if before else (0, 0)
        writer = EventWriter(run.events)
        try:
            writer.write(Event(kind, frames, update, data))
        finally:
            writer.close()


class LogFile(logging.FileHandler):
    """Lines that cannot be written are dropped; logging itself would print a traceback for each, to the same file."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def log_to(path: Path, quiet: bool) -> None:
    """quiet: into the file alone."""
    handlers: list[logging.Handler] = [LogFile(path, encoding="utf-8", errors="backslashreplace")]
    if not quiet:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers)
