"""Replaces the trainer where its events matter: does a fixed amount of work and writes a record like a real one.

    python -I -S benchmarks/scripted_trainer.py UPDATES REPORTS MEGABYTES PAUSE --config FOLDER/config.json [--tied]

Writes UPDATES progress events. Before each it digests MEGABYTES and sleeps for PAUSE seconds, as while a GPU works.
Each of REPORTS validations has a picture; at the end come a sample, a checkpoint and the last event. The number of the
trial ends its folder's name: every fourth trial does not align, so that it is pruned, and every seventeenth fails. On a
request to stop it writes an event and exits. Standard library only.
"""

import hashlib
import json
import os
import signal
import sys
import time
from typing import Any

FAILS = 2
STOPPED = 10
BLOCK = bytes(10**6)
asked: list[int] = []  # signals to stop


class Record:
    """Appends events."""

    def __init__(self, folder: str) -> None:
        self._file = open(f"{folder}/events.jsonl", "a", buffering=1)  # noqa: PTH123, SIM115 (pathlib is slow to import)
        self.update = 0

    def write(self, kind: str, **data: Any) -> None:
        event = {"kind": kind, "frames": 800 * self.update, "update": self.update, "data": data, "time": time.time()}
        self._file.write(json.dumps(event, separators=(",", ":")) + "\n")


def main(arguments: list[str]) -> int:
    updates, reports, megabytes = (int(word) for word in arguments[:3])
    pause = float(arguments[3])
    folder = arguments[arguments.index("--config") + 1].rpartition("/")[0]
    number = int(folder[-4:])
    signal.signal(signal.SIGTERM, lambda sign, frame: asked.append(sign))
    for name in ("alignments", "samples", "checkpoints"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)  # noqa: PTH103
    record = Record(folder)
    record.write("started", config={"seed": number}, resumed=False, parameters=1000, device="cpu", torch="none")
    every = updates // reports
    aligns = number % 4 != 3
    for update in range(1, updates + 1):
        digest = hashlib.sha256()
        for _ in range(megabytes):
            digest.update(BLOCK)
        time.sleep(pause)
        record.update = update
        if asked:
            record.write("stopped", reason="asked to stop")
            return STOPPED
        loss = 0.3 + (number % 7) / 10 + 2 / update + digest.digest()[0] / 1e4
        speed = {"frames_per_second": 1000.0 / (1 + update % 3), "memory_bytes": 10**6}
        parts = {"mel_loss": loss * 0.7, "gate_loss": loss * 0.1, "gradient_norm": 1 / update}
        record.write("progress", loss=loss if update != 7 else float("nan"), lr=1e-3 / update, **parts, **speed)
        if update % every == 0:
            validate(record, folder, update // every, loss, 0.9 if aligns else 0.02)
        if number % 17 == 16 and update == updates // 2:
            record.write("failed", reason="every seventeenth fails", exit_code=FAILS)
            return FAILS
    write_file(folder, "samples/one.wav", 50_000)
    record.write("artifact", path="samples/one.wav", what="sample", text="one")
    record.write("free_running", alignment=0.8, reached_limit=0.0)
    record.write("finished", seconds=1.0)
    return 0


def validate(record: Record, folder: str, index: int, loss: float, alignment: float) -> None:
    parts = {"diagonality": alignment, "focus": alignment / 2, "gate_f1": 0.5}
    record.write("validation", index=index, best=True, loss=loss, alignment=alignment, **parts)
    picture = f"alignments/validation-{index:03d}.png"
    write_file(folder, picture, 20_000)
    record.write("artifact", path=picture, what="alignment", text="one")
    write_file(folder, "checkpoints/best.pt", 1_000_000)
    record.write("checkpoint", path="checkpoints/best.pt", best=True)


def write_file(folder: str, name: str, size: int) -> None:
    with open(f"{folder}/{name}", "wb") as file:  # noqa: PTH123
        file.write(b"x" * size)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
