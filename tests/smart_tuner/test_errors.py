"""The exit codes of errors."""

import pytest

import trainer.errors
from smart_tuner import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.StudyError("x"), 2),
        (errors.SettingsError("x"), 2),
        (errors.CorpusRefused("x"), 2),
        (errors.StorageError("x"), 2),
        (trainer.errors.ConfigError("x"), 2),
        (trainer.errors.CorpusError("x"), 2),
        (PermissionError(13, "denied", "x"), 2),
        (errors.NoFeasibleTrial("x"), 3),
        (errors.Interrupted("x"), 130),
        (KeyboardInterrupt(), 130),
        (errors.SmartTunerError("x"), 1),
        (ValueError("x"), 1),
    ],
)
def test_each_error_has_one_exit_code(error: BaseException, code: int) -> None:
    assert errors.exit_code(error) == code


def test_a_users_mistake_is_a_value_error() -> None:
    assert issubclass(errors.StudyError, ValueError)
    assert not issubclass(errors.NoFeasibleTrial, ValueError)
