"""The study for a corpus on this machine: both are measured, and it is written as a file. For `voice` and `init`."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna import get_all_study_names
from rich.console import Console

from smart_tuner.config import Settings
from smart_tuner.errors import NoStudies, UserError
from smart_tuner.formatting import duration
from smart_tuner.machine.gpus import count_gpus
from smart_tuner.machine.load import busy_processors
from smart_tuner.run.corpus import prepare_corpus
from smart_tuner.spec import StudySpec, parse_study
from smart_tuner.store.storage import open_to_read
from smart_tuner.strict_yaml import parse_value, read_mapping
from smart_tuner.training.plan import Command, Plan, validation_share
from smart_tuner.training.speed import frames_per_second
from smart_tuner.workspace import Workspace
from trainer.config import DeviceConfig
from trainer.files import write_atomically

FROM = "warm_start"  # the setting behind `--from`
LEAST_TRAINING = 60.0  # seconds; with less, the time is too short for a voice
_BUSY = 0.25  # share of the processors that other programs may use without a word about it


def plan_for(
    name: str, corpus: str, hours: float, fixed: Mapping[str, Any], settings: Settings, console: Console
) -> Plan:
    """Measure how fast this machine trains, prepare the corpus, and divide the hours.

    corpus: anchored. Raises UserError where the hours are too short, CorpusRefused where the corpus cannot be used.
    """
    has_gpu = settings.device.startswith("cuda") or (settings.device == "auto" and count_gpus() > 0)
    preset = _preset_for(fixed, has_gpu)
    draft = Plan(name, corpus, preset, minutes=0, language="", hours=hours, speed=1.0)
    spec = parse_study(parse_value(draft.study("study.yaml", fixed)), f"the study of {name!r}")
    workspace = Workspace(settings.workspace)
    busy = 0.0 if has_gpu else busy_processors()
    others = f"; other programs use {100 * busy:.0f} % of its processors now, without them it is faster"
    console.print(
        f"measuring how fast this machine trains{others if busy > _BUSY else ''}", highlight=False, soft_wrap=True
    )
    params = dict(spec.enqueue[0])
    speed = frames_per_second(spec, params, workspace, console, settings.device)
    device = DeviceConfig(name=settings.device)
    config = spec.trainer_config(params, seed=1, paths=workspace.paths(spec.name, 0), device=device)
    prepared = prepare_corpus(config, console)
    minutes, language = float(prepared["minutes"]), str(prepared["language"])
    is_given = any(key in fixed for key in ("corpus.validation_share", "corpus.validation_source"))
    share = None if is_given else validation_share(prepared["train"], prepared["validation"])
    plan = Plan(name, corpus, preset, minutes, language, hours, speed, share)
    _refuse_too_short(plan)
    return plan


def write_study(
    plan: Plan, path: Path, fixed: Mapping[str, Any], command: Command = "voice", found: Sequence[str] = ()
) -> StudySpec:
    """command, found: as for `Plan.study`. Raises StudyError where what is written is no study."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as beside:
        beside.write_text(plan.study(str(path), fixed, command, found), encoding="utf-8")
    return parse_study(read_mapping(path, UserError), str(path))


def refuse_used_names(names: Sequence[str], settings: Settings) -> None:
    """Raises UserError where the store has a study of one of the names. names: the one that was asked for first."""
    with suppress(NoStudies):
        studies = get_all_study_names(open_to_read(settings.storage_url))
        if taken := [name for name in names if name in studies]:
            raise UserError(f"--name {names[0]}: there is a study {taken[0]!r} already; give another --name.")


def _preset_for(fixed: Mapping[str, Any], has_gpu: bool) -> str:
    if FROM in fixed:
        return "voice"
    return "full" if has_gpu else "tiny"


def _refuse_too_short(plan: Plan) -> None:
    if plan.train_seconds < LEAST_TRAINING:
        least = (plan.search_seconds + plan.rest_seconds + 5 * LEAST_TRAINING) / 60
        raise UserError(
            f"{duration(3600 * plan.hours)} are too short here: at {plan.speed:,.0f} frames a second the search alone "
            f"takes about {duration(plan.search_seconds)}; give --minutes {least:.0f} or more."
        )
