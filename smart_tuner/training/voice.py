"""`smart-tuner voice`: from a corpus to a voice that speaks, by the plain commands, one after the other.

Each step is a command of its own, in a process of its own, and is printed before it runs. What is decided and done is
kept in `voices/<name>/plan.json`, so that the same command goes on after a kill at any time.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from smart_tuner.command_hints import command_hint
from smart_tuner.config import Settings, load_settings, variable
from smart_tuner.errors import Interrupted, NoFeasibleTrial, SmartTunerError, UserError, exit_code
from smart_tuner.evaluation import read_evaluation
from smart_tuner.formatting import counted, duration, first_line
from smart_tuner.main import SmartTunerMain
from smart_tuner.outcome import Cause
from smart_tuner.store.attributes import Attr, stored_cause
from smart_tuner.training.definition import study_of
from smart_tuner.training.new_study import FROM, LEAST_TRAINING, plan_for, refuse_used_names, write_study
from smart_tuner.training.plan import Plan
from smart_tuner.training.train import refuse_name
from smart_tuner.training.voices import PLAN, voice_folder
from smart_tuner.workspace import EVALUATION_FOLDER, Workspace, anchor
from trainer.evaluation.verdict import Heard
from trainer.files import try_lock, write_atomically
from trainer.stopping import ask_for_signal

SENTENCES: Mapping[str, Sequence[str]] = {  # said in the end, by the language of the corpus; others are not spoken
    "en": (
        "This is a voice of my own.",
        "The quick brown fox jumps over the lazy dog.",
        "Tomorrow we will walk along the river and listen to the birds.",
    ),
    "ru": (
        "Это мой собственный голос.",
        "Съешь ещё этих мягких французских булок.",
        "Завтра мы пойдём вдоль реки и будем слушать птиц.",
    ),
}
_LONGER = 3  # times the time, for a voice that is not ready
_EXPORT = "export"  # the step after which the voice is made
CORPUS_PAGE = "corpus.html"
_STOPPED = "Stopped; the same command goes on."
_MORE_TRIALS = 5  # that are offered where none has figures


@dataclass
class State:
    """What is decided and done. Stored as it is."""

    corpus: str
    hours: float
    fixed: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] | None = None  # of `Plan`
    train_hours: float | None = None
    spent: float = 0.0  # seconds of earlier starts
    done: list[str] = field(default_factory=list)  # steps, by their names
    codes: dict[str, int] = field(default_factory=dict)  # with which they ended; not of those of earlier versions
    heard: str | None = None  # the verdict of the evaluation


@dataclass(frozen=True)
class Made:
    """What has come of a voice. heard: of its evaluation; None where that could not judge."""

    name: str
    folder: Path
    corpus: str
    hours: float
    fixed: Mapping[str, Any]
    is_feasible: bool  # by the constraints of its training's study
    heard: Heard | None

    @property
    def is_ready(self) -> bool:
        """Whether some of its words can be understood."""
        return self.is_feasible and self.heard not in (Heard.MUTE, Heard.HUM)

    @property
    def page_of_corpus(self) -> Path:
        return self.folder / CORPUS_PAGE

    def longer(self) -> str:
        """The command, without options of the store, that gives it more time, under another name.

        Where it speaks in part, its training goes on; where it is mute, all begins anew.
        """
        time = ["--hours", f"{_LONGER * self.hours:.3g}", "--name", f"{self.name}-longer"]
        if self.heard in (Heard.HUM, Heard.PARTS):
            return shlex.join(["smart-tuner", "train", "--study", study_of(self.name), *time])
        changes = [
            f"--from={value}" if key == FROM else f"--set={key}={json.dumps(value, ensure_ascii=False)}"
            for key, value in self.fixed.items()
        ]
        return shlex.join(["smart-tuner", "voice", self.corpus, *time, *changes])


class VoiceMaker:
    """Makes one voice. `run` may be called again in another process, until it returns."""

    def __init__(self, name: str, settings: Settings, console: Console) -> None:
        self._name = name
        self._settings = settings
        self._console = console
        self._folder = voice_folder(settings.workspace, name).path
        self._began = time.monotonic()
        self._is_new = False  # whether this process has begun the voice
        self._done_before: list[str] = []  # until it is told
        hint = command_hint(load_settings(), workspace=settings.workspace, storage=settings.storage)
        self._options = shlex.split(hint.options)

    @property
    def _file(self) -> Path:
        return self._folder / PLAN

    @property
    def _study_file(self) -> Path:
        return self._folder / "study.yaml"

    def run(self, corpus: str, hours: float | None, fixed: Mapping[str, Any]) -> Made:
        """hours: None to go on with what was asked for. fixed: settings of all trials, by dotted key; with `warm_start`
        among them, that voice is fine-tuned. Of a voice that is made already, say what has come of it.

        Raises UserError where the corpus cannot be used, the time is too short, or another corpus or time was asked for
        before, also where a step says so; Interrupted after Ctrl-C; SmartTunerError where a step fails otherwise.
        """
        state = self._opened(corpus, hours, fixed)
        with self._alone():
            try:
                self._make(state)
            except KeyboardInterrupt:  # between two steps
                raise Interrupted(_STOPPED) from None
            except Interrupted:
                raise
            except SmartTunerError:
                if self._is_new and state.plan is None:  # a mistake in the first command
                    self._forget(but=() if state.done else (CORPUS_PAGE,))
                raise
        is_feasible = state.codes.get("train") != exit_code(NoFeasibleTrial())
        heard = Heard(state.heard) if state.heard else None
        return Made(self._name, self._folder, state.corpus, state.hours, state.fixed, is_feasible, heard)

    def _forget(self, but: Collection[str]) -> None:
        """Delete the folder, or all files in it but some, where these are there."""
        for path in self._folder.iterdir():
            if path.name not in but:
                path.unlink()
        if not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _make(self, state: State) -> None:
        try:
            page = ["--html", str(self._folder / CORPUS_PAGE)]
            self._step("corpus check", state, ["corpus", "check", state.corpus, *_set(state.fixed), *page], ok=(0, 1))
            plan = self._planned(state)
            self._step("optimize", state, ["optimize", "--study", str(self._study_file), *self._options], ok=(0, 3))
            if state.train_hours is None:
                left = 3600 * state.hours - self._spent(state) - plan.rest_seconds
                state.train_hours = round(max(left, LEAST_TRAINING) / 3600, 4)
                self._save(state)
            if "train" not in state.done:
                training = ["--study", self._name, *self._setting(), "--name", self._name]
                length = ["--hours", f"{state.train_hours:g}"]
                self._step("train", state, ["train", *training, *length, *self._options], ok=(0, 3))
            voice = ["--voice", self._name, *self._options]
            self._step("evaluate", state, ["evaluate", *voice])
            state.heard = state.heard or self._heard()
            exported = str(self._folder / f"{self._name}.safetensors")
            self._step(_EXPORT, state, ["export", *voice, "-o", exported, "--force"])
            if sentences := SENTENCES.get(plan.language.partition("-")[0]):
                self._step("say", state, ["say", *sentences, *voice, "-o", str(self._folder / "said.wav")])
        finally:
            self._save(state)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Raises UserError where another process makes this voice: both would write down what is done."""
        with (self._folder / "lock").open("a") as file:
            if not try_lock(file):
                raise UserError(f"voice {self._name!r} is being made by another process now; wait for it, or stop it.")
            yield

    def _opened(self, corpus: str, hours: float | None, fixed: Mapping[str, Any]) -> State:
        refuse_name(self._name)
        Workspace(self._settings.workspace).refuse_unwritable()
        source = anchor(corpus)
        if self._file.exists():
            state = State(**json.loads(self._file.read_text(encoding="utf-8")))
            asked = (source, state.hours if hours is None else hours, dict(fixed) or state.fixed)
            is_same = asked == (state.corpus, state.hours, state.fixed)
            if state.plan is None and not is_same:  # interrupted before anything was decided
                state = State(*asked)
            elif not is_same:
                raise self._other(state)
            self._done_before = list(state.done)
            return state
        if hours is None:
            raise UserError("say how long it may take: --hours 8, or --minutes 20.")
        refuse_used_names((self._name, study_of(self._name)), self._settings)
        self._is_new = {path.name for path in self._folder.glob("*")} <= {CORPUS_PAGE}
        self._folder.mkdir(parents=True, exist_ok=True)
        return State(source, hours, dict(fixed))

    def _other(self, state: State) -> UserError:
        """That another corpus, time or setting was asked for before."""
        changes = f" with {', '.join(f'{key} = {value}' for key, value in state.fixed.items())}" if state.fixed else ""
        asked = f"already, from {state.corpus} in {duration(3600 * state.hours)}{changes}"
        other = "For another voice give another --name."
        if _EXPORT in state.done:
            further = f"smart-tuner train --study {study_of(self._name)} --name NEW --hours {_LONGER * state.hours:.3g}"
            return UserError(f"voice {self._name!r} was made {asked}. To train it further: `{further}`. {other}")
        return UserError(f"voice {self._name!r} is being made {asked}; the same command continues it. {other}")

    def _planned(self, state: State) -> Plan:
        """Measure the corpus and the machine once, write the study, and tell how the time is divided."""
        if state.plan is None:
            plan = plan_for(self._name, state.corpus, state.hours, state.fixed, self._settings, self._console)
            write_study(plan, self._study_file, state.fixed)
            state.plan = vars(plan)
            self._save(state)
            for line in plan.lines():
                self._show(f"  {line}")
        return Plan(**state.plan)

    def _step(self, name: str, state: State, arguments: Sequence[str], ok: Sequence[int] = (0,)) -> None:
        """Run a command, unless it was done before. ok: the exit codes after which the next step follows."""
        if name in state.done:
            return
        self._tell_what_is_done()
        self._show(f"$ {shlex.join(['smart-tuner', *arguments])}", style="bold")
        self._save(state)  # of a kill, at most the time of one step is lost
        code = _run(arguments, self._environment())
        if code in (-signal.SIGINT, exit_code(Interrupted())):
            raise Interrupted(_STOPPED)
        if code not in ok:
            text = f"`smart-tuner {name}` failed (exit code {code}); its message is above."
            raise UserError(text) if code == exit_code(UserError()) else SmartTunerError(text)
        state.done.append(name)
        state.codes[name] = code
        self._save(state)

    def _tell_what_is_done(self) -> None:
        """Once, by an earlier start."""
        if self._done_before:
            self._show(f"voice {self._name!r} goes on; done before: {', '.join(self._done_before)}")
            self._done_before = []

    def _heard(self) -> str | None:
        """The verdict of the evaluation; None where its figures are too few for one."""
        with suppress(OSError, ValueError):
            return read_evaluation(self._folder / EVALUATION_FOLDER).verdict
        return None

    def _setting(self) -> list[str]:
        """Which trial is trained on: the best one, or where none has figures, the first whose setting has not failed.

        The first of all has the known setting. Raises UserError where each setting that was tried has failed.
        """
        search = self._search()
        result = search.result()
        if result.best or result.nearest:
            return []
        trials = search.study().get_trials(deepcopy=False)
        left = [trial.number for trial in trials if not _has_failed(trial) and (trial.number == 0 or trial.params)]
        if not left:
            raise UserError(self._why_nothing_to_train(trials))
        return ["--trial", str(left[0])]

    def _why_nothing_to_train(self, trials: Sequence[FrozenTrial]) -> str:
        study = str(self._study_file)
        command = ["optimize", "--study", study, "--trials", str(len(trials) + _MORE_TRIALS), *self._options]
        reason = f": trial 0, {first_line(trials[0].user_attrs.get(Attr.REASON, ''))}" if trials else ""
        return (
            f"voice {self._name!r}: there is nothing to train: none of the {counted(len(trials), 'trial')} of its "
            f"search has figures{reason}. Look for the cause in the corpus ({self._folder / CORPUS_PAGE}). Where "
            f"trials diverge, lower the range of `optimizer.lr` in {study}, and `enqueue` with it; where memory is "
            f"short, that of `batch.size`. Then search on: `{shlex.join(['smart-tuner', *command])}`; after that the "
            "same command goes on."
        )

    def _search(self) -> SmartTunerMain:
        return SmartTunerMain(str(self._study_file), settings=self._settings)

    def _environment(self) -> dict[str, str]:
        """With our settings, of which some have no option in each command, or hold a password."""
        settings = self._settings
        given = {
            "workspace": str(settings.workspace),
            "storage": settings.storage_url,
            "tracking_uri": settings.tracking_uri and settings.tracking_uri.get_secret_value(),
            "device": settings.device,
        }
        return {**os.environ, **{variable(key): value for key, value in given.items() if value}}

    def _spent(self, state: State) -> float:
        """Seconds since the voice was begun, without pauses between starts."""
        return state.spent + time.monotonic() - self._began

    def _save(self, state: State) -> None:
        content = vars(replace(state, spent=self._spent(state)))
        with write_atomically(self._file) as beside:
            beside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _show(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """`smart-tuner ARGUMENTS`, in a process with our terminal that ends when we do. Returns its exit code."""
    command = [sys.executable, "-P", "-m", "smart_tuner", *arguments]
    ending = partial(ask_for_signal, signal.SIGINT)
    with subprocess.Popen(command, env=environment, preexec_fn=ending) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the process has received it, too, and saves its state
                continue


def _has_failed(trial: FrozenTrial) -> bool:
    """Whether nothing can be expected of a longer training with its setting."""
    return trial.state is TrialState.FAIL or stored_cause(trial) in (Cause.DIVERGED, Cause.MEMORY)


def _set(fixed: Mapping[str, Any]) -> list[str]:
    """The options for those settings that the corpus is read by."""
    return [f"--set={key}={value}" for key, value in fixed.items() if key.startswith(("corpus.", "audio.", "text."))]
