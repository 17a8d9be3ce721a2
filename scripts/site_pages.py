"""Puts CONTRIBUTING, CHANGELOG and SECURITY, which lie outside of docs/, and where the figures of benchmarks are from,
into the site: a hook of mkdocs.yml.
"""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).parents[1]
_PAGES = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md", "security.md": "SECURITY.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, source in _PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(_ROOT / source)))
    if str(_ROOT) not in sys.path:  # `mkdocs serve` builds again and again
        sys.path.insert(0, str(_ROOT))
    from benchmarks.provenance import page

    files.append(File.generated(config, "benchmarks.md", content=page()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links as they are in the repository become links within the site, or where they lead out of it, plain text.

    `a\\|b` in a table is what other renderers of Markdown need; this one needs `a|b`.
    """
    for name, source in _PAGES.items():
        markdown = markdown.replace(f"](../{source})", f"]({name})")
    markdown = re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", markdown)
    return re.sub(r"`[^`\n]+`", lambda code: code[0].replace(r"\|", "|"), markdown)
