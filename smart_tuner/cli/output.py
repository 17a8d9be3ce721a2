"""Output that may be lost: a full disk or a closed pipe behind standard output or standard error ends no command.

The work of a command and its exit code do not depend on its output. This works below Python's own buffers, so print,
rich, typer and logging need no changes.
"""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_NOBODY_READS = errno.EPIPE  # such as `| head -1` after its line


class _LossyFile(io.FileIO):
    """Drops what cannot be written, and keeps trying: a full disk may have space again."""

    lost: OSError | None = None  # the first error

    def write(self, data: object, /) -> int:
        while True:
            try:
                written = super().write(data)  # type: ignore[arg-type]
            except OSError as error:
                self.lost = self.lost or error
                return memoryview(data).nbytes  # type: ignore[arg-type]
            if written is not None:
                return written
            select.select([], [self], [])  # the file was made non-blocking, and its buffer is full


@contextmanager
def output_may_be_lost() -> Iterator[None]:
    """While the block runs, which is a whole command, no write to standard output or standard error fails.

    At the end, a line on standard error reports output that was lost on a full disk.
    """
    output = _wrapped(sys.stdout, sys.__stdout__)
    errors = _wrapped(sys.stderr, sys.__stderr__)
    before = sys.stdout, sys.stderr
    sys.stdout = output or sys.stdout
    sys.stderr = errors or sys.stderr
    try:
        yield
    finally:
        if output is not None:
            output.flush()
            _report_lost(output)
        if errors is not None:
            errors.flush()
        sys.stdout, sys.stderr = before


def somebody_reads() -> bool:
    """Whether standard output still has a reader, as far as the system can detect that."""
    if sys.stdout is None or not hasattr(select, "poll"):
        return sys.stdout is not None
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except io.UnsupportedOperation:  # it has no file
        return True
    return not any(event & select.POLLERR for _, event in poll.poll(0))


def _wrapped(stream: TextIO | None, original: TextIO | None) -> io.TextIOWrapper | None:
    """The stream with a lossy file below it; None if there is no stream, or if it was replaced by another one."""
    if stream is None or stream is not original or not isinstance(stream, io.TextIOWrapper):
        return None
    return io.TextIOWrapper(
        io.BufferedWriter(_LossyFile(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )


def _report_lost(output: io.TextIOWrapper) -> None:
    raw = output.buffer.raw  # type: ignore[attr-defined]
    assert isinstance(raw, _LossyFile)
    if raw.lost is not None and raw.lost.errno != _NOBODY_READS:
        print(f"The output could not be written: {os.strerror(raw.lost.errno or 0)}.", file=sys.stderr)
