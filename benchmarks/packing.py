"""How many trials an hour a machine, or a GPU, trains with one, two, four or eight of them at once.

    python -m benchmarks.packing [--device cuda] [--mps] [--preset tiny] [--at-once 1 2 4 8] [--json FILE]

Starts the trainers on noise, waits until all of them train, and adds up the frames that they train in the same seconds.
On the CPU they share the cores, as with the tuner, with one thread each at least, and are started anew for each number
of them. On a GPU as many as the largest number are started, with one thread each; for a smaller number the others are
stopped (SIGSTOP) and keep only their memory. --mps uses NVIDIA's Multi-Process Service: its daemon, a program of the
driver, is started and ended here, with its files in a folder of this benchmark, so that another one is left alone; the
trainers are asked to end before it. Memory is the largest that a trainer reports. A trial has `--frames` frames;
validation and starting are not counted. Linux only; needs only torch, numpy and pyyaml.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.noise import write_features, write_listed
from benchmarks.report import ROOT, table, write_results
from trainer.config import TrainerConfig
from trainer.data.processes import cores
from trainer.dotted import merge
from trainer.protocol import Event, EventKind, RunDir, all_events

CLIPS = 256
FRAMES_OF_A_TRIAL = {"tiny": 600_000, "full": 140_000_000}  # as in the studies quickstart and ljspeech
SECONDS_OF_A_CLIP = {"tiny": 2.1, "full": 6.57}
LEAST_REPORTS = 5  # of progress, of each trainer, in the time that is measured
EVERY = {"cpu": 1, "cuda": 10}  # updates from one report of progress to the next
START_SECONDS = 300.0  # until all train
END_SECONDS = 20.0  # from the request to end until a trainer is killed
MPS = "nvidia-cuda-mps-control"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--mps", action="store_true", help="share the GPU by NVIDIA's Multi-Process Service")
    parser.add_argument("--preset", choices=["tiny", "full"], default="tiny")
    parser.add_argument("--at-once", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--batch", type=int, help="default: the preset's")
    parser.add_argument("--reduction", type=int, help="default: the preset's")
    parser.add_argument("--frames", type=int, help="of a trial; default: of the preset's study")
    parser.add_argument("--seconds", type=float, default=20.0, help="that are measured, at least")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    frames = options.frames or FRAMES_OF_A_TRIAL[options.preset]
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = stack.enter_context(multi_process_service(folder / "mps")) if options.mps else dict(os.environ)
        settings = settings_of(folder, options)
        write_listed(folder / "corpus", CLIPS, SECONDS_OF_A_CLIP[options.preset])
        write_features(TrainerConfig.from_mapping(settings), CLIPS, SECONDS_OF_A_CLIP[options.preset])
        groups = [options.at_once] if options.device == "cuda" else [[number] for number in options.at_once]
        for numbers in groups:
            rows += measure(folder / f"{max(numbers)}", settings, numbers, options.seconds, environment)
    for row in rows:
        row["trials/h"] = row["frames/s"] * 3600 / frames
        row["to one at a time"] = row["frames/s"] / rows[0]["frames/s"]
    print(table(rows))
    if options.json:
        write_results(options.json, {"rows": rows}, vars(options))


def settings_of(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "preset": options.preset,
        "corpus": {"source": str(folder / "corpus")},
        "text": {"language": "en"},
        "budget": {"frames": 10**12, "reports": 1},  # ended by a signal
        "device": {"name": options.device},
        "logging": {
            "progress_every_updates": EVERY[options.device],
            "checkpoint_every_seconds": 86_400,
            "tensorboard": False,
        },
        "paths": {"cache": str(folder / "cache")},
    }
    if options.batch:
        settings["batch"] = {"size": options.batch}
    if options.reduction:
        settings["model"] = {"reduction": options.reduction}
    return settings


def measure(
    folder: Path, settings: Mapping[str, Any], numbers: Sequence[int], seconds: float, environment: Mapping[str, str]
) -> list[dict[str, Any]]:
    """As many trainers as the largest of `numbers` -> a row for each of them."""
    threads = max(1, cores() // max(numbers))
    runs = [RunDir(folder / f"trial-{i}") for i in range(max(numbers))]
    with ExitStack() as stack:
        processes = [stack.enter_context(trainer(run, settings, threads, environment)) for run in runs]
        when_all(lambda run: len(progress(run)) > 1, runs, processes)
        found = {}
        for number in sorted(numbers, reverse=True):
            for process in processes[number:]:
                process.send_signal(signal.SIGSTOP)
            found[number] = rates(runs[:number], processes[:number], seconds)
        memory = max(progress(run)[-1].data["memory_bytes"] for run in runs)
    return [
        {
            "at once": number,
            "threads each": threads,
            "frames/s": found[number],
            "largest memory MB": round(memory / 1e6),
        }
        for number in numbers
    ]


def rates(runs: Sequence[RunDir], processes: Sequence["subprocess.Popen[bytes]"], seconds: float) -> float:
    """Frames per second of all together, from now on."""
    start = time.time()
    time.sleep(seconds)
    when_all(lambda run: len(since(run, start)) > LEAST_REPORTS, runs, processes)
    return sum(rate(since(run, start)) for run in runs)


@contextmanager
def trainer(
    run: RunDir, settings: Mapping[str, Any], threads: int, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    run.create()
    own = {
        "paths": {"run": str(run.path)},
        "seed": int(run.path.name.rpartition("-")[2]),
        "device": {"threads": threads},
    }
    run.config.write_text(json.dumps(merge(settings, own)), encoding="utf-8")
    command = [sys.executable, "-m", "trainer", "--config", str(run.config)]
    shared = {**environment, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with subprocess.Popen(command, cwd=ROOT, env=shared, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            # Those that are killed while they compute may leave NVIDIA's service in an error.
            process.terminate()
            process.send_signal(signal.SIGCONT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            process.kill()


def when_all(true: Any, runs: Sequence[RunDir], processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Wait until `true` holds for every run."""
    end = time.time() + START_SECONDS
    while not all(true(run) for run in runs):
        gone = [run for run, process in zip(runs, processes, strict=True) if process.poll() is not None]
        if gone or time.time() > end:
            sys.exit(f"not all trainers train: {gone or 'after five minutes'}\n{runs[0].log.read_text()[-2000:]}")
        time.sleep(0.2)


def progress(run: RunDir) -> list[Event]:
    return [event for event in all_events(run.events) if event.kind is EventKind.PROGRESS]


def since(run: RunDir, start: float) -> list[Event]:
    return [event for event in progress(run) if event.time >= start]


def rate(events: Sequence[Event]) -> float:
    """Frames per second between the first and the last."""
    return (events[-1].frames - events[0].frames) / (events[-1].time - events[0].time)


@contextmanager
def multi_process_service(folder: Path) -> Iterator[dict[str, str]]:
    """-> the environment of the processes that share a GPU by it. Exits where the driver's program is missing."""
    if shutil.which(MPS) is None:
        sys.exit(f"--mps needs {MPS}, which comes with NVIDIA's driver; it is not on the PATH")
    folder.mkdir()
    environment = {**os.environ, "CUDA_MPS_PIPE_DIRECTORY": str(folder), "CUDA_MPS_LOG_DIRECTORY": str(folder)}
    subprocess.run([MPS, "-d"], env=environment, check=True)
    try:
        yield environment
    finally:
        subprocess.run([MPS], input="quit\n", text=True, env=environment, check=True)


if __name__ == "__main__":
    main()
