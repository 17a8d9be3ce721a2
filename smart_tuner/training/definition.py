"""A training as the definition of a study: one setting, one trial, no search and no pruning."""

from collections.abc import Mapping
from typing import Any

from smart_tuner.spec import StudySpec, parse_study
from smart_tuner.spec import overrides as changes
from smart_tuner.training.sources import Source
from trainer.config import EFFECTIVE_WHEN

REPORTS = 40  # over the whole training
# What a training does that a trial does not. Chosen, not measured; docs/train.md names the sources.
COURSE: Mapping[str, Any] = {
    # Constant, then down to almost nothing: the end takes the noise of single updates out of the weights.
    "schedule.kind": "wsd",
    "schedule.final_factor": 0.03,
    "averaging.share": 0.03,
    "corrections.kind": "all",
    "checkpoints.best": 3,
    "checkpoints.every_hours": 1.0,
    "validation.free_running_utterances": 16,
    "validation.free_running_share": 0.1,  # that it unlearns to speak must be noticed soon
    "validation.patience": REPORTS // 3,  # reports
}


_SUFFIX = "-voice"


def study_of(voice: str) -> str:
    """The name of the study that trains a voice."""
    return voice + _SUFFIX


def voice_name(spec: StudySpec) -> str:
    """Of the voice that a study trains, or that a training of its best trial makes."""
    return spec.name if spec.search else spec.name.removesuffix(_SUFFIX)


def definition(
    voice: str, source: Source, frames: int, *, fresh: bool = False, overrides: Mapping[str, Any] | None = None
) -> StudySpec:
    """frames: to train, beside those that `source` has seen, from which the training goes on unless `fresh`.

    overrides: as for `--set`. Raises StudyError where they do not fit.
    """
    goes_on = source.state is not None and not fresh
    is_fine_tuning = source.config.preset == "voice"  # whose rate falls from the beginning
    course = {key: value for key, value in COURSE.items() if not (is_fine_tuning and key.startswith("schedule."))}
    fixed = {**source.settings, **course}
    if source.voice is not None and not fresh:
        fixed["warm_start"] = str(source.voice)
    elif goes_on:
        fixed["continue_from"] = str(source.state)
    elif source.config.warm_start:
        fixed["warm_start"] = source.config.warm_start
    raw: dict[str, Any] = {
        "name": study_of(voice),
        "description": f"The training of voice {voice}, with the setting of {source.label}.",
        "corpus": source.config.corpus.source,
        "preset": source.config.preset,
        "fixed": fixed,
        "budget": {"frames": frames + (source.frames if goes_on else 0), "reports": REPORTS},
        "objective": {"metric": source.config.validation.best_by},
        "constraints": {"alignment": {"at_least": source.config.validation.alignment_floor}},
        "search": {},
        "pruner": {"kind": "none"},
        "trials": 1,
    }
    where = f"the training of voice {voice!r}"
    changed = changes.apply(raw, overrides) if overrides else raw
    given = {key.removeprefix("fixed.") for key in overrides or {}}
    fixed = changed["fixed"]
    changed["fixed"] = {key: value for key, value in fixed.items() if key in given or _has_effect(key, fixed)}
    return parse_study(changed, where)


def _has_effect(key: str, fixed: Mapping[str, Any]) -> bool:
    needs = EFFECTIVE_WHEN.get(key)
    return needs is None or needs.key not in fixed or needs.test(fixed[needs.key])
