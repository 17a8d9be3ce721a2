"""Which faults of a corpus its check finds: clips spoken by espeak-ng, of which some are spoiled in twelve ways.

    python -m benchmarks.spoiled_clips [--clips 2000] [--share 0.05] [--language en] [--uneven] [--json FILE]

Each way spoils as many clips as each other one. Shows for each: how many were spoiled, found, and missed; and how often
the same finding was made on clips that nobody spoiled. A wrong text is that of another clip, whose text is then wrong,
too. `--uneven` makes all clips less alike first, as the sessions of a person are: each at another rate and pitch (by
7 %), with another noise (40 to 60 dB below full scale).
"""

import argparse
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from benchmarks.report import table, write_results
from trainer.config import TrainerConfig
from trainer.data.check.limits import Kind
from trainer.data.check.reading import read_corpus
from trainer.data.check.report import Report, make_report
from trainer.data.demo.corpus import demo_corpus
from trainer.data.faults import FaultKind
from trainer.data.progress import no_progress

Samples = npt.NDArray[np.float32]
NOISE_DB = 10.0  # below the speech
GAIN = 8.0  # of a clip that clips
OFFSET = 0.05  # of full scale
QUIET_DB = -36.0
SILENCE = 1.5  # seconds
KEPT = 0.6  # share of a clip whose end is cut off
UNEVEN = 0.07  # standard deviation of the logarithm of the rate
NOISES_DB = (-60, -40)  # of full scale


@dataclass(frozen=True)
class Way:
    """How a clip is spoiled, and which findings or faults show that; spoil: None where another row is needed."""

    name: str
    found_by: frozenset[Kind | FaultKind]
    spoil: Callable[[Path, Samples, int], None] | None = None


def _write(path: Path, samples: Samples, rate: int, subtype: str = "PCM_16") -> None:
    soundfile.write(path, samples, rate, subtype=subtype)


