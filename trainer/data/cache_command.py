"""`python -m trainer cache`: lists what a cache holds as JSON, and removes what no study uses. `smart-tuner cache` uses
it.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from trainer.errors import ConfigError
from trainer.protocol import ExitCode


def add_cache(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "cache",
        help="list what a cache holds, or remove parts of it (used by the tuner)",
        description="Print as JSON what a cache holds: sizes, ages, corpora, users. With --remove, remove entries that "
        "nobody uses, and print those.",
    )
    parser.add_argument("cache", type=Path, metavar="FOLDER", help="such as workspace/cache")
    parser.add_argument(
        "--users", type=Path, metavar="FILE", help='configurations that use it, as JSON: [{"study": S, "config": C}]'
    )
    parser.add_argument(
        "--remove", action="append", default=[], metavar="NAME", help="remove this entry; may be repeated"
    )


def cache(arguments: argparse.Namespace) -> int:
    from trainer.data.cache import User, entries, remove  # imports numpy, which --help does not need

    users = []
    if arguments.users:
        try:
            users = [User(**user) for user in json.loads(arguments.users.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{arguments.users}: cannot be read as a list of users ({error}).") from error
    if arguments.remove:
        removed = remove(arguments.cache, arguments.remove, users)
        print(json.dumps({"removed": [asdict(entry) for entry in removed]}))
    else:
        print(json.dumps({"entries": [asdict(entry) for entry in entries(arguments.cache, users)]}))
    return ExitCode.FINISHED
