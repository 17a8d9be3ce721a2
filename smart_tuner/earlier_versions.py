"""What studies and trials of earlier versions do not say, and what it meant: they go on as they began. Pure."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trainer.config import EARLIER_DEFAULTS, EFFECTIVE_WHEN, TrainerConfig
from trainer.dotted import flatten, merge
from trainer.objectives import VALIDATION_LOSS

OBJECTIVE = VALIDATION_LOSS  # of a study whose definition names none: it was the only one
# Of keys that a trial's `config.json` did not always have; it has all that there were.
_CONFIG: Mapping[str, Any] = {"validation": {"best_by": OBJECTIVE}, "loss": {"gate_tail": 0}}


def present_defaults() -> dict[str, Any]:
    """What a new study records."""
    now = flatten(asdict(TrainerConfig()))
    return {key: now[key] for key in EARLIER_DEFAULTS}


def kept_defaults(definition: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a study does not give, and whose defaults were others when it was begun, as they were.

    recorded: `present_defaults` of that time; empty for a study of an earlier version.
    """
    now = present_defaults()
    fixed = flatten(definition.get("fixed", {}))
    given = {*fixed, *definition.get("search", {})}
    earlier = {**EARLIER_DEFAULTS, **recorded}
    changed = [key for key in now if earlier[key] != now[key]]
    return {key: earlier[key] for key in changed if key not in given and _has_effect(key, fixed)}


def _has_effect(key: str, fixed: Mapping[str, Any]) -> bool:
    needs = EFFECTIVE_WHEN.get(key)
    return needs is None or needs.key not in fixed or needs.test(fixed[needs.key])


def completed_definition(definition: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A stored definition with the objective and the settings that its trials had. recorded: as above."""
    kept = kept_defaults(definition, recorded)
    fixed = {**flatten(definition.get("fixed", {})), **kept}
    return {"objective": {"metric": OBJECTIVE}, **definition, "fixed": fixed}


def completed_config(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The `config.json` of a trial with the keys that it lacks."""
    return merge(_CONFIG, raw)
