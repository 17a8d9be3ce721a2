"""Values and files in YAML, as `trainer.strict_yaml` reads it, with errors for people."""

from pathlib import Path
from typing import Any

import yaml

from smart_tuner.errors import UserError
from trainer.strict_yaml import StrictLoader


def parse_value(text: str) -> Any:
    """The value of a YAML text. Raises ValueError where it is invalid."""
    try:
        return yaml.load(text, StrictLoader)
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
        found = yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
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
