"""What the READMEs, CONTRIBUTING, SECURITY and docs/ name exists, and each command in them is one that can be typed."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from documented_lines import programs_in, shell_lines

import trainer.arguments as trainer_program
from smart_tuner.cli.commands import app

ROOT = Path(__file__).parents[1]
SECURITY = ROOT / "SECURITY.md"
READMES = (ROOT / "README.md", ROOT / "README.ru.md")
PAGES = [*READMES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", SECURITY, *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = "benchmarks|config|docs|scripts|smart_tuner|studies|tests|trainer"
PATH = re.compile(rf"(?:{FOLDERS})/[\w./-]*|[\w/]+\.py")
OF_A_USER = {"config/local.yaml", "studies/NAME.yaml", "studies/my-voice.yaml"}  # what a person makes
OF_OTHERS = {"--volumes"}  # options of docker compose
CHECK = ROOT / "trainer" / "data" / "check" / "command.py"
EXPORT = ROOT / "trainer" / "export" / "command.py"
TRAINER = (ROOT / "trainer" / "arguments.py", ROOT / "trainer" / "evaluation" / "command.py", CHECK, EXPORT)
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
    """A place within a page is checked where the site is built."""
    missing = [target for target in links_in(page) if not (page.parent / target.partition("#")[0]).exists()]
    assert not missing


def test_both_readmes_have_the_same_commands_code_and_links() -> None:
    english, russian = READMES
    for of_page in (lines_of_code, commands_named, links_in):
        ours, theirs = list(of_page(english)), list(of_page(russian))
        assert ours
        assert [other_readme(one) for one in ours] == theirs


def test_benchmarks_exist_and_take_the_options_given(page: Path) -> None:
    for name, rest in commands_in(page, r"python -m benchmarks\.(\w+)"):
        assert set(options_in(rest)) <= options_of_program(ROOT / "benchmarks" / f"{name}.py"), name


def test_every_benchmark_that_contributing_lists_exists() -> None:
    _, _, table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("| `python -m benchmarks.` |")
    names = re.findall(r"(?m)^\| `(\w+)` \|", table)
    assert names
    assert not [name for name in names if not (ROOT / "benchmarks" / f"{name}.py").exists()]


def test_each_test_that_security_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", SECURITY.read_text(encoding="utf-8")))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"(?m)^def (test_\w+)", path.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= there


def test_commands_exist_and_take_the_options_given(page: Path) -> None:
    for name, rest in commands_in(page, r"smart-tuner ([a-z]+)\b"):
        assert name in TUNER.commands
        command = TUNER.commands[name]
        if hasattr(command, "commands"):  # a group
            assert rest.split()[:1], name
            command = command.commands[rest.split()[0]]
        assert set(options_in(rest)) <= options_of(command), name


def test_each_line_of_commands_can_be_typed(page: Path) -> None:
    """With its arguments and the values of its options, as the shell passes them on."""
    for line in shell_lines(page):
        for words in programs_in(line):
            if words[0] == "smart-tuner":
                parse(TUNER, "smart-tuner", words[1:])
            elif words[:3] == ["python", "-m", "trainer"]:
                trainer_program._parser().parse_args(words[3:])


def test_python_that_is_shown_imports_what_exists(page: Path) -> None:
    for block in re.findall(r"(?ms)^```python\n(.*?)^```", page.read_text(encoding="utf-8")):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in ("smart_tuner", "trainer"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, each.name) for each in node.names)


def test_the_trainer_takes_the_options_given(page: Path) -> None:
    for _, rest in commands_in(page, r"(python -m trainer)\b"):
        assert set(options_in(rest)) <= options_of_program(*TRAINER)


def test_options_by_themselves_exist(page: Path) -> None:
    """Such as `--watch`, in a sentence about a command."""
    programs = [*TRAINER, *(ROOT / "benchmarks").glob("*.py")]
    known = OF_OTHERS.union(*map(options_of, commands_of(TUNER)), *map(options_of_program, programs))
    named = {option for code in snippets(page) if code.startswith("--") for option in options_in(code)}
    assert named <= known


def test_the_program_says_what_troubleshooting_quotes() -> None:
    """“...” is a message, with `...` for what it fills in; *memory* is a word of its tables."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    said = "\n".join(map(joined_strings, source_files("smart_tuner", "trainer")))
    messages = re.findall(r"“([^”]{4,})”", page)
    words = re.findall(r"(?<![*\w])\*([^*\n]+)\*(?!\*)", page)
    assert len(messages) > 5
    assert len(words) > 10
    assert [message for message in messages if not re.search(as_pattern(message), said)] == []
    assert [word for word in words if not re.search(rf"[\"']{re.escape(word)}[\"':]", said)] == []


def test_modules_in_comments_of_pyproject_exist() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    names = re.findall(r"\b(?:smart_tuner|trainer|tests|benchmarks)(?:\.\w+)+", text)
    assert names
    missing = [name for name in names if not is_module(ROOT.joinpath(*name.split(".")))]
    assert not missing


def test_modules_that_the_code_names_exist() -> None:
    """`trainer.text.SYMBOLS` is a word in trainer/text; `trainer.log` is a file of a trial."""
    missing = []
    for source in source_files("smart_tuner", "trainer", "benchmarks"):
        for name in re.findall(r"`((?:smart_tuner|trainer)(?:\.(?!log\b)\w+)+)", source.read_text(encoding="utf-8")):
            module, rest = ROOT, name.split(".")
            while rest and is_module(module / rest[0]):
                module /= rest.pop(0)
            file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
            if rest and not re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8")):
                missing.append(f"{source.relative_to(ROOT)}: {name}")
    assert not missing


def source_files(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from (ROOT / package).rglob("*.py")


def joined_strings(source: Path) -> str:
    """The file, with strings that go on in the next line as one."""
    return re.sub(r'"\s*\n\s*f?"', "", source.read_text(encoding="utf-8"))


def as_pattern(message: str) -> str:
    """What is filled in does not go beyond the string."""
    return r'[^"\n]*?'.join(re.escape(part) for part in message.split("..."))


def is_module(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").exists()


def snippets(page: Path) -> Iterator[str]:
    """Code within a line, and lines of code that are indented."""
    for line in page.read_text(encoding="utf-8").splitlines():
        yield from [line.strip()] if line.startswith("    ") else re.findall(r"`([^`]+)`", line)


def links_in(page: Path) -> Iterator[str]:
    """Within the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("#"):
            yield target


def lines_of_code(page: Path) -> Iterator[str]:
    """Lines that are indented or fenced, without their comments."""
    is_fenced = False
    for line in page.read_text(encoding="utf-8").splitlines():
        is_fenced ^= line.startswith("```")
        if is_fenced or line.startswith("    "):
            yield re.sub(r"\s+# .*", "", line)


def commands_named(page: Path) -> list[str]:
    return re.findall(r"`((?:smart-tuner|python|pip|make|mkdocs)(?: [^`\n]*)?)`", page.read_text(encoding="utf-8"))


def other_readme(text: str) -> str:
    return "README.md" if text == "README.ru.md" else text


def parse(command: Any, name: str, words: list[str]) -> None:
    """Raises click's UsageError where the command does not take them."""
    context = command.make_context(name, words, resilient_parsing=hasattr(command, "commands"))
    if hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]
        if rest:
            assert rest[0] in command.commands, f"{name} {rest[0]}"
            parse(command.commands[rest[0]], rest[0], rest[1:])


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
