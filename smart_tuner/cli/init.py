"""`smart-tuner init`: looks at a corpus, and writes a study for it and this machine."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smart_tuner.cli.opening import make_console, settings_from, store_options
from smart_tuner.cli.options import Device, Storage, Workspace
from smart_tuner.cli.voices import Fixed, FromVoice, Hours, Minutes, fixed_of, hours_of

if TYPE_CHECKING:
    from smart_tuner.corpus_check import CorpusCheck

HOURS = 8.0  # a night


def init(
    path: Annotated[str, typer.Argument(help="A folder of recordings and texts, a list of them, or demo:en.")] = ".",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write (default: studies/NAME.yaml)."),
    ] = None,
    hours: Hours = None,
    minutes: Minutes = None,
    name: Annotated[str | None, typer.Option(help="Name of the study (default: that of the folder).")] = None,
    from_voice: FromVoice = None,
    overrides: Fixed = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    device: Device = None,
    workspace: Workspace = None,
    storage: Storage = None,
) -> None:
    """Look at a corpus, measure this machine, and write a study for both, to be read and changed before it is run.

    It is the study that `smart-tuner voice` would search in 8 hours, or in those given: the preset by whether there is
    a GPU, as many trials as fit into 30 % of the time, up to 40, ranges about a setting that is known to work; each
    choice has a comment that says why. All recordings and texts are read, and what is wrong with them is said. Nothing
    of the corpus is changed, and nothing is searched; the features are kept for the study. The last lines are the next
    commands.
    """
    from smart_tuner.errors import UserError
    from smart_tuner.formatting import counted
    from smart_tuner.training.new_study import plan_for, refuse_used_names, write_study
    from smart_tuner.training.train import refuse_name
    from smart_tuner.training.voices import name_of_corpus
    from smart_tuner.workspace import anchor

    whole = hours_of(hours, minutes) or HOURS
    settings = settings_from(device=device, workspace=workspace, storage=storage)
    fixed = fixed_of(overrides, from_voice, settings.workspace)
    source = anchor(path)
    chosen = name or name_of_corpus(path)
    refuse_name(chosen)
    file = output or Path("studies") / f"{chosen}.yaml"
    if file.suffix not in (".yaml", ".yml") or file.is_dir():
        raise UserError(f"--output {file}: a study is a .yaml file; give another name.")
    if file.exists() and not force:
        raise UserError(f"{file}: exists already; --force overwrites it, --output names another file.")
    refuse_used_names((chosen,), settings)
    check = _checked(source, fixed, settings.workspace)
    console = make_console()
    plan = plan_for(chosen, source, whole, fixed, settings, console)
    spec = write_study(plan, file, fixed, "init", _found(check))
    options = store_options(settings)
    lines = [
        plan.why_preset,
        *plan.lines(),
        f"{file}: written, with {counted(len(spec.search), 'parameter')} to search; change what you like, then:",
        f"  smart-tuner optimize --study {shlex.quote(str(file))}{options}",
        f"  smart-tuner train --study {chosen} --hours {plan.train_seconds / 3600:.3g}{options}",
    ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _checked(source: str, fixed: dict[str, object], workspace: Path) -> "CorpusCheck":
    """Read all of the corpus, and say what is there and what is wrong.

    Raises CorpusRefused where no voice can be trained on it.
    """
    import tempfile

    from smart_tuner.errors import CorpusRefused
    from smart_tuner.run.corpus_check import SETTINGS, check_corpus, config_of
    from smart_tuner.terminal.corpus_check import print_short_form
    from smart_tuner.workspace import Workspace as Folders
    from trainer.corpus_report import Severity, State

    read_by = {key: value for key, value in fixed.items() if key.startswith(SETTINGS)}
    config = config_of(source, read_by, Folders(workspace))
    with tempfile.TemporaryDirectory(prefix="smart-tuner-") as folder:
        check = check_corpus(config, Path(folder), make_console(stderr=True), page=False, texts=False, fix=None)
    console = make_console()
    for line in (f"{source}: {check.description}", *_found(check)):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    print_short_form([group for group in check.groups if group.severity is not Severity.NOTE], source, console)
    if check.state is State.UNUSABLE:
        raise CorpusRefused(
            f"{source}: {check.state}: {check.summary}. All of it: smart-tuner corpus check {shlex.quote(source)}"
        )
    return check


def _found(check: "CorpusCheck") -> list[str]:
    """What is in the corpus, for the terminal and the comment of the study."""
    from smart_tuner.corpus_check import COLUMNS

    sentences = check.train + check.validation
    lines = [f"{sentences:,} sentences, {check.minutes:.1f} minutes of speech, language {check.language}."]
    lines += [f"{words}: {', '.join(values)} ({', '.join(COLUMNS)})" for words, values in check.figure_rows[:1]]
    return [*lines, f"{check.state}: {check.summary}"]
