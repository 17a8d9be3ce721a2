"""Whether voices align in other languages, given as phonemes.

    python -m benchmarks.languages [--languages de,fr,ru,es] [--frames 1000000] [--json FILE]

Trains the tiny preset on the embedded corpus of each language (`demo:de`, ...), read as phonemes. Shows the alignment
of the best report with a teacher, and of the validation sentences without one.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, table, write_results
from trainer.config import TrainerConfig
from trainer.dotted import merge
from trainer.protocol import EventKind, RunDir, all_events

SETTINGS: dict[str, Any] = {
    "preset": "tiny",
    "seed": 7,
    "optimizer": {"lr": 2e-3},
    "guided_attention": {"weight": 10.0},
    "budget": {"reports": 10},
    "logging": {"tensorboard": False, "pictures": False, "samples": False},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--languages", default="de,fr,ru,es", help="separated by commas (default: %(default)s)")
    parser.add_argument("--sentences", type=int, default=300, help="of each corpus (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=1_000_000, help="to train for (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = [measure(language, options, Path(name)) for language in options.languages.split(",")]
    print(table(rows))
    if options.json:
        write_results(options.json, {"languages": rows}, vars(options))


def measure(language: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    run = RunDir(folder / language)
    run.create()
    own = {
        "corpus": {"source": f"demo:{language}:{options.sentences}"},
        "text": {"kind": "phonemes", "language": language},
        "budget": {"frames": options.frames},
        "paths": {"run": str(run.path), "cache": str(folder / "cache")},
    }
    run.config.write_text(TrainerConfig.from_mapping(merge(SETTINGS, own)).to_json(), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "trainer", "--config", str(run.config)], cwd=ROOT, check=True)
    events = all_events(run.events)
    best = max(event.data["alignment"] for event in events if event.kind is EventKind.VALIDATION)
    spoken = [event.data for event in events if event.kind is EventKind.FREE_RUNNING][-1]
    return {
        "language": language,
        "frames": options.frames,
        "alignment with a teacher": best,
        "without": spoken.get("alignment"),
        "sentences that fail": spoken.get("failed"),
    }


if __name__ == "__main__":
    main()
