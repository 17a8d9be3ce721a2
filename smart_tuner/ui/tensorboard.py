"""TensorBoard, which by itself answers requests for any host name; ours does as `smart_tuner.ui.hosts` says."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from smart_tuner.ui.hosts import for_hosts


def serve(logs: Path, host: str, port: int, names: Collection[str] = ()) -> None:
    """Serve until the process ends, and end it. names: as of `for_hosts`."""
    from tensorboard import main_lib

    main_lib.global_init()
    sys.exit(program(logs, host, port, names).main())


def program(logs: Path, host: str, port: int, names: Collection[str] = ()) -> Any:
    """TensorBoard's own `TensorBoard`, with a server that is not started yet."""
    from tensorboard import default
    from tensorboard.program import TensorBoard, WerkzeugServer

    def server(wsgi_app: Any, flags: Any) -> WerkzeugServer:
        return WerkzeugServer(for_hosts(wsgi_app, host, names), flags)

    made = TensorBoard(default.get_plugins(), server_class=server)
    # Not the fast loader, which is a second program that not every machine has.
    made.configure(["tensorboard", "--logdir", str(logs), "--host", host, "--port", str(port), "--load_fast", "false"])
    return made
