"""What was found, for people as lines or for programs as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from smart_tuner.doctor.plain_output import summary
from smart_tuner.formatting import printable
from trainer.findings import Finding, State, worst

_STYLES = {State.OK: "green", State.NOTE: "bold", State.WARNING: "bold yellow", State.ERROR: "bold red"}


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """A line for each, what to do below it, and the numbers of errors and warnings last, where they are read."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for finding in findings:
        text = Text(printable(finding.found, console.encoding))
        if finding.mend:
            text.append(printable(f"\n{finding.mend}", console.encoding), "dim")
        table.add_row(Text(finding.state, _STYLES[finding.state]), finding.check, text)
    console.print(table, highlight=False)
    console.print(Text(summary([finding.state for finding in findings]), _STYLES[worst(findings)]))


def as_json(findings: Sequence[Finding]) -> str:
    checks = [asdict(finding) for finding in findings]
    return json.dumps({"state": worst(findings), "checks": checks}, indent=2, ensure_ascii=False)
