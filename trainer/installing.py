"""Commands that install packages into the environment of this process, quoted for a shell. Standard library only.

They are for messages: nothing is run here. A bare `pip` may be that of another environment, or missing, and an index
may have no Smart Tuner: it is named by the place from which it was installed (PEP 610).
"""

import json
import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution, requires
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from trainer import PROJECT

_NAME = re.compile(r"[^\w.-]")  # what ends the name of a package in a requirement


def install_command(*arguments: str) -> str:
    """arguments: of `pip install`. uv, which makes environments without pip, has the same."""
    python = sys.executable or "python3"
    with_pip = [python, "-m", "pip", "install"]
    installer = with_pip if find_spec("pip") else ["uv", "pip", "install", "--python", python]
    return shlex.join([*installer, *arguments])


def reinstall_command(*packages: str) -> str:
    """In versions that Smart Tuner can use, from the index: a file that was kept may be what is broken."""
    return install_command("--force-reinstall", "--no-cache-dir", *map(_bounded, packages))


def extra_command(name: str) -> str:
    """Adds one of Smart Tuner's extras."""
    return install_command(*_project(f"[{name}]"))


def project_command(*options: str) -> str:
    """Installs Smart Tuner with all packages that it needs."""
    return install_command(*options, *_project(""))


def _bounded(package: str) -> str:
    """Such as `optuna<6,>=5`, as Smart Tuner asks for it; the name where it does not."""
    try:
        needed = [line.partition(";")[0].strip() for line in requires(PROJECT) or ()]
    except PackageNotFoundError:
        needed = []
    wanted = _normalised(package)
    return next((each for each in needed if _normalised(_NAME.split(each, maxsplit=1)[0]) == wanted), package)


def _normalised(name: str) -> str:
    return name.lower().replace("_", "-")


def _project(extra: str) -> list[str]:
    """The arguments that name Smart Tuner. extra: in brackets, or empty."""
    try:
        told = distribution(PROJECT).read_text("direct_url.json")  # None: it came from an index
    except PackageNotFoundError:  # modules of a checkout that is on Python's path
        checkout = Path(__file__).resolve().parents[1]
        return _local(checkout, extra, editable=True) if (checkout / "pyproject.toml").is_file() else [PROJECT + extra]
    if told is None:
        return [PROJECT + extra]
    origin = json.loads(told)
    url: str = origin["url"]
    if "vcs_info" in origin:
        commit = origin["vcs_info"]
        return [f"{PROJECT}{extra} @ {commit['vcs']}+{url}@{commit['commit_id']}"]
    if not url.startswith("file:"):
        return [f"{PROJECT}{extra} @ {url}"]
    path = Path(url2pathname(urlsplit(url).path))
    return _local(path, extra, editable=origin.get("dir_info", {}).get("editable", False))


def _local(path: Path, extra: str, *, editable: bool) -> list[str]:
    """A checkout, or a wheel, unless it is no longer there."""
    if not path.exists():
        return [PROJECT + extra]
    return [*(["--editable"] if editable else []), f"{path}{extra}"]
