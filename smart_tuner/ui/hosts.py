"""Which host names a page answers for.

At a loopback address its own names, elsewhere any, or those that are given. Otherwise a foreign web page whose host
name resolves to this machine would have the same origin: it could read what is shown, and delete studies.
"""

import re
import socket
from collections.abc import Collection, Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


def for_hosts(app: "WSGIApplication", bound: str, names: Collection[str] = ()) -> "WSGIApplication":
    """`app` for requests with one of `names` as the host. bound: the address that it is served at.

    names: none: any, but at a loopback address its own. Raises OSError for an address that does not resolve.
    """
    if not names and ip_address(socket.gethostbyname(bound)).is_loopback:
        names = (*_LOOPBACK_NAMES, bound)
    return HostFilter(app, frozenset(name.lower() for name in names)) if names else app


class HostFilter:
    """Passes on requests with one of `hosts` as the host, with any port; refuses the others."""

    def __init__(self, app: "WSGIApplication", hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    def __call__(self, environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        if re.sub(r":\d*$", "", environ.get("HTTP_HOST", "")).lower() in self._hosts:
            return self._app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"this server does not answer requests for this host name"]
