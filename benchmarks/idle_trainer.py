"""Replaces the trainer where only the tuner is measured: writes events and does nothing else.

    python -I -S benchmarks/idle_trainer.py REPORTS SECONDS --config FOLDER/config.json [--tied]

Writes a start, REPORTS validations spread over SECONDS, and an end to `events.jsonl` beside the configuration, which it
does not read. The curve is the same in every trial, so that none is pruned. It uses little of the standard library and
no site packages, so that it starts in some ten milliseconds.
"""

import sys
import time
from collections.abc import Sequence

EVENTS = "events.jsonl"


def curve(reports: int) -> list[float]:
    """The validation losses of a trial."""
    return [1 + 1 / (index + 1) for index in range(reports)]


def main(arguments: Sequence[str]) -> None:
    reports = int(arguments[0])
    seconds = float(arguments[1])
    folder = arguments[arguments.index("--config") + 1].rpartition("/")[0]
    losses = curve(reports)
    with open(f"{folder}/{EVENTS}", "a", buffering=1) as file:  # noqa: PTH123 (pathlib is slow to import)
        file.write(event("started", 0, '"config":{}'))
        # It reports no memory; without a report the tuner assumes a trainer's, and runs few at once.
        file.write(event("progress", 0, '"loss":0,"frames_per_second":0,"memory_bytes":0'))
        for index, loss in enumerate(losses, 1):
            time.sleep(seconds / reports)
            file.write(event("validation", index, f'"index":{index},"best":true,"loss":{loss},"alignment":0.9'))
        file.write(event("finished", reports, f'"seconds":{seconds}'))


def event(kind: str, index: int, data: str) -> str:
    head = f'"kind":"{kind}","frames":{100 * index},"update":{index},"time":{time.time()}'
    return f'{{{head},"data":{{{data}}}}}\n'


if __name__ == "__main__":
    main(sys.argv[1:])
