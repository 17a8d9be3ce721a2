"""What can go wrong in the tuner, and the exit code of each.

    SmartTunerError                 1
    ├── UserError (ValueError)      2    one readable paragraph, shown without a traceback
    │   ├── StudyError              a study's YAML or a `--set`: file, key, value got, how to fix it
    │   ├── SettingsError           config/*.yaml or a SMART_TUNER_* variable
    │   ├── CorpusRefused           the trainer cannot use the recordings or texts
    │   ├── StorageError            the store of studies cannot be opened or written to
    │   │   └── NoStudies           the store is not there yet, or holds no study
    │   └── RunConflict             what MLflow holds contradicts the study, and is not ours to correct
    ├── MlflowUnavailable           1    MLflow does not answer, or cannot use its store
    ├── PagesEnded                  1    every server of `smart-tuner ui` has exited by itself
    ├── NoFeasibleTrial             3    trials finished, but none of them satisfies the constraints
    ├── WorkerBroken                4    too many attempts in a row failed on this worker
    └── Interrupted                 130  stopped on request (Ctrl-C, SIGTERM); finished work is kept

A PermissionError (2) is the user's to mend, too.
`smart_tuner.trainer_package.OtherTrainer` (2) stands apart: it says why this module cannot be imported.
The trainer has a tree of its own (`trainer.errors`), which imports the standard library alone.
"""

import trainer.errors


class SmartTunerError(Exception):
    """Anything that the tuner itself raises."""


class UserError(SmartTunerError, ValueError):
    """A mistake that the user can fix."""


class StudyError(UserError):
    """The definition of a study is invalid, or a trial does not fit its study."""


class SettingsError(UserError):
    """The installation's settings are invalid."""


class CorpusRefused(UserError):
    """The trainer refused the corpus of a study."""


class StorageError(UserError):
    """The store of studies cannot be used."""


class NoStudies(StorageError):
    """There is no store of studies yet, or it holds none."""


class RunConflict(UserError):
    """What MLflow holds contradicts the study, and is not ours to correct."""


class MlflowUnavailable(SmartTunerError):
    """MLflow does not answer, or its store cannot be used."""


class PagesEnded(SmartTunerError):
    """No server that `smart-tuner ui` started is left."""


class NoFeasibleTrial(SmartTunerError):
    """No trial satisfies the constraints, so there is no best one."""


class WorkerBroken(SmartTunerError):
    """Too many attempts in a row failed on this worker: more likely the machine is at fault than the trials."""


class Interrupted(SmartTunerError):
    """The run was asked to stop before it had all its trials."""


_EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (UserError, 2),
    (trainer.errors.UserError, 2),
    (PermissionError, 2),
    (NoFeasibleTrial, 3),
    (WorkerBroken, 4),
    (Interrupted, 130),
    (KeyboardInterrupt, 130),
)


def exit_code(error: BaseException) -> int:
    """The exit code of a process that ends with `error`; 1 for an unforeseen one."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)
