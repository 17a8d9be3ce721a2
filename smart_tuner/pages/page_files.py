"""Writes pages to files, completely or not at all."""

from datetime import datetime
from pathlib import Path

import optuna

from smart_tuner.config import SecretUrl
from smart_tuner.errors import UserError
from smart_tuner.pages.audition import audition_page
from smart_tuner.pages.facts import facts_of
from smart_tuner.pages.report import Form, report
from trainer.files import write_atomically


def write_report(
    study: optuna.Study, workspace: Path, path: Path, form: Form, storage: SecretUrl | None = None
) -> Path:
    """workspace, storage: as given by the user. Raises UserError if `path` cannot be written."""
    text = report(facts_of(study, workspace, storage), study, form, datetime.now().astimezone())
    return write_page(text, path)


def write_audition(study: optuna.Study, workspace: Path, path: Path, top: int) -> Path:
    """Without ratings, which need a server. Raises UserError if `path` cannot be written."""
    return write_page(audition_page(facts_of(study, workspace), top, token=None), path)


def write_page(text: str, path: Path) -> Path:
    """Write to `path`, or to the target of a link; never replaces a device or a folder."""
    file = path.resolve()
    if file.exists() and not file.is_file():
        raise UserError(f"{path}: is not a file; give another one with --output.")
    try:
        with write_atomically(file) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); give another file with --output.") from error
    return path
