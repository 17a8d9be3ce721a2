"""`smart-tuner`: the one place where errors become exit codes.

The commands are imported once it is known that `trainer`, which they need, is ours.
"""

import logging
import sys
import traceback
from typing import TextIO

from smart_tuner.cli.output import output_may_be_lost
from smart_tuner.trainer_package import OtherTrainer, refuse_other_trainer


class _PresentStderr(logging.StreamHandler[TextIO]):
    """Writes to what is sys.stderr at that moment: a live table puts something there that writes above it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)
        super().emit(record)


def main() -> None:
    """See `smart_tuner.errors` for the exit codes."""
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", handlers=[_PresentStderr()]
    )
    with output_may_be_lost():
        try:
            refuse_other_trainer()
            from smart_tuner.cli.commands import app

            app()
        except OtherTrainer as error:
            print(error, file=sys.stderr)
            sys.exit(2)
        except Exception as error:
            sys.exit(_report(error))


def _report(error: Exception) -> int:
    """Say on standard error what has ended the command; its exit code."""
    from smart_tuner.errors import SmartTunerError, exit_code
    from smart_tuner.masking import masked

    code = exit_code(error)
    # What nobody foresaw is a mistake of ours: the traceback is what helps.
    text = str(error) if code != 1 or isinstance(error, SmartTunerError) else traceback.format_exc()
    print(masked(text), file=sys.stderr)
    return code
