"""YAML as people mean it: a key given twice is an error, `5e-4` is a number, `2026-01-31` is text.

PyYAML reads YAML 1.1, where the first is no error, the second is text (it has no dot) and the third is a date.
Only plain data is ever built.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from smart_tuner.errors import UserError


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key `{key.value}` is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def parse_value(text: str) -> Any:
    """The value of a YAML text. Raises ValueError where it is invalid."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(error.problem or "not understood") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def read_mapping(path: Path, refusal: type[UserError]) -> dict[str, Any]:
    """Read a file that holds one mapping.

    Raises `refusal`, with the file and the line of a syntax error, for a file that cannot be read, is no valid YAML,
    gives a key twice, or holds something other than a mapping.
    """
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise refusal(f"{path}: cannot be read ({error.strerror}).") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise refusal(f"{path}, line {line}: is no valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, or a number such as 0b_
        raise refusal(f"{path}: is no valid YAML: {error}.") from error
    if found is None:
        raise refusal(f"{path}: is empty; it must hold a mapping of keys to values.")
    if not isinstance(found, dict):
        raise refusal(f"{path}: must hold a mapping of keys to values, but got {type(found).__name__}.")
    return found
