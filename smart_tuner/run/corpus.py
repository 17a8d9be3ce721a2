"""The corpus: checked, and turned into features once, before any trial. The trainer does it, in a separate process."""

import json
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from smart_tuner.corpus_check import group_of
from smart_tuner.errors import CorpusRefused
from smart_tuner.machine.capacity import Capacity
from smart_tuner.preparations import announced
from smart_tuner.run.context import Context
from smart_tuner.run.trainer_command import run_trainer
from smart_tuner.spec import StudySpec
from smart_tuner.terminal.corpus_check import print_short_form
from smart_tuner.workspace import anchored
from trainer.config import CorpusConfig, TextConfig, TrainerConfig
from trainer.dotted import flatten, unflatten


def prepare_corpus(config: TrainerConfig, console: Console, *, lists_only: bool = False) -> Mapping[str, Any]:
    """Check the corpus and compute its features. Returns how much speech there is.

    lists_only: check only its lists, its texts and whether its files exist, which takes a second and computes or writes
    nothing. Then it returns the number of clips, and an empty mapping for an embedded corpus.
    Raises CorpusRefused with the trainer's own message where the corpus cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="smart-tuner-") as folder:
        path = Path(folder) / "config.json"
        path.write_text(config.to_json(), encoding="utf-8")
        result = run_trainer(
            ["--check-corpus" if lists_only else "--prepare", "--config", str(path)],
            console,
            task="preparing the corpus",
            interrupted="stopping; what is prepared is kept, and the same command goes on",
            refused=CorpusRefused,
            corpus_hint=_hint(config),
        )
    if prepared := result.get("prepared"):
        return {**prepared, "findings": result.get("findings", ())}
    return result.get("found") or {}


def _hint(config: TrainerConfig) -> str:
    """The command that shows all faults of the corpus, read as by `config`; "" where there is nothing to read."""
    if not Path(config.corpus.source).exists():
        return ""
    defaults = flatten({"corpus": asdict(CorpusConfig()), "text": asdict(TextConfig())})
    chosen = flatten({"corpus": asdict(config.corpus), "text": asdict(config.text)})
    options = [
        f"--set={key}={json.dumps(value, ensure_ascii=False)}"
        for key, value in chosen.items()
        if key != "corpus.source" and value != defaults.get(key)
    ]
    command = shlex.join(["smart-tuner", "corpus", "check", config.corpus.source, *options])
    return f"All faults, also of recordings: {command}; with --fix FOLDER it writes a copy without these rows."


def prepare_study(context: Context, spec: StudySpec, capacity: Capacity) -> None:
    """Check the corpus, and compute the features that all trials share; no searched parameter changes them.

    A voice that trials start from is checked, too: with one, no parameter that shapes the model is searched.
    Raises as `prepare_corpus`.
    """
    device = capacity.devices[0] if capacity.here else "cpu"  # the trainer checks that the device exists
    config = shared_config(spec, device, asdict(context.workspace.paths(spec.name, 0)))
    console = context.console
    with announced(context.workspace, spec.name, spec.corpus):
        prepared = prepare_corpus(anchored(config), console)
    left_out = f", {prepared['skipped']} longer ones left out" if prepared["skipped"] else ""
    if prepared["layout"]:
        console.print(f"{spec.corpus}: {prepared['layout']}.", highlight=False, soft_wrap=not console.is_terminal)
    console.print(
        f"{spec.corpus}: {prepared['minutes']:.1f} minutes of speech, {prepared['train']} clips to train and "
        f"{prepared['validation']} to validate{left_out}; {capacity}.",
        highlight=False,
        soft_wrap=not console.is_terminal,  # no line breaks in a log
    )
    print_short_form([group_of(found) for found in prepared.get("findings", ())], spec.corpus, console)


def check_corpus_of(spec: StudySpec, console: Console) -> Mapping[str, Any]:
    """Find faults of the corpus before workers on other machines do. Returns and raises as `prepare_corpus`."""
    return prepare_corpus(anchored(shared_config(spec, "cpu", {})), console, lists_only=True)


def shared_config(spec: StudySpec, device: str, paths: Mapping[str, Any]) -> TrainerConfig:
    """What all trials share and features depend on."""
    parts = ("corpus.", "text.", "audio.", "model.", "warm_start", "continue_from")
    shared = {key: value for key, value in spec.fixed.items() if key.startswith(parts)}
    raw = unflatten({"preset": spec.preset, "corpus.source": spec.corpus, **shared})
    raw |= {"device": {"name": device}, "paths": dict(paths)}
    return TrainerConfig.from_mapping(raw, f"study {spec.name!r}")
