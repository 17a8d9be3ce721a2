"""`python -m trainer corpus-check`: checks a corpus and writes what it found into a folder, for `smart-tuner corpus
check` to show; on request also the worst clips, the expansions of texts, and a cleaned copy.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from trainer.config_file import load_config
from trainer.corpus_report import REPORT
from trainer.data.progress import OnProgress
from trainer.protocol import ExitCode
from trainer.stopping import StopRequest


def add_corpus_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "corpus-check",
        help="measure the recordings and texts of a corpus",
        description="Measure all recordings and texts of the corpus that a configuration names, and write into a "
        f"folder: {REPORT}, with what was found.",
    )
    parser.add_argument("settings", type=Path, metavar="CONFIG", help="a configuration, as for --config")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="an empty or a new one")
    parser.add_argument("--page", action="store_true", help="also what a page shows: plots, and the worst clips")
    parser.add_argument("--texts", action="store_true", help="also all that reading changes in the texts")
    parser.add_argument("--fix", type=Path, metavar="FOLDER", help="also write a cleaned copy of the corpus there")


def corpus_check(arguments: argparse.Namespace, stop: StopRequest, show: OnProgress) -> ExitCode:
    """show: prints progress. Raises UserError where there is no corpus, or the copy cannot be where it should."""
    from trainer.data.check import cleaned
    from trainer.data.check.expansions import expanded
    from trainer.data.check.plots import plots
    from trainer.data.check.reading import read_corpus
    from trainer.data.check.report import make_report
    from trainer.data.check.worst import write_worst

    config = load_config(arguments.settings)
    if arguments.fix:
        cleaned.refuse_place(arguments.fix, config.corpus.source)
    stop.listen()

    def progress(done: int, total: int, what: str) -> None:
        show(done, total, what)
        stop.check()

    read = read_corpus(config, progress)
    report = make_report(read, config)
    content = asdict(report)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.texts:
        content["expansions"] = [asdict(row) for row in expanded(read.clips)]
    if arguments.page and read.clips:
        worst = write_worst(report.groups, read.clips, config.audio, arguments.out, progress)
        content["worst"] = [asdict(clip) for clip in worst]
        content["plots"] = asdict(plots(read.clips, report.groups))
    if arguments.fix:
        content["cleaned"] = cleaned.write_cleaned(arguments.fix, report, read.clips, config.audio, progress)
    (arguments.out / REPORT).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8", errors="replace")
    print(
        json.dumps({"checked": str(arguments.out)})
        if arguments.progress == "json"
        else f"{report.state}: {report.summary}"
    )
    return ExitCode.FINISHED
