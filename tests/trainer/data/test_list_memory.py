"""Reading a list takes bounded memory, however many rows it has and however long they are."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

MOST = 2**30  # bytes
SCRIPT = """
import json, resource, sys
from pathlib import Path
from trainer.config import CorpusConfig
from trainer.data.corpus import list_corpus
from trainer.errors import CorpusError

source, cache = sys.argv[1:]
try:
    listing = list_corpus(CorpusConfig(source=source), Path(cache))
    said = str(len(listing.train) + len(listing.validation))
except CorpusError as error:
    said = str(error)
print(json.dumps({"said": said, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def read(source: Path) -> tuple[str, int]:
    """What is said of the list, or the number of its clips; and the peak of the memory, in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(source), str(source.parent / "cache")], stdout=subprocess.PIPE, check=True
    )
    result = json.loads(done.stdout)
    return result["said"], result["peak"]


def write(path: Path, rows: int, name: str, text: str) -> Path:
    """name, text: with {i}, the number of the row."""
    with path.open("w", encoding="utf-8") as file:
        for i in range(rows):
            file.write(f"{name.format(i=i)}|{text.format(i=i)}\n")
    return path


def test_many_rows_with_their_recordings(tmp_path: Path) -> None:
    for i in range(131_000):
        (tmp_path / f"{i}.wav").touch()
    said, peak = read(write(tmp_path / "list.csv", 131_000, "{i}.wav", "The tall uncle followed carpet {i}. " * 3))
    assert said == "131000"
    assert peak < MOST


def test_many_rows_without_their_recordings(tmp_path: Path) -> None:
    said, peak = read(write(tmp_path / "list.csv", 131_000, "{i}.wav", "The tall uncle followed carpet {i}."))
    assert said.startswith(("The recording does not exist: 131000", "No text"))
    assert len(said) < 4000
    assert peak < MOST


def test_long_rows(tmp_path: Path) -> None:
    said, peak = read(write(tmp_path / "list.csv", 3_000, "{i}.wav", "{i} " + "long " * 20_000))
    assert "which no clip can hold" in said
    assert peak < MOST


def test_a_list_of_a_gigabyte(tmp_path: Path) -> None:
    text = f"{{i}} {'words ' * 1_600}"
    path = write(tmp_path / "list.csv", 2**30 // (len(text) + 12), "{i:06d}.wav", text)
    said, peak = read(path)
    path.unlink()
    assert said.startswith("The recording does not exist: ")
    assert peak < MOST
