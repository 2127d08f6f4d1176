"""``beamhall doctor``: what is wrong with this installation, and the mend."""

import json
import sys
from pathlib import Path

import click

from beamhall.app.checks import Finding, run_checks
from beamhall.app.settings import load_settings

_MARKS = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "bad": ("BAD ", "red")}


@click.command("doctor")
@click.option("--data", type=click.Path(path_type=Path), help="The service's data directory.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(data: Path | None, as_json: bool) -> None:
    """Say what is wrong with this installation, and how to mend it.

    `note` is something that works less well than it could; `BAD` keeps the service from working. The exit code is 1 if
    anything is bad.
    """
    findings = run_checks(load_settings({"data": data}))
    for finding in findings:
        click.echo(json.dumps(finding.as_dict()) if as_json else _line(finding))
    sys.exit(1 if any(finding.level == "bad" for finding in findings) else 0)


def _line(finding: Finding) -> str:
    mark, colour = _MARKS[finding.level]
    mend = f"\n       mend: {finding.mend}" if finding.mend else ""
    return f"{click.style(mark, fg=colour)}  {finding.subject}: {finding.said}{mend}"
