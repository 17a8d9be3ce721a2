"""How preparation uses the cores and continues after a kill, and what a corpus ten times as large costs the trainer.

    python -m benchmarks.data_scale [--clips 13100] [--times 1 10] [--folder ON_A_LARGE_DISK] [--json FILE]

First a corpus of noise is prepared: by one core, by all, and again by all after a kill -9 half way. Then the trainer
opens features of noise of each size, whose recordings are empty files, and trains the tiny preset on the CPU. Memory is
given as Linux's RssAnon, and RssFile: pages of mapped files, which the system reclaims when it needs memory. LJSpeech
has 13,100 clips and needs 6 GB of disk here; 131,000 clips need 13 GB. Linux only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.noise import HOP, RATE, SECONDS, write_features, write_listed, write_noise
from benchmarks.report import ROOT, table, write_results
from trainer.config import TrainerConfig
from trainer.data.corpus import content_hash
from trainer.data.features import open_features
from trainer.data.processes import cores
from trainer.dotted import merge
from trainer.protocol import EventKind, RunDir, all_events

BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1310, help="of the smaller corpus")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10], help="sizes that are opened and trained on")
    parser.add_argument("--updates", type=int, default=60, help="of training")
    parser.add_argument("--folder", type=Path, help="for the files; default: the system's temporary folder")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(opened(options.one)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="data-scale-") as name:
        folder = Path(name)
        preparation = measure_preparation(folder / "noise", options.clips)
        print(table(preparation))
        sizes = [measure_size(folder / str(n), n * options.clips, options.updates) for n in options.times]
    print(table(sizes))
    growth = {k: sizes[-1][k] - sizes[0][k] for k in sizes[0] if k.endswith("MB")}
    print(f"growth from {sizes[0]['clips']:,} to {sizes[-1]['clips']:,} clips: {growth}")
    if options.json:
        write_results(options.json, {"preparation": preparation, "sizes": sizes, "growth": growth}, vars(options))


def measure_preparation(folder: Path, clips: int) -> list[dict[str, Any]]:
    everything = sorted(os.sched_getaffinity(0))
    some = min(os.sched_getaffinity(0))
    write_noise(folder / "corpus", clips)
    rows = []
    for name, used in {"1 core": {some}, f"{cores()} cores": set(everything)}.items():
        path = write_config(folder / name, folder / "corpus")
        rows.append({"prepared by": name, **run_one(path, used)})
    path = write_config(folder / "killed", folder / "corpus")
    kill_half_way(path)
    rows.append({"prepared by": f"{cores()} cores, after a kill half way", **run_one(path, set(everything))})
    for row in rows:
        row["audio h/s"] = row["frames"] * HOP / RATE / 3600 / row["seconds"]
        row["of the time of 1 core"] = row["seconds"] / rows[0]["seconds"]
    columns = ("prepared by", "clips", "seconds", "audio h/s", "of the time of 1 core", "anonymous MB")
    return [{column: row[column] for column in columns} for row in rows]


def measure_size(folder: Path, clips: int, updates: int) -> dict[str, Any]:
    write_listed(folder / "corpus", clips)
    path = write_config(folder, folder / "corpus", updates)
    write_features(TrainerConfig.load(path), clips)
    at_opening = run_one(path, set(os.sched_getaffinity(0)))
    trained = train(path)
    return {
        "clips": clips,
        "hours": at_opening["frames"] * HOP / RATE / 3600,
        "seconds to list": at_opening["listing"],
        "seconds to open": at_opening["seconds"],
        "before opening MB": at_opening["before MB"],
        "opened, anonymous MB": at_opening["anonymous MB"],
        "opened, of files MB": at_opening["of files MB"],
        **trained,
    }


def run_one(config: Path, used: set[int]) -> dict[str, Any]:
    """Open the features of `config` in another process, which may use the cores `used`."""
    command = [sys.executable, "-m", "benchmarks.data_scale", "--one", str(config)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, used),
    )
    return dict(json.loads(done.stdout))


def opened(path: Path) -> dict[str, Any]:
    """`benchmarks.report` has imported torch, so memory is as in a trainer."""
    config = TrainerConfig.load(path)
    before = memory(os.getpid())
    started = time.monotonic()
    features = open_features(config)
    seconds = time.monotonic() - started
    after = memory(os.getpid())
    started = time.monotonic()
    content_hash(config.corpus, Path(config.paths.cache))
    return {
        "clips": len(features),
        "frames": int(features.offsets[-1]),
        "seconds": seconds,
        "listing": time.monotonic() - started,
        "before MB": sum(before),
        "anonymous MB": after[0],
        "of files MB": after[1],
    }


def kill_half_way(config: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from trainer.config import TrainerConfig;"
        "from trainer.data.features import open_features\n"
        "if __name__ == '__main__':\n"
        "    show = lambda done, total, what: done == total // 2 and print(flush=True)\n"
        "    open_features(TrainerConfig.load(Path(sys.argv[1])), show)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(config)], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()


def train(config: Path) -> dict[str, Any]:
    """A run of the trainer: its updates and largest memory."""
    run = RunDir(Path(TrainerConfig.load(config).paths.run))
    command = [sys.executable, "-m", "trainer", "--config", str(config)]
    anonymous = files = 0
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            now = memory(process.pid)
            anonymous, files = max(anonymous, now[0]), max(files, now[1])
            time.sleep(0.05)
    last = all_events(run.events)[-1]
    if last.kind is not EventKind.FINISHED:
        sys.exit(f"the trainer did not finish: {last}")
    return {"updates": last.update, "trained, anonymous MB": anonymous, "trained, of files MB": files}


def memory(pid: int) -> tuple[int, int]:
    """-> anonymous, of files; MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    found = dict(line.split(":", 1) for line in lines)
    anonymous, files = (round(int(found.get(name, "0 kB").split()[0]) / 1024) for name in ("RssAnon", "RssFile"))
    return anonymous, files


def write_config(folder: Path, corpus: Path, updates: int = 1) -> Path:
    frames = round(SECONDS * RATE / HOP)
    settings = {
        "preset": "tiny",
        # The smallest share that is allowed, since validation is not measured.
        "corpus": {"source": str(corpus), "validation_share": 0.001},
        "text": {"language": "en"},
        "batch": {"size": BATCH},
        "budget": {"frames": updates * BATCH * frames, "reports": 2},
        "device": {"name": "cpu"},
        "logging": {"tensorboard": False, "pictures": False, "samples": False},
        "validation": {"free_running_utterances": 0},
    }
    paths = {"paths": {"run": str(folder / "run"), "cache": str(folder / "cache")}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(merge(settings, paths)), encoding="utf-8")
    return folder / "config.json"


if __name__ == "__main__":
    main()
