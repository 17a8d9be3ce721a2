"""The documentation as a site: it is built without a warning, its links lead somewhere, and it needs no network."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(find_spec("mkdocs") is None, reason="there is no mkdocs here: pip install '.[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_it_and_can_be_found(site: Path) -> None:
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / page.name).with_suffix(".html").exists()
        assert f'"location":"{page.stem}.html' in index


def test_links_and_pictures_lead_somewhere(site: Path) -> None:
    missing = []
    for page in site.rglob("*.html"):
        for target in re.findall(r'(?:href|src)="(?!\w+:|#)([^"#?]+)', page.read_text(encoding="utf-8")):
            if page.name != "404.html" and not (page.parent / target).exists():
                missing.append(f"{page.name}: {target}")
    assert not missing


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe|link)\b[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text("utf-8"))
        assert not loaded, page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:|@import", style.read_text(encoding="utf-8")), style.name


def test_the_python_interface_is_described(site: Path) -> None:
    text = (site / "python.html").read_text(encoding="utf-8")
    for name in ("SmartTunerMain", "SmartTunerMain.optimize", "SmartTunerMain.enqueue"):
        assert f'id="smart_tuner.main.{name}"' in text


def test_the_settings_are_shown_and_named(site: Path) -> None:
    text = (site / "settings.html").read_text(encoding="utf-8")
    assert "<code>config/default.yaml</code>, which explains each setting" in text
    first_line = (ROOT / "config" / "default.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first_line.lstrip("# ")[:40] in text


def test_each_file_of_figures_is_listed_with_its_commit(site: Path) -> None:
    text = (site / "benchmarks.html").read_text(encoding="utf-8")
    for file in (ROOT / "benchmarks" / "results").glob("*.json"):
        recorded = json.loads(file.read_text(encoding="utf-8")).get("machine", {}).get("commit")
        commits = recorded.values() if isinstance(recorded, dict) else [recorded] if recorded else []
        row = next(row for row in text.split("<tr>") if f"<code>{file.name}</code>" in row)
        assert all(f"<code>{commit}</code>" in row for commit in commits), file.name


def test_bars_within_tables_are_shown_without_what_escapes_them(site: Path) -> None:
    text = (site / "corpora.html").read_text(encoding="utf-8")
    assert "<code>path|text|speaker</code>" in text
    assert "\\|" not in text
