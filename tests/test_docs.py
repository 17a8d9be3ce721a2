"""What README, CONTRIBUTING and docs/ name exists: files, links, modules, commands and their options."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from smart_tuner.cli.commands import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = "benchmarks|config|docs|scripts|smart_tuner|studies|tests|trainer"
PATH = re.compile(rf"(?:{FOLDERS})/[\w./-]*|[\w/]+\.py")
OF_A_USER = {"config/local.yaml"}  # what a person makes
OF_OTHERS = {"--volumes"}  # options of docker compose
CHECK = ROOT / "trainer" / "data" / "check" / "command.py"
EXPORT = ROOT / "trainer" / "export" / "command.py"
TRAINER = (ROOT / "trainer" / "__main__.py", ROOT / "trainer" / "evaluation" / "command.py", CHECK, EXPORT)
TUNER: Any = typer.main.get_command(app)


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_files_and_folders_exist(page: Path) -> None:
    """A name without a folder is looked for beside the files and in the folders that its line has named so far."""
    missing = []
    for line in page.read_text(encoding="utf-8").splitlines():
        folders = {ROOT}
        for name in re.findall(r"`([^`]+)`", line):
            if not PATH.fullmatch(name) or name in OF_A_USER:
                continue
            found = next((folder / name for folder in folders if (folder / name).exists()), None)
            if found is None:
                missing.append(name)
            else:
                folders.add(found if found.is_dir() else found.parent)
    assert not missing


def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


def test_benchmarks_exist_and_take_the_options_given(page: Path) -> None:
    for name, rest in commands_in(page, r"python -m benchmarks\.(\w+)"):
        assert set(options_in(rest)) <= options_of_program(ROOT / "benchmarks" / f"{name}.py"), name


def test_every_benchmark_that_contributing_lists_exists() -> None:
    _, _, table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("| `python -m benchmarks.` |")
    names = re.findall(r"(?m)^\| `(\w+)` \|", table)
    assert names
    assert not [name for name in names if not (ROOT / "benchmarks" / f"{name}.py").exists()]


def test_commands_exist_and_take_the_options_given(page: Path) -> None:
    for name, rest in commands_in(page, r"smart-tuner ([a-z]+)\b"):
        assert name in TUNER.commands
        command = TUNER.commands[name]
        if hasattr(command, "commands"):  # a group
            assert rest.split()[:1], name
            command = command.commands[rest.split()[0]]
        assert set(options_in(rest)) <= options_of(command), name


def test_the_trainer_takes_the_options_given(page: Path) -> None:
    for _, rest in commands_in(page, r"(python -m trainer)\b"):
        assert set(options_in(rest)) <= options_of_program(*TRAINER)


def test_options_by_themselves_exist(page: Path) -> None:
    """Such as `--watch`, in a sentence about a command."""
    programs = [*TRAINER, *(ROOT / "benchmarks").glob("*.py")]
    known = OF_OTHERS.union(*map(options_of, commands_of(TUNER)), *map(options_of_program, programs))
    named = {option for code in snippets(page) if code.startswith("--") for option in options_in(code)}
    assert named <= known


def test_modules_in_comments_of_pyproject_exist() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    names = re.findall(r"\b(?:smart_tuner|trainer|tests|benchmarks)(?:\.\w+)+", text)
    assert names
    missing = [name for name in names if not is_module(ROOT.joinpath(*name.split(".")))]
    assert not missing


def test_modules_that_the_code_names_exist() -> None:
    """`trainer.text.SYMBOLS` is a word in trainer/text; `trainer.log` is a file of a trial."""
    missing = []
    sources = [path for package in ("smart_tuner", "trainer", "benchmarks") for path in (ROOT / package).rglob("*.py")]
    for source in sources:
        for name in re.findall(r"`((?:smart_tuner|trainer)(?:\.(?!log\b)\w+)+)", source.read_text(encoding="utf-8")):
            module, rest = ROOT, name.split(".")
            while rest and is_module(module / rest[0]):
                module /= rest.pop(0)
            file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
            if rest and not re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8")):
                missing.append(f"{source.relative_to(ROOT)}: {name}")
    assert not missing


def is_module(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").exists()


def snippets(page: Path) -> Iterator[str]:
    """Code within a line, and lines of code that are indented."""
    for line in page.read_text(encoding="utf-8").splitlines():
        yield from [line.strip()] if line.startswith("    ") else re.findall(r"`([^`]+)`", line)


def commands_in(page: Path, pattern: str) -> Iterator[tuple[str, str]]:
    """The name of each command, and what follows it."""
    for code in snippets(page):
        yield from re.findall(pattern + "([^#|]*)", code)


def options_in(text: str) -> list[str]:
    return re.findall(r"(?<!\S)(--[a-z][a-z-]*)", text)


def commands_of(group: Any) -> Iterator[Any]:
    for command in group.commands.values():
        yield from commands_of(command) if hasattr(command, "commands") else [command]


def options_of(command: Any) -> set[str]:
    """Its own, and those of the commands in it."""
    inside = getattr(command, "commands", {}).values()
    own = ([*each.opts, *each.secondary_opts] for each in command.params)
    return {"--help"}.union(*own, *map(options_of, inside))


def options_of_program(*sources: Path) -> set[str]:
    """Of one that parses them with argparse."""
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    return {"--help", *re.findall(r'"(--[a-z-]+)"', text)}
