"""How the kernels are launched: tiles, warps, stages. From a table of what was measured, and defaults for the rest.

`settings.json` has an entry for each CUDA capability that was measured (`benchmarks.tune_kernels` writes it): whether
the kernels were checked on such a card, whether they are launched as dependents of each other, from which batch on
attention has one program for each utterance, and by size what differs from the defaults.

Kernels are named as in the table: "attention forward" and "lstm forward" are both `lstm_forward`, "attention product"
and "lstm product" both `product_backward`; the others are called like their functions.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("settings.json")
Settings = dict[str, int]


@dataclass(frozen=True)
class Sizes:
    """What the defaults depend on."""

    batch: int
    hidden: int
    width: int  # of what recurs
    exact: bool  # products in float32, whose tiles take twice the memory, and more registers: they are smaller


@dataclass(frozen=True)
class Card:
    """The settings of one kind of card."""

    checked: bool = False  # the kernels gave right numbers on such a card with these settings
    dependent_launch: bool = False  # a kernel starts while the one before ends; needs capability 9.0
    whole_from: int | None = None  # the batch from which attention is `whole`; None: it is always split
    tensor_memory: bool = True  # whether `TMA` of the table holds; needs capability 9.0
    programs: int = 132  # that run at once: the card's multiprocessors
    sizes: tuple[Mapping[str, Any], ...] = ()
    overrides: Mapping[str, Settings] = field(default_factory=dict)  # by kernel, before all others

    def is_whole(self, batch: int) -> bool:
        """Whether attention runs by one program for each utterance, and not by several: enough to fill the card."""
        return self.whole_from is not None and batch >= self.whole_from

    def settings(self, kernel: str, sizes: Sizes) -> Settings:
        """Of products in float32 only the defaults are known."""
        found = _DEFAULTS[kernel](sizes)
        if self.sizes and not sizes.exact:
            found |= min(self.sizes, key=lambda row: _distance(row, sizes))["kernels"].get(kernel, {})
        found |= self.overrides.get(kernel, {})
        if "TMA" in found:
            # A descriptor's rows begin at multiples of 16 bytes.
            aligned = sizes.hidden % 8 == 0 and sizes.width % 8 == 0
            found["TMA"] = int(bool(found["TMA"]) and self.tensor_memory and aligned)
        return found


def card_of(capability: tuple[int, int], programs: int = Card.programs) -> Card:
    """Of one that is not in the table: defaults that every card can run."""
    table = json.loads(TABLE.read_text())
    entry = table.get("{}.{}".format(*capability))
    if entry is None:
        return Card(programs=programs)
    return Card(**{**entry, "sizes": tuple(entry["sizes"])}, programs=programs)


def _distance(row: Mapping[str, Any], sizes: Sizes) -> tuple[float, float]:
    """The width decides first: it makes the tiles; then the batch. As ratios."""
    return abs(math.log(row["hidden"] / sizes.hidden)), abs(math.log(row["batch"] / sizes.batch))


def ceiling(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def power(n: int, least: int = 16) -> int:
    """The power of 2 that is not less than `n`."""
    return max(least, 1 << (n - 1).bit_length())


def _forward(sizes: Sizes) -> Settings:
    return {
        "BM": 16 if sizes.batch <= 32 else 32 if sizes.batch <= 64 or sizes.exact else 64,
        "BH": 16,
        "BK": 32 if sizes.exact else min(128, power(sizes.width)),
        "STAGES": 2 if sizes.exact else 4,
        "num_warps": 4,
        "TMA": 0,
    }


def _product(sizes: Sizes) -> Settings:
    rows = min(power(sizes.batch), 64 if sizes.exact else 128)
    return {
        "BM": rows,
        "BN": min(64 if sizes.exact else 128, power(sizes.width)),
        "BK": 32 if sizes.exact else min(64, power(4 * sizes.hidden)),
        "STAGES": 2 if sizes.exact else 3,
        "num_warps": 8 if rows == 128 else 4,
        "TMA": 0,
        "most_splits": 16,
    }


def _lstm_backward(sizes: Sizes) -> Settings:
    return {"BM": min(16 if sizes.exact else 32, power(sizes.batch)), "BH": 32, "num_warps": 4}


def _tokens(sizes: Sizes) -> Settings:
    return {"BN": 32, "num_warps": 8 if sizes.exact else 4}


def _all_tokens(sizes: Sizes) -> Settings:
    return {"BN": 16 if sizes.exact else 32, "STAGES": 1, "num_warps": 8}


_DEFAULTS: Mapping[str, Callable[[Sizes], Settings]] = {
    "attention forward": _forward,
    "lstm forward": _forward,
    "attention product": _product,
    "lstm product": _product,
    "lstm backward": _lstm_backward,
    "energies": _tokens,
    "context": lambda sizes: {**_tokens(sizes), "BE": 128},
    "weights backward": _tokens,
    "energies backward": _tokens,
    "attend": _all_tokens,
    "attend backward": _all_tokens,
    "attention gradients": lambda sizes: {**_all_tokens(sizes), "num_warps": 4},
}
