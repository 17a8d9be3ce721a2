"""Trains the voice of one setting: measures the time it takes, runs it as a study of one trial, keeps the voice."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState
from rich.console import Console

from smart_tuner.config import Settings
from smart_tuner.errors import NoStudies, SmartTunerError, StudyError, UserError
from smart_tuner.formatting import duration
from smart_tuner.main import SmartTunerMain
from smart_tuner.names import folder_name
from smart_tuner.results import BestTrial
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import Attr
from smart_tuner.store.storage import open_to_read
from smart_tuner.study import existing_study, spec_of
from smart_tuner.training import speed as measuring
from smart_tuner.training.definition import definition, study_of
from smart_tuner.training.sources import Source
from smart_tuner.training.voices import VoiceFolder, voice_folder
from smart_tuner.workspace import Workspace
from trainer.protocol import EventKind, RunDir, all_events


@dataclass(frozen=True)
class Request:
    """What a user asked for; None: not given. hours and frames exclude each other.

    A training that has begun is continued by the same request, and by one that gives less.
    """

    study: str | None = None
    trial: int | None = None
    config: str | None = None
    voice: str | None = None  # to begin with
    corpus: str | None = None
    hours: float | None = None
    frames: int | None = None
    fresh: bool | None = None
    overrides: Mapping[str, Any] | None = None

    @property
    def given(self) -> dict[str, Any]:
        return {
            key: value
            for key, value in asdict(self).items()
            if value is not None and value is not False and value != {}
        }


@dataclass(frozen=True)
class Trained:
    """folder: of the voice. best: its best report, feasible or not. ended: why its training did, in words."""

    name: str
    folder: VoiceFolder
    best: BestTrial
    ended: str


def begun(name: str, settings: Settings) -> StudySpec | None:
    """The definition of the training of voice `name`; None where none has begun.

    Raises UserError for a name that a voice cannot have, since its study could not, or another study has it.
    """
    refuse_name(name)
    url = settings.storage_url
    try:
        spec = spec_of(existing_study(open_to_read(url), url, study_of(name)))
    except (NoStudies, StudyError):
        return None
    if spec.search:
        raise UserError(
            f"voice {name!r} would be trained by study {spec.name!r}, which is a search; give another --name."
        )
    return spec


def refuse_name(name: str) -> None:
    """Raises UserError for a name that, with the ending of the training's study, can name no folder."""
    try:
        folder_name(study_of(name))
    except ValueError as error:
        training = f"this name, with {study_of('')} behind it for the training,"
        raise UserError(f"--name {name}: {training} {error}.") from error


def begin(name: str, request: Request, source: Source, settings: Settings, console: Console) -> StudySpec:
    """Measure how fast the corpus trains here, and define a training that takes the time asked for.

    Raises UserError where the corpus, the settings or the time cannot be used.
    """
    frames = request.frames or source.default_frames

    def defined(frames: int) -> StudySpec:
        return definition(name, source, frames, fresh=bool(request.fresh), overrides=request.overrides)

    spec = defined(frames)
    workspace = Workspace(settings.workspace)
    _show(console, f"voice {name!r}: {source.label}; measuring for {measuring.SECONDS:.0f} s how fast it trains here")
    speed = measuring.frames_per_second(spec, {}, workspace, console, settings.device)
    if request.hours is not None:
        frames = measuring.frames_in(3600 * request.hours, speed)
        spec = defined(frames)
    seen = f" after the {source.frames / 1e6:.1f} million of the trial" if "continue_from" in spec.fixed else ""
    takes = duration(measuring.seconds_for(frames, speed))
    amount = f"{frames / 1e6:.1f} million" if frames >= 100_000 else f"{frames:,}"
    _show(console, f"voice {name!r}: {amount} frames{seen}, {speed:,.0f} a second: about {takes}")
    voice_folder(settings.workspace, name).write_request(request.given)
    return spec


def refuse_other(name: str, request: Request, settings: Settings) -> None:
    """Raises UserError where the training of this voice, which has begun, was asked for with other options."""
    before = voice_folder(settings.workspace, name).request()
    if before is None:
        return
    other = [key for key, value in request.given.items() if before.get(key) != value]
    if other:
        listed = ", ".join(f"{key} {before.get(key, 'not given')!r}, not {request.given[key]!r}" for key in other)
        raise UserError(
            f"voice {name!r} has its training already, asked for with {listed}. The same command as then continues it, "
            f"and so does `smart-tuner train --name {shlex.quote(name)}`; `smart-tuner train --study {study_of(name)} "
            "--name NEW`, with a time, trains its voice further. For another voice give another --name; "
            f"`smart-tuner delete --study {study_of(name)}` deletes this training."
        )


def train(name: str, spec: StudySpec, settings: Settings, console: Console) -> Trained:
    """Train to the end, from wherever the training is, and put the voice into its folder.

    Raises as `SmartTunerMain.optimize`, and SmartTunerError where the training has ended without a voice.
    """
    tuner = SmartTunerMain(spec, settings=settings, console=console)
    result = tuner.optimize(1)
    best = result.best or result.nearest
    if best is None or best.checkpoint is None:
        raise SmartTunerError(_why_without_voice(name, tuner))
    folder = voice_folder(settings.workspace, name)
    about = {"name": name, "made": spec.description, "study": spec.name, "corpus": spec.corpus}
    folder.publish(Path(best.checkpoint), {**about, "figures": dict(best.metrics)})
    run = Workspace(settings.workspace).run_dir(spec.name, best.trial)
    return Trained(name, folder, best, _why_ended(tuner, best.trial, run))


def _why_ended(tuner: SmartTunerMain, number: int, run: RunDir) -> str:
    """In words: that its budget is spent, that no report was better any more, or why it failed.

    number: of the trial; people may have added others.
    """
    trial = tuner.study().get_trials(deepcopy=False)[number]
    if trial.state is not TrialState.COMPLETE:
        return f"early, {trial.user_attrs.get(Attr.REASON, trial.state.name)}; the best report is kept"
    ended = [event.data.get("reason", "") for event in all_events(run.events) if event.kind is EventKind.FINISHED]
    return str(ended[-1]) if ended else ""


def _why_without_voice(name: str, tuner: SmartTunerMain) -> str:
    study = tuner.study()
    reasons = [str(trial.user_attrs.get(Attr.REASON, "")) for trial in study.get_trials(deepcopy=False)]
    why = "; ".join(filter(None, reasons)) or "its checkpoint is not on this machine"
    log = RunDir(tuner.workspace.run_dir(tuner.spec.name, 0).path).log
    return (
        f"voice {name!r}: its training has ended without a voice: {why}. Its log is {log}. To begin it again: "
        f"`smart-tuner delete --study {study.study_name}`, then the same command."
    )


def _show(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=not console.is_terminal)
