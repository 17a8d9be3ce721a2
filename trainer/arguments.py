"""The command line of `python -m trainer`: its options and commands."""

import argparse
from pathlib import Path

from trainer.data.cache_command import add_cache
from trainer.data.check.command import add_corpus_check
from trainer.doctor import add_doctor
from trainer.evaluation.command import add_evaluate
from trainer.export.command import add_export
from trainer.say import add_say


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """argv: without the program's name; None: that of this process. Exits where it is wrong."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command and arguments.config:
        parser.error(f"{arguments.command} takes no --config")
    if arguments.like and not arguments.standby:
        parser.error("--like is for --standby")
    if not arguments.command and not arguments.config and not arguments.standby:
        parser.error(
            "--config is required, or one of the commands evaluate, say, corpus-check, cache, import, export, doctor"
        )
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer",
        usage="python -m trainer --config F [--tied]\n"
        "                         [--check | --check-corpus | --locate | --prepare [--progress {text,json}]\n"
        "                          | --measure-speed SECONDS]\n"
        "       python -m trainer [--progress {text,json}] [--tied]\n"
        "                         evaluate VOICE.pt --out FOLDER [--corpus SOURCE | --texts FILE]\n"
        "       python -m trainer say VOICE.pt [TEXT ... | --texts FILE] [--out FILE]\n"
        "       python -m trainer cache FOLDER [--users FILE] [--remove NAME]\n"
        "       python -m trainer [--progress {text,json}] [--tied]\n"
        "                         corpus-check CONFIG --out FOLDER [--page] [--texts] [--fix FOLDER]\n"
        "       python -m trainer import NVIDIA.pt --to VOICE.pt [--symbols FILE]\n"
        "       python -m trainer export VOICE.pt --to FILE [--format F] [--licence TEXT] [--vocoder V] [--force]\n"
        "       python -m trainer [--progress {text,json}] [--tied] doctor [--gpus N]",
        description="Train one Tacotron 2 voice. Started again in the same trial directory, it resumes.",
        epilog='The smallest configuration: {"preset": "tiny", "corpus": {"source": "demo:en"}}. '
        "Exit codes: 0 finished, 2 bad input, 10 stopped and saved, 11 diverged, 12 out of memory, "
        "13 the disk is full or cannot be written.",
    )
    parser.add_argument(
        "--config", type=Path, metavar="F", help="config.json of the run, or a YAML file of the same keys"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="validate the configuration only")
    what.add_argument("--check-corpus", action="store_true", help="check the lists, texts and files of the corpus only")
    what.add_argument(
        "--locate",
        action="store_true",
        help="print as JSON the folder of the corpus's features, null where they are not computed, and their "
        "settings (used by the tuner)",
    )
    what.add_argument("--prepare", action="store_true", help="check the corpus and compute its features only")
    what.add_argument(
        "--measure-speed",
        type=float,
        metavar="SECONDS",
        help="train for so long without keeping anything, and print as JSON the frames of speech trained a second",
    )
    parser.add_argument(
        "--progress",
        choices=["text", "json"],
        default="text",
        help="format of progress, for --prepare, evaluate, corpus-check and doctor",
    )
    parser.add_argument("--tied", action="store_true", help="stop when standard input ends (used by the tuner)")
    what.add_argument(
        "--standby",
        action="store_true",
        help='import torch, wait for lines {"config": F} on standard input, and train them in turn as with --tied; '
        "write the exit code of each to standard output (used by the tuner)",
    )
    parser.add_argument(
        "--like",
        type=Path,
        metavar="F",
        help="with --standby: compile kernels for trials like that of this configuration while waiting",
    )
    _add_commands(parser)
    return parser


def _add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(
        dest="command",
        prog="python -m trainer",
        title="commands",
        description="Measure voices and corpora; let a voice speak; look after the cache; convert NVIDIA's voices; "
        "check the machine.",
    )
    add_evaluate(commands)
    add_say(commands)
    add_cache(commands)
    add_corpus_check(commands)
    importing = commands.add_parser(
        "import",
        help="convert a checkpoint of NVIDIA/tacotron2 into a voice",
        description="Convert a checkpoint of NVIDIA/tacotron2 into a voice, with the sizes that its tensors have. "
        "To train it further, name it as `warm_start` in a configuration.",
    )
    importing.add_argument("source", type=Path, metavar="NVIDIA.pt", help="the checkpoint: float32 or float16")
    importing.add_argument("--to", type=Path, required=True, metavar="VOICE.pt", help="where to write the voice")
    importing.add_argument(
        "--symbols",
        type=Path,
        metavar="FILE",
        help="its symbols, one per line, padding first (UTF-8); needed unless they are NVIDIA's own 148",
    )
    add_export(commands)
    add_doctor(commands)
