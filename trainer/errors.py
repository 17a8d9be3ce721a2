"""The errors that a user of the trainer can fix.

UserError (ValueError)      one readable paragraph; exit code 2
├── ConfigError             config.json: an unknown, inert, mistyped or out-of-range key
├── CorpusError             recordings or texts: which file and line, what was got, how to fix it
└── VoiceError              a voice for a warm start, to import or to export: which file and tensor
"""


class UserError(ValueError):
    """A mistake that the user can fix. Its text is shown as it is, without a traceback."""


class ConfigError(UserError):
    """A key of the configuration is unknown, without effect, of the wrong type or out of range."""


class CorpusError(UserError):
    """A recording, a text or a file list cannot be used."""


class VoiceError(UserError):
    """A checkpoint holds no voice, or one that does not fit."""
