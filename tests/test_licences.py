"""Without an extra nothing is needed that has the GPL, and of each package the licence is known."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "licences.py"


def licences(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


def test_the_gpl_comes_by_an_extra_alone() -> None:
    done = licences()
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "BSD-3-Clause" in rows["numpy"]
    assert rows["numpy"].endswith(" needed")
    assert not [row for row in rows.values() if " GPL" in row and row.endswith(" needed")]


COPYLEFT = """Metadata-Version: 2.1
Name: copyleft
Version: 1.0
Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)
Requires-Dist: nameless
"""
NAMELESS = """Metadata-Version: 2.1
Name: nameless
Version: 2.0
Classifier: License :: OSI Approved
"""


@pytest.mark.parametrize(
    ("dependencies", "complaints"),
    [
        (
            'dependencies = ["copyleft"]',
            ["copyleft: has the licence 'GNU General Public License v3", "nameless: names no"],
        ),
        ('dependencies = []\noptional-dependencies = {more = ["copyleft"]}', ["nameless: names no"]),
    ],
)
def test_what_must_not_be_is_named(tmp_path: Path, dependencies: str, complaints: list[str]) -> None:
    for metadata in (COPYLEFT, NAMELESS):
        folder = tmp_path / f"{metadata.split()[3]}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(metadata)
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "p"\n{dependencies}\n')
    done = licences(str(tmp_path / "pyproject.toml"), PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == len(complaints)
    assert all(line.startswith(complaint) for line, complaint in zip(lines, complaints, strict=True))
