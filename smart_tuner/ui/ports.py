"""Finds a port for a server: the wanted one, or the next free one.

Another program may take it between this check and the server's own bind; then the server reports it and exits.
"""

import errno
import socket
from collections.abc import Collection
from contextlib import closing, suppress

import psutil

from smart_tuner.errors import UserError

_LAST = 65535


def free_port(host: str, wanted: int, others: Collection[int]) -> int:
    """others: ports to skip if the wanted one is taken. Raises UserError if no port is available."""
    candidates = [wanted, *(port for port in range(wanted + 1, _LAST + 1) if port not in others)]
    port = next((port for port in candidates if is_free(host, port)), None)
    if port is None:
        raise UserError(f"No port from {wanted} on is free at {host}; give a lower one.")
    return port


def is_free(host: str, port: int) -> bool:
    """Raises UserError if this user cannot listen there at all."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do; else the port of one that just exited would count as taken
        try:
            probe.bind((host, port))
            probe.listen()
        except PermissionError as error:
            raise UserError(f"Port {port}: this user may not listen there; give one above 1023.") from error
        except socket.gaierror as error:
            raise UserError(f"--host {host!r}: no such IPv4 address or name ({error.strerror}).") from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise UserError(
                    f"--host {host!r}: is not an address of this machine; 0.0.0.0 is all of them."
                ) from error
            return False
    return True


def taken_notice(wanted: int, what: str, port: int) -> str:
    """A notice that `what` is at `port`, since the wanted one is taken."""
    by = f" (by {who})" if (who := holder(wanted)) else ""
    return f"Port {wanted} is taken{by}; {what} is at {port}."


def holder(port: int) -> str | None:
    """Who listens there, such as `python3, process 4711`; None if this user may not know."""
    with suppress(psutil.Error):
        for found in psutil.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr[1:] == (port,) and found.pid is not None:
                return f"{psutil.Process(found.pid).name()}, process {found.pid}"
    return None
