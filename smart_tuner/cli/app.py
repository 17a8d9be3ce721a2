"""`smart-tuner`: the one place where errors become exit codes.

The commands are imported after the check that the package `trainer`, which they need, is ours.
"""

import logging
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO

from smart_tuner.cli.output import output_may_be_lost
from smart_tuner.trainer_package import OtherTrainer, refuse_other_trainer


class _CurrentStderr(logging.StreamHandler[TextIO]):
    """Writes to the current sys.stderr: a live table replaces it by a stream that writes above the table."""

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)
        super().emit(record)


class _Formatter(logging.Formatter):
    """Our own warnings are for people: they need no name of a Python module. Those of libraries say whose they are."""

    def format(self, record: logging.LogRecord) -> str:
        from trainer.control_codes import without_control_codes  # not before `refuse_other_trainer`

        own = record.name.partition(".")[0] == "smart_tuner"
        text = without_control_codes(super().format(record))
        return f"{record.levelname}: {text}" if own else f"{record.levelname} {record.name}: {text}"


def main() -> None:
    """Run a command. `smart_tuner.errors` has the exit codes."""
    handler = _CurrentStderr()
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    with output_may_be_lost():
        try:
            refuse_other_trainer()
            from trainer.system import refuse_other_system

            refuse_other_system()
            from smart_tuner.cli.commands import app

            app()
        except OtherTrainer as error:
            sys.exit(_refuse(error, sys.argv[1:]))
        except Exception as error:
            sys.exit(_report_incomplete(error, sys.argv[1:]) or _report(error))


def _refuse(error: OtherTrainer, arguments: Sequence[str]) -> int:
    """Say that no command can run; `doctor` says it in its own form. Returns the exit code."""
    if arguments[:1] == ["doctor"]:
        from smart_tuner.doctor.refused import print_refused

        return print_refused(str(error), arguments)
    print(error, file=sys.stderr)
    return 2


def _report_incomplete(error: Exception, arguments: Sequence[str]) -> int | None:
    """Say which package cannot be imported; return the exit code, None where the error is another one."""
    from smart_tuner.doctor.incomplete import package_at_fault, print_incomplete, sentence

    package = package_at_fault(error)
    if package is None:
        return None
    if arguments[:1] == ["doctor"]:
        return print_incomplete(error, package, arguments)
    print(sentence(error, package), file=sys.stderr)
    return 2


def _report(error: Exception) -> int:
    """Print to standard error why the command failed; return its exit code."""
    from smart_tuner.errors import SmartTunerError, exit_code
    from smart_tuner.masking import masked
    from trainer.control_codes import without_control_codes

    code = exit_code(error)
    # An unforeseen error is a mistake of ours, so its traceback is shown.
    text = str(error) if code != 1 or isinstance(error, SmartTunerError) else traceback.format_exc()
    if isinstance(error, PermissionError):
        text = f"{error.filename}: this user may not read or write it ({error.strerror})."
    print(without_control_codes(masked(text)), file=sys.stderr)
    return code
