"""A trial of Ray Tune in `tuner_overhead`. Runs in a process of Ray's that imports no other module of ours."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path


def reports_of_a_process(command: Sequence[str], folder: Path) -> Iterator[float]:
    """Run the process of a trial in `folder`; yields each loss when the process writes it."""
    folder.mkdir(parents=True)
    record = folder / "events.jsonl"
    offset = 0
    with subprocess.Popen([*command, "--config", f"{folder}/config.json"], stdin=subprocess.DEVNULL) as process:
        gone = False
        while not gone:
            try:
                process.wait(0.1)
                gone = True
            except subprocess.TimeoutExpired:
                pass
            text = record.read_text(encoding="utf-8") if record.exists() else ""
            whole = text[offset : text.rfind("\n") + 1]
            offset += len(whole)
            for line in whole.splitlines():
                event = json.loads(line)
                if event["kind"] == "validation":
                    yield event["data"]["loss"]
