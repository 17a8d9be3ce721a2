"""A port for a server: the one that was asked for, or the next one that is free.

Between the look and the server's own bind somebody may take it; the server then says so and ends.
"""

import errno
import socket
from collections.abc import Collection
from contextlib import closing, suppress

import psutil

from smart_tuner.errors import UserError

_LAST = 65535


def free_port(host: str, wanted: int, others: Collection[int]) -> int:
    """others: ports to step over when the one that is wanted is taken. Raises UserError where none can be had."""
    candidates = [wanted, *(port for port in range(wanted + 1, _LAST + 1) if port not in others)]
    port = next((port for port in candidates if is_free(host, port)), None)
    if port is None:
        raise UserError(f"No port from {wanted} on is free at {host}; give a lower one.")
    return port


def is_free(host: str, port: int) -> bool:
    """Raises UserError where this user can never listen there."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, else one that just ended counts
        try:
            probe.bind((host, port))
            probe.listen()
        except PermissionError as error:
            raise UserError(f"Port {port}: this user may not listen there; give one above 1023.") from error
        except socket.gaierror as error:
            raise UserError(f"--host {host!r}: no such IPv4 address or name ({error.strerror}).") from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise UserError(f"--host {host!r}: is no address of this machine; 0.0.0.0 is all of them.") from error
            return False
    return True


def said_of_taken(wanted: int, what: str, port: int) -> str:
    """That `what` is at `port`, since somebody has the one that was wanted."""
    by = f" (by {who})" if (who := holder(wanted)) else ""
    return f"Port {wanted} is taken{by}; {what} is at {port}."


def holder(port: int) -> str | None:
    """Who listens there, where this user may know: `python3, process 4711`."""
    with suppress(psutil.Error):
        for found in psutil.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr[1:] == (port,) and found.pid is not None:
                return f"{psutil.Process(found.pid).name()}, process {found.pid}"
    return None