def _truncate(path: Path, samples: Samples, rate: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _with_noise(samples: Samples) -> Samples:
    loud = float(np.sqrt(np.square(samples).mean())) * 10 ** (-NOISE_DB / 20)
    return samples + np.random.default_rng(len(samples)).normal(0, loud, len(samples)).astype(np.float32)


def _with_silence(samples: Samples, rate: int) -> Samples:
    middle = len(samples) // 2
    return np.concatenate([samples[:middle], np.zeros(round(SILENCE * rate), np.float32), samples[middle:]])


WRONG_TEXT = Way("text of another clip", frozenset({Kind.WRONG_TEXT, Kind.OTHER_TEXT, FaultKind.TOO_SHORT}))
DUPLICATE = Way("the same clip twice", frozenset({Kind.SAME_AUDIO}))
WAYS = (
    Way("truncated file", frozenset({FaultKind.TRUNCATED}), _truncate),
    Way("clipped", frozenset({Kind.CLIPPED}), lambda path, x, rate: _write(path, np.clip(GAIN * x, -1, 1), rate)),
    Way("DC offset", frozenset({Kind.OFFSET}), lambda path, x, rate: _write(path, x * 0.9 + np.float32(OFFSET), rate)),
    Way(
        "one channel inverted",
        frozenset({Kind.CANCELLED, FaultKind.CANCELLED}),
        lambda path, x, rate: _write(path, np.stack([x, -x], axis=1), rate),
    ),
    WRONG_TEXT,
    DUPLICATE,
    Way(
        "long silence inside",
        frozenset({Kind.INNER_SILENCE}),
        lambda path, x, rate: _write(path, _with_silence(x, rate), rate),
    ),
    Way("noise", frozenset({Kind.NOISY}), lambda path, x, rate: _write(path, _with_noise(x), rate)),
    Way(
        "float at the scale of integers",
        frozenset({FaultKind.SCALE}),
        lambda path, x, rate: _write(path, x * np.float32(32768), rate, "FLOAT"),
    ),
    Way(
        "much too quiet",
        frozenset({Kind.QUIET, Kind.UNLIKE_LEVEL}),
        lambda path, x, rate: _write(path, x * np.float32(10 ** (QUIET_DB / 20)), rate),
    ),
    Way("silent", frozenset({FaultKind.SILENT}), lambda path, x, rate: _write(path, 0 * x, rate)),
    Way(
        "end cut off",
        frozenset({Kind.CUT, Kind.WRONG_TEXT, FaultKind.TOO_SHORT}),
        lambda path, x, rate: _write(path, x[: round(KEPT * len(x))], rate),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument(
        "--share", type=float, default=0.05, help="of the clips that are spoiled; at least one each way"
    )
    parser.add_argument("--language", default="en", help="of the embedded corpus")
    parser.add_argument("--uneven", action="store_true", help="make all clips less alike first")
    parser.add_argument("--keep", type=Path, help="leave the spoiled corpus in this folder")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spoiled-") as name:
        folder = options.keep or Path(name) / "corpus"
        clean = demo_corpus(f"demo:{options.language}:{options.clips}", Path(name))
        shutil.copytree(clean, folder)
        if options.uneven:
            make_uneven(folder)
        each = max(1, round(options.share * options.clips / len(WAYS)))
        spoiled = spoil(folder, each)
        config = TrainerConfig.from_mapping({"corpus": {"source": str(folder)}, "paths": {"cache": name}})
        report = make_report(read_corpus(config, no_progress), config)
    rows = rows_of(spoiled, found_in(report))
    print(table(rows))
    if options.json:
        write_results(options.json, {"rows": rows}, vars(options))


def make_uneven(folder: Path) -> None:
    """Change rate, pitch and noise of each clip, in place."""
    rng = np.random.default_rng(5)
    for path in sorted((folder / "wavs").iterdir()):
        samples, rate = soundfile.read(path, dtype="float32")
        places = np.linspace(0, len(samples) - 1, round(len(samples) * rng.lognormal(0, UNEVEN)))
        noise = rng.normal(0, 10 ** (rng.uniform(*NOISES_DB) / 20), len(places))
        _write(path, (np.interp(places, np.arange(len(samples)), samples) + noise).astype(np.float32), rate)


@dataclass(frozen=True)
class Spoiled:
    """ways: by the line of the list; partners: lines whose recording, which is as it was, another line has too."""

    ways: Mapping[str, Way]
    partners: frozenset[str]


def spoil(folder: Path, each: int, with_ways: Sequence[Way] = WAYS) -> Spoiled:
    """Spoil `each` clips in each way, in place."""
    listed = folder / "metadata.csv"
    lines = [line.split("|") for line in listed.read_text(encoding="utf-8").splitlines()]
    drawn = random.Random(1).sample(range(len(lines)), 2 * each * len(with_ways))
    pairs = list(zip(drawn[::2], drawn[1::2], strict=True))
    ways: dict[str, Way] = {}
    partners: set[str] = set()
    for number, (at, partner) in enumerate(pairs):
        way = with_ways[number // each]
        ways[_origin(at)] = way
        path, other = (folder / "wavs" / f"{lines[i][0]}.wav" for i in (at, partner))
        if way is DUPLICATE:
            shutil.copyfile(other, path)
            lines[at][1:] = lines[partner][1:]
            partners.add(_origin(partner))
        elif way is WRONG_TEXT:
            lines[at][1:], lines[partner][1:] = lines[partner][1:], lines[at][1:]
            ways[_origin(partner)] = way
        else:
            assert way.spoil is not None
            samples, rate = soundfile.read(path, dtype="float32")
            way.spoil(path, samples, rate)
    listed.write_text("".join("|".join(line) + "\n" for line in lines), encoding="utf-8")
    return Spoiled(ways, frozenset(partners))


def _origin(line: int) -> str:
    return f"metadata.csv:{line + 1}"


def found_in(report: Report) -> dict[str, set[Kind | FaultKind]]:
    """What was found, by the line of the list."""
    found: dict[str, set[Kind | FaultKind]] = {}
    for group in report.groups:
        for finding in group.findings:
            found.setdefault(finding.origin, set()).add(group.kind)
    for refused in report.refused:
        for fault in refused.faults:
            found.setdefault(fault.origin, set()).add(FaultKind(refused.kind))
    return found


def rows_of(spoiled: Spoiled, found: Mapping[str, set[Kind | FaultKind]]) -> list[dict[str, Any]]:
    rows = []
    for way in WAYS:
        lines = [line for line, of in spoiled.ways.items() if of is way]
        hits = [line for line in lines if found.get(line, set()) & way.found_by]
        if way is DUPLICATE:  # either of the two lines
            hits += [line for line in spoiled.partners if found.get(line, set()) & way.found_by]
        clean = [line for line in found if line not in spoiled.ways and line not in spoiled.partners]
        alarms = [line for line in clean if found[line] & way.found_by]
        rows.append(
            {
                "spoiled": way.name,
                "clips": len(lines),
                "found": len(hits),
                "missed": len(lines) - len(hits),
                "false alarms": len(alarms),
                "found as": ", ".join(sorted(way.found_by)),
            }
        )
    return rows


if __name__ == "__main__":
    main()
