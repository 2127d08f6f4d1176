"""``beamhall explain``: what was done to an object, and why."""

from pathlib import Path
from typing import Any

import click

from beamhall.cli.connection import connect


@click.command("explain")
@click.argument("what", metavar="KIND/NAME")
@click.option("--namespace", "-n", default="default", show_default=True, help="The object's namespace.")
@click.option("--data", type=click.Path(path_type=Path), help="The service's data directory.")
def command(what: str, namespace: str, data: Path | None) -> None:
    """Say what was done to an object, and why: the last plans, writes and reasons of its controllers.

    \b
    Example:
      beamhall explain tfjob/digits -n demo
    """
    kind, slash, name = what.partition("/")
    if not slash or not name:
        raise click.UsageError(f"{what!r} is not of the form KIND/NAME, such as tfjob/digits")
    with connect(data) as http:
        answer = http.get("/api/stories/", params={"kind": kind, "name": name, "namespace": namespace})
    if answer.status_code != 200:
        raise click.ClickException(str(answer.json()["error"]))
    entries = answer.json()["entries"]
    if not entries:
        raise click.ClickException(
            f"nothing was done to {kind} {namespace}/{name} since the service started; "
            f"`kubectl -n {namespace} describe {what}` shows the object and its events"
        )
    for entry in entries:
        _print(entry)


def _print(entry: dict[str, Any]) -> None:
    times = f"  ({entry['times']} times)" if entry["times"] > 1 else ""
    about = f" for {entry['about']}" if entry.get("about") else ""
    click.echo(f"{entry['time']}  {entry['controller']}{about}: {entry['why']}{times}")
    for action in entry["actions"]:
        click.echo(f"    {action}")
    if entry["outcome"] != "done":
        click.echo(f"    {entry['outcome']}")
