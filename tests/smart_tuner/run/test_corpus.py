"""The process that prepares a corpus: Ctrl-C asks it to stop, a second one kills it; its output may be anything."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from waiting import wait_until

from smart_tuner.errors import CorpusRefused
from smart_tuner.run import corpus, trainer_command
from trainer.config import TrainerConfig

PROGRAM = """
import pathlib, signal, sys, types
from rich.console import Console
import smart_tuner.run.corpus as corpus
import smart_tuner.run.trainer_command as command
from trainer.config import TrainerConfig
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored
command.sys = types.SimpleNamespace(executable=sys.argv[1])
command.GRACE_SECONDS = 60.0
follow = command._follow
def followed(*arguments):  # from here on Ctrl-C is expected
    pathlib.Path(sys.argv[2]).touch()
    return follow(*arguments)
command._follow = followed
paths = {"run": "r", "tensorboard": "t", "cache": "c"}
config = TrainerConfig.from_mapping({"preset": "tiny", "corpus": {"source": "demo:en"}, "paths": paths})
try:
    corpus.prepare_corpus(config, Console(stderr=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_a_second_ctrl_c_kills_a_preparation_that_ignores_the_first(tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    deaf.write_text(f"#!/bin/sh\ntrap '' TERM\ntouch '{tmp_path}/begun'\nexec sleep 60\n", encoding="utf-8")
    deaf.chmod(0o755)
    argv = [sys.executable, "-c", PROGRAM, str(deaf), str(tmp_path / "followed")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: (tmp_path / "begun").exists() and (tmp_path / "followed").exists())
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.readline() == "stopping; what is prepared is kept, and the same command goes on\n"
        time.sleep(0.2)  # it now waits for the process
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (out, err) == ("interrupted\n", "")


def test_in_a_log_lines_say_how_far_it_is_also_while_the_trainer_reports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow"
    done = json.dumps({"what": "speaking", "done": 7, "total": 9})
    slow.write_text(f"#!/bin/sh\nsleep 0.4\necho '{done}'\nsleep 0.4\necho '{{}}'\n", encoding="utf-8")
    slow.chmod(0o755)
    monkeypatch.setattr(trainer_command, "sys", SimpleNamespace(executable=str(slow)))
    monkeypatch.setattr(trainer_command, "LINE_SECONDS", 0.1)
    log = Console(file=io.StringIO())
    trainer_command.run_trainer([], log, task="preparing", interrupted="")
    assert isinstance(log.file, io.StringIO)
    said = list(dict.fromkeys(line.split(" ", 2)[2] for line in log.file.getvalue().splitlines()))
    assert said == ["preparing: starting", "speaking: 7 of 9"]


def test_in_a_terminal_a_bar_moves_before_the_trainer_reports_anything() -> None:
    screen = io.StringIO()
    with trainer_command._shown_progress(Console(file=screen, force_terminal=True, width=80), "preparing") as show:
        wait_until(lambda: "preparing" in screen.getvalue())
        show("speaking", 7, 9)
        wait_until(lambda: "7/9" in screen.getvalue())
        shown = len(screen.getvalue())
        wait_until(lambda: "7/9" in screen.getvalue()[shown:])
        assert "preparing" not in screen.getvalue()[shown:]


def test_output_that_is_no_utf_8_neither_blocks_the_preparation_nor_hides_its_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = tmp_path / "noisy"
    write = "import os; os.write(2, b'\\xff\\n'); [os.write(2, b'x' * 999 + b'\\n') for _ in range(200)]"
    noisy.write_text(f"""#!/bin/sh\n{sys.executable} -c "{write}"\necho 'no such corpus' >&2\nexit 2\n""")
    noisy.chmod(0o755)
    monkeypatch.setattr(trainer_command, "sys", SimpleNamespace(executable=str(noisy)))
    paths = {"run": "r", "tensorboard": "t", "cache": "c"}
    config = TrainerConfig.from_mapping({"preset": "tiny", "corpus": {"source": "demo:en"}, "paths": paths})
    with pytest.raises(CorpusRefused, match="no such corpus"):
        corpus.prepare_corpus(config, Console())


def test_a_refused_corpus_is_answered_with_the_command_that_shows_all_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "my voice"
    folder.mkdir()
    (folder / "metadata.csv").write_text("a|One.\nb|Two.\n")
    paths = {"run": "r", "tensorboard": "t", "cache": str(tmp_path / "cache")}
    raw = {"corpus": {"source": str(folder), "columns": {"text": 2}}, "text": {"language": "en"}, "paths": paths}
    config = TrainerConfig.from_mapping({"preset": "tiny", **raw})
    with pytest.raises(CorpusRefused, match="does not exist") as refused:
        corpus.prepare_corpus(config, Console(), lists_only=True)
    command = str(refused.value).splitlines()[-1]
    assert f"smart-tuner corpus check '{folder}'" in command
    assert "--set=text.language" in command
    assert "corpus.columns.text" in command
    assert "--fix" in command
    missing = TrainerConfig.from_mapping({"preset": "tiny", "corpus": {"source": "/missing"}, "paths": paths})
    with pytest.raises(CorpusRefused) as refused:
        corpus.prepare_corpus(missing, Console(), lists_only=True)
    assert "corpus check" not in str(refused.value)
