"""Standard output and standard error that may be lost: a full disk or a reader that has gone ends no command.

What a command does does not depend on whether somebody reads of it, and neither does its exit code. Sits below Python's
own buffers, so that print, rich, typer and logging need not know of it.
"""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_NOBODY_READS = errno.EPIPE  # `| head -1` has all that it wanted


class _LossyFile(io.FileIO):
    """Drops what cannot be written, and goes on: a disk that was full may have space again."""

    lost: OSError | None = None  # the first time

    def write(self, data: object, /) -> int:
        while True:
            try:
                written = super().write(data)  # type: ignore[arg-type]
            except OSError as error:
                self.lost = self.lost or error
                return memoryview(data).nbytes  # type: ignore[arg-type]
            if written is not None:
                return written
            select.select([], [self], [])  # somebody has made it non-blocking, and it is full


@contextmanager
def output_may_be_lost() -> Iterator[None]:
    """For the block, which is a whole command: nothing that writes to either of the two fails.

    Behind it a line on standard error says so where the disk took nothing of standard output.
    """
    output, errors = _wrapped(sys.stdout, sys.__stdout__), _wrapped(sys.stderr, sys.__stderr__)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = output or sys.stdout, errors or sys.stderr
    try:
        yield
    finally:
        if output is not None:
            output.flush()
            _say_what_was_lost(output)
        if errors is not None:
            errors.flush()
        sys.stdout, sys.stderr = before


def somebody_reads() -> bool:
    """Whether standard output still has a reader, as far as this system can tell."""
    if sys.stdout is None or not hasattr(select, "poll"):
        return sys.stdout is not None
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except io.UnsupportedOperation:  # no file at all
        return True
    return not any(event & select.POLLERR for _, event in poll.poll(0))


def _wrapped(stream: TextIO | None, original: TextIO | None) -> io.TextIOWrapper | None:
    """None where there is no such stream, or where a program of ours has put another one in its place."""
    if stream is None or stream is not original or not isinstance(stream, io.TextIOWrapper):
        return None
    return io.TextIOWrapper(
        io.BufferedWriter(_LossyFile(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )


def _say_what_was_lost(output: io.TextIOWrapper) -> None:
    raw = output.buffer.raw  # type: ignore[attr-defined]
    assert isinstance(raw, _LossyFile)
    if raw.lost is not None and raw.lost.errno != _NOBODY_READS:
        print(f"The output could not be written: {os.strerror(raw.lost.errno or 0)}.", file=sys.stderr)
