"""Following a job on a terminal: its log, and below it how it is; plain lines where the output is no terminal."""

import sys

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from beamhall.cli.job_story import JobStory
from beamhall.cli.jobs_api import JobsApi
from beamhall.kernel.kinds import Kind

_REDRAW_PER_S = 4


def follow_job(api: JobsApi, kind: Kind, name: str) -> bool:
    """Follow a job to its end, and tell whether it succeeded. Ctrl-C leaves it running."""
    story = JobStory(name)
    what = command_name(api, kind, name)
    try:
        _follow(api, kind, story)
    except KeyboardInterrupt:
        click.echo(
            f"\nthe job goes on; `beamhall jobs logs -f {what}` follows it, `beamhall jobs stop {what}` stops it"
        )
        raise
    state = story.job.get("state")
    if story.is_gone:
        click.echo("the job was deleted while it was followed", err=True)
    elif state == "Suspended":
        click.echo(f"the job was stopped; `beamhall jobs resume {what}` starts it again", err=True)
    elif state == "Succeeded":
        click.echo(f"the job succeeded; `beamhall jobs show {what}` shows it again")
    else:
        for line in story.failure():
            click.echo(line, err=True)
        click.echo(f"`beamhall jobs show {what}` says more", err=True)
    return state == "Succeeded" and not story.is_gone


def command_name(api: JobsApi, kind: Kind, name: str) -> str:
    """Say how a job is named on the command line."""
    namespace = "" if api.namespace == "default" else f" -n {api.namespace}"
    return f"{kind.kind.lower()}/{name}{namespace}"


def _follow(api: JobsApi, kind: Kind, story: JobStory) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        for event in api.events(kind, story.name):
            for line in story.take(event):
                click.echo(line)
            sys.stdout.flush()
            if story.has_ended:
                return
        return
    with Live(
        console=console, refresh_per_second=_REDRAW_PER_S, transient=True,
        get_renderable=lambda: Text(story.summary(), style="bold", no_wrap=True, overflow="ellipsis"),
    ):  # fmt: skip
        for event in api.events(kind, story.name):
            for line in story.take(event):
                console.print(line, markup=False, soft_wrap=True)
            if story.has_ended:
                return
