"""Following a job on a terminal: its log, and below it how it is; plain lines where the output is no terminal."""

import sys

import click

from beamhall.cli.job_story import JobStory
from beamhall.cli.jobs_api import JobsApi
from beamhall.cli.screen import Screen
from beamhall.kernel.kinds import Kind


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
    if sys.stdout.isatty():
        _draw(api, kind, story)
        return
    for event in api.events(kind, story.name):
        for line in story.take(event):
            click.echo(line)
        sys.stdout.flush()
        if story.has_ended:
            return


def _draw(api: JobsApi, kind: Kind, story: JobStory) -> None:
    """Print the lines that tell of the job above one that says how it is."""
    screen = Screen(lambda: [click.style(story.summary(), bold=True)])
    with screen.drawing():
        for event in api.events(kind, story.name):
            with screen.changing():
                for line in story.take(event):
                    screen.print_above(line)
            if story.has_ended:
                return
