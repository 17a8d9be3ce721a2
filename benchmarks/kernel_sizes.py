"""What `benchmarks.kernels` checks and times, by the kind of device."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.kernel_parity import CASES, Case


@dataclass(frozen=True)
class Sizes:
    """On a CPU they need only run."""

    cards: tuple[str, ...]
    exact: tuple[Case, ...]
    lowered: tuple[Case, ...]
    models: tuple[str, ...]
    timed: tuple[str, ...]
    compiled: tuple[tuple[str, ...], ...]  # the same, those together that share kernels
    beside_torch: tuple[str, ...]  # of those that are timed
    beside_nvidia: tuple[str, ...]
    trial: tuple[str, ...]  # arguments of `short_trial`
    limit: float  # seconds of each half of the check

    def brief(self) -> "Sizes":
        """What whole updates gain: fewer cases, only as training runs them, and shorter trials."""
        return replace(
            self,
            timed=tuple(case for case in self.timed if case != "tiny:128:400"),
            beside_torch=(),
            trial=tuple("200000" if argument == "600000" else argument for argument in self.trial),
        )

    def of(self, cases: Sequence[str]) -> "Sizes":
        """Only these are timed, and beside NVIDIA's code."""
        groups = defaultdict(list)
        for case in cases:
            groups[case.rpartition(":")[0]].append(case)  # whatever their frames, they share kernels
        compiled = tuple(map(tuple, groups.values()))
        return replace(self, timed=tuple(cases), compiled=compiled, beside_torch=(), beside_nvidia=tuple(cases))


SIZES = {
    "cuda": Sizes(
        cards=("whole", "split"),
        exact=(*CASES["least"], *CASES["tiny"], CASES["full"][0]),
        lowered=(*CASES["tiny"], *CASES["long"], *CASES["full"]),
        models=("full:128:120", "full:64:120"),
        timed=(
            "full:128:400",
            "full:64:400",
            "tiny:64:400",
            "full:128:800",
            "full:32:400",
            "tiny:128:400",
            "tiny:16:400",
        ),
        compiled=(
            ("full:128:400", "full:128:800"),
            ("full:64:400", "full:32:400"),
            ("tiny:64:400", "tiny:128:400"),
            ("tiny:16:400",),
        ),
        beside_torch=("full:128:400", "full:64:400", "tiny:64:400"),
        beside_nvidia=("full:128:400", "full:64:400"),
        trial=("--preset", "tiny", "--frames", "600000"),
        limit=80,
    ),
    "cpu": Sizes(
        cards=("split",),
        exact=tuple(CASES["least"]),
        lowered=tuple(CASES["least"]),
        models=("tiny:2:3",),
        timed=("tiny:2:3",),
        compiled=(),
        beside_torch=("tiny:2:3",),
        beside_nvidia=("tiny:2:3",),
        trial=("--preset", "tiny", "--frames", "8000", "--clips", "60", "--every", "1", "--reports", "1"),
        limit=300,
    ),
}
