"""What the fused kernels of the decoder's loops give on this card: whether they are right, and how fast they are.

    python -m benchmarks.kernels [--brief] [--nvidia CHECKOUT] [--folder FOLDER] [--json FILE]
    python -m benchmarks.kernels --parts time nvidia --by fused --nvidia CHECKOUT --cases full:128:800 tiny:16:400

Two ways of attention, `whole` (one program for each utterance) and `split` (several), are checked and timed beside
torch's operations. In turn, each in processes of its own and with a limit of time:

  check   outputs and gradients of both loops; whole models' gradients; the same trial by fused kernels, by torch, and
          by torch with another seed. What fails runs again without tensor loads, without dependent launches, and
          without both. Meanwhile all that is timed is compiled.
  graph   the same updates with and without graphs of whole updates; a trial with both
  time    whole updates, as training does them
  parts   passes of the loops
  count   launches of an update
  nvidia  updates of NVIDIA's code, with --nvidia

Each prints as it goes, and writes FOLDER/*.json. Takes about 150 s on an H100. Needs only torch, numpy, PyYAML. With
`--device cpu` Triton's interpreter runs small sizes, to test this program.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.kernel_measures import PROGRAMS, Row
from benchmarks.kernel_parity import mend_interpreter
from benchmarks.kernel_sizes import SIZES
from benchmarks.report import ROOT, machine, write_results

WITHOUT = ("no tensor loads", "no dependent launches", "neither")
PARTS = ("check", "graph", "time", "parts", "count", "nvidia")
GRAPHS = ("loops", "updates")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=list(SIZES), default="cuda")
    parser.add_argument("--nvidia", type=Path, help="a checkout of NVIDIA/tacotron2 to compare with")
    parser.add_argument("--folder", type=Path, help="of the figures; default: kernels, or that of --json's name")
    parser.add_argument("--json", type=Path, help="write all figures there, too")
    parser.add_argument("--brief", action="store_true", help="graph, time and nvidia, of fewer sizes, in about 80 s")
    parser.add_argument("--cases", nargs="+", metavar="SIZE:BATCH:FRAMES", help="what is timed; default: some")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--by", nargs="+", metavar="NAME", help="fused, whole, split, torch; default: fused, torch")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.folder = options.folder or (options.json.with_suffix("") if options.json else Path("kernels"))
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.brief:
        SIZES[options.device] = SIZES[options.device].brief()
        options.parts, options.by = ("graph", "time", "nvidia"), ["fused"]
    if options.cases:
        SIZES[options.device] = SIZES[options.device].of(options.cases)
    if options.one:
        if options.device == "cpu":
            mend_interpreter()
        kind, *arguments = options.one
        rows = list(PROGRAMS[kind](options, *arguments))
        _write(options.folder, "-".join(options.one), rows)
        sys.exit(any(row.get("ok") is False for row in rows))
    begun = time.time()
    Check(options).run(options.parts)
    if options.json:
        written = [path for path in sorted(options.folder.glob("*.json")) if path.stat().st_mtime >= begun]
        rows = [row for path in written for row in json.loads(path.read_text()) if "what" in row]
        write_results(options.json, {"rows": rows}, vars(options))


class Check:
    """Runs the parts, each in processes of its own."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._sizes = SIZES[options.device]
        self._begun = time.monotonic()
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
        if options.device == "cpu":
            self._environment["TRITON_INTERPRET"] = "1"

    def run(self, parts: Sequence[str]) -> None:
        sizes = self._sizes
        _write(self._options.folder, "machine", [machine()])
        # Compiled kernels are shared by all processes.
        with tempfile.TemporaryDirectory() as cache:
            self._environment.setdefault("TRITON_CACHE_DIR", cache)
            if "check" in parts:
                self._check()
            if "graph" in parts:
                trials = [["trial", "auto", "1", graphs] for graphs in GRAPHS]
                compiled = [] if "check" in parts else [["compile", *cases] for cases in sizes.compiled]
                self._together([["graph"], *compiled, trials[0]], sizes.limit)
                for trial in trials:  # one after the other, since their speed is compared
                    self._together([trial], 40)
            if "time" in parts and not {"check", "graph"} & set(parts):
                self._together([["compile", *cases] for cases in sizes.compiled], sizes.limit)
            if "time" in parts and self._together([["time", *sizes.timed]], 90):
                for case in sizes.timed:  # each alone: a fault of one takes the device from the others
                    self._together([["time", case]], 25)
            if "parts" in parts:
                self._together([["parts", *sizes.timed[:4]]], 40)
            if "count" in parts:
                self._together([["count", sizes.timed[0], *sizes.cards]], 30)
            if "nvidia" in parts and self._options.nvidia:
                self._together([["nvidia", *sizes.beside_nvidia]], 15 + 12 * len(sizes.beside_nvidia))
        print(f"all together {time.monotonic() - self._begun:.0f} s", flush=True)

    def _check(self) -> None:
        sizes = self._sizes
        exact = [["exact", card, str(i)] for i in range(len(sizes.exact)) for card in sizes.cards]
        tiles = [["tiles", sizes.cards[-1], str(i)] for i in range(len(sizes.exact))]
        compiled = [["compile", *cases] for cases in sizes.compiled]
        failed = self._together([*compiled, *exact, *tiles], self._sizes.limit)
        lowered = [["lowered", card] for card in sizes.cards]
        models = [["models", card] for card in sizes.cards]
        trials = [["trial", "torch", "1"], ["trial", "fused", "1"], ["trial", "torch", "2"]]
        failed += self._together([*lowered, *models, *trials], self._sizes.limit)
        again = [
            [kind, f"{card}, {without}", *rest]
            for kind, card, *rest in failed
            if kind in ("exact", "tiles", "lowered")
            for without in WITHOUT
        ]
        self._together(again[:12], self._sizes.limit / 2)

    def _together(self, programs: Sequence[Sequence[str]], limit: float) -> list[Sequence[str]]:
        """-> those that failed."""
        begun = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.kernels", "--device", self._options.device]
        command += ["--folder", str(self._options.folder.resolve())]
        command += ["--nvidia", str(self._options.nvidia.resolve())] if self._options.nvidia else []
        command += ["--by", *self._options.by] if self._options.by else []
        command += ["--brief"] if self._options.brief else []
        started = [
            subprocess.Popen([*command, "--one", *p], cwd=ROOT, env=self._environment, start_new_session=True)
            for p in programs
        ]
        failed = []
        for program, process in zip(programs, started, strict=True):
            try:
                code = process.wait(max(0.1, begun + limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
                print(f"{' '.join(program)}: LONGER than {limit:.0f} s", flush=True)
            if code:
                print(f"{' '.join(program)}: FAILED, exit code {code}", flush=True)
                failed.append(program)
        if programs:
            print(f"-- {programs[0][0]}: {time.monotonic() - begun:.1f} s", flush=True)
        return failed


def _write(folder: Path, name: str, rows: Sequence[Row]) -> None:
    path = folder / f"{name.replace(':', '-').replace(', ', '-').replace(' ', '-')}.json"
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
