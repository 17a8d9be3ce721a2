"""Recognises that MLflow's server cannot be reached, by the errors below the one that MLflow raises.

A database that serves as MLflow's store is not recognised: its driver's message is short already.
"""

import socket
from collections.abc import Iterator

_REASONS: tuple[tuple[type[OSError], str], ...] = (
    (ConnectionRefusedError, "connection refused"),
    (socket.gaierror, "host not found"),
    (TimeoutError, "no answer in time"),
    (ConnectionError, "connection lost"),
)


def no_answer(error: BaseException) -> str | None:
    """Why the server does not answer, in a few words; None for any other error."""
    causes = list(_causes(error))
    if not any(type(cause).__module__.startswith("requests.") for cause in causes):
        return None
    return next((text for cause in causes for kind, text in _REASONS if isinstance(cause, kind)), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
