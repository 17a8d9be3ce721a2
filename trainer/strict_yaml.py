"""YAML as people mean it, for studies and configurations.

A key given twice is an error, `4e-3` is a number, `2026-01-31` and `10:30` are text. PyYAML reads YAML 1.1, where the
first is no error, the second is text (it has no dot), and the others are a date and a number to base 60. Numbers here
are those of YAML 1.2, whose thousands may be set apart by `_`. Only plain data is ever built, and no more of it than
`MOST_VALUES`, with what aliases repeat, nor deeper than `MOST_LEVELS`.
"""

import itertools
import math
import re
from typing import Any

import yaml

MOST_VALUES = 100_000  # keys and values of a file; a study has hundreds
MOST_LEVELS = 100  # of mappings and lists within each other
MOST_DIGITS = 100  # of a whole number

_TOO_MUCH = f"it has more than {MOST_VALUES:,} values, with what its aliases repeat"
_TOO_DEEP = f"it is nested too deeply, more than {MOST_LEVELS} levels, or holds itself by an alias"
_FLOAT = "tag:yaml.org,2002:float"
_INT = "tag:yaml.org,2002:int"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_DIGITS = "[0-9][0-9_]*"
_NUMBERS = {  # by tag; both may begin with a sign
    _INT: rf"^[-+]?(?:{_DIGITS}|0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+)$",
    _FLOAT: rf"^[-+]?(?:(?:{_DIGITS}\.[0-9_]*|\.{_DIGITS})(?:[eE][-+]?[0-9]+)?|{_DIGITS}[eE][-+]?[0-9]+"
    r"|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$",
}


class StrictLoader(yaml.SafeLoader):
    """Raises yaml.MarkedYAMLError for a key that is given twice, and for a text that is too large."""

    def get_single_node(self) -> yaml.Node | None:
        try:
            node: yaml.Node | None = super().get_single_node()
        except RecursionError as error:
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=self.get_mark()) from error
        if node is not None:
            values, levels = _extent(node, {})
            if values > MOST_VALUES or levels > MOST_LEVELS:
                problem = _TOO_DEEP if levels > MOST_LEVELS else _TOO_MUCH
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key `{key.value}` is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int:
        """A leading 0 means nothing, as in YAML 1.2; in 1.1 it makes `010` eight.

        Raises ValueError for `0b_`, and for more than `MOST_DIGITS`, of which Python would print no error.
        """
        text = self.construct_scalar(node)
        if len(text) > MOST_DIGITS:
            raise ValueError(f"a number has {len(text):,} digits, more than {MOST_DIGITS}")
        prefix = text.lstrip("+-")[:2]
        return int(text, {"0x": 16, "0o": 8, "0b": 2}.get(prefix, 10))


def _extent(node: yaml.Node, known: dict[int, tuple[float, float]]) -> tuple[float, float]:
    """The values of a node, as often as aliases repeat them, and its levels; both without end where it holds itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1, 0
    if id(node) not in known:
        known[id(node)] = math.inf, math.inf
        held = itertools.chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
        extents = [_extent(each, known) for each in held]
        known[id(node)] = (
            1 + sum(values for values, _ in extents),
            1 + max((levels for _, levels in extents), default=0),
        )
    return known[id(node)]


StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_TIMESTAMP, _INT, _FLOAT)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in _NUMBERS.items():
    StrictLoader.add_implicit_resolver(_tag, re.compile(_pattern), list("-+.0123456789"))
StrictLoader.add_constructor(_INT, StrictLoader.construct_number)
