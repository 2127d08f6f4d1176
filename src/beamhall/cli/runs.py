"""``beamhall runs``: what was run, how it went, its logs; stopping and retrying."""

from collections.abc import Mapping
from pathlib import Path

import click

from beamhall.cli.kfp_api import KfpApi, Message, api_of
from beamhall.cli.options import service_options
from beamhall.cli.tables import age_text, print_table, took_text

_FINAL = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")


def _found(api: KfpApi, identity: str) -> Message:
    return api.named("/runs", "runs", identity, "run")


@click.group("runs")
def command() -> None:
    """List runs of pipelines, show one as a tree, read logs, stop, retry and delete.

    A RUN is named by its id, the first characters of its id, its name or the first words of it; of several the newest
    is meant.
    """


@command.command("list")
@click.option("--limit", default=20, show_default=True, help="How many.")
@click.option("--state", default="", help="Only those in a state, such as RUNNING or FAILED.")
@click.option("--archived", is_flag=True, help="Those that were archived.")
@service_options
def list_runs(limit: int, state: str, archived: bool, data: Path | None, namespace: str) -> None:
    """List runs, the newest first."""
    wanted = {"storage_state": "ARCHIVED" if archived else "AVAILABLE", "state": state.upper()}
    query = {"sort_by": "created_at desc", "filter": _filter(wanted)}
    rows = [
        (run["run_id"][:8], run["display_name"], run.get("state", ""), age_text(run["created_at"]), took_text(run))
        for run in api_of(data, namespace).listing("/runs", "runs", limit, **query)
    ]
    print_table(("ID", "NAME", "STATE", "AGE", "TOOK"), rows, "no runs; `beamhall run FILE` starts one")


def _filter(wanted: Mapping[str, str]) -> str:
    import msgspec  # noqa: PLC0415  --help loads nothing

    predicates = [{"operation": "EQUALS", "key": key, "string_value": value} for key, value in wanted.items() if value]
    return msgspec.json.encode({"predicates": predicates}).decode()


@command.command("show")
@click.argument("run")
@service_options
def show(run: str, data: Path | None, namespace: str) -> None:
    """Show RUN as a tree of tasks with their times and errors; one that goes on is followed to its end."""
    from beamhall.cli.following import follow_run, show_run  # noqa: PLC0415  --help loads nothing

    api = api_of(data, namespace)
    found = _found(api, run)
    if found.get("state") in _FINAL:
        show_run(api, found)
    else:
        follow_run(api, found)


@command.command("logs")
@click.argument("run")
@click.argument("task", required=False)
@click.option("--follow", "-f", is_flag=True, help="Stay until the step has ended.")
@click.option("--tail", type=int, help="Only so many of the last lines.")
@service_options
def logs(run: str, task: str | None, follow: bool, tail: int | None, data: Path | None, namespace: str) -> None:
    """Print the log of TASK in RUN: by its path (/for-loop-1[3]/train), its name, or its id.

    Without TASK, the logs of all steps, one after another, or of those that failed if any did.
    """
    from beamhall.cli.following import print_log, steps_to_read  # noqa: PLC0415  --help loads nothing

    api = api_of(data, namespace)
    found = _found(api, run)
    steps = steps_to_read(api, found, task)
    query: dict[str, str | int] = {"follow": "true" if follow else "", "tail": "" if tail is None else tail}
    for step in steps:
        print_log(api, str(found["run_id"]), step, has_prefix=len(steps) > 1, query=query)


@command.command("stop")
@click.argument("run")
@service_options
def stop(run: str, data: Path | None, namespace: str) -> None:
    """Stop RUN: what runs is ended at once, exit handlers still run."""
    api = api_of(data, namespace)
    found = _found(api, run)
    api.post(f"/runs/{found['run_id']}:terminate")
    click.echo(f"{found['display_name']} is being stopped; `beamhall runs show {found['run_id']}` follows it")


@command.command("retry")
@click.argument("run")
@click.option("--no-wait", is_flag=True, help="Do not follow it.")
@service_options
@click.pass_context
def retry(ctx: click.Context, run: str, no_wait: bool, data: Path | None, namespace: str) -> None:
    """Run again what did not succeed in RUN; what did is kept."""
    from beamhall.cli.following import follow_run  # noqa: PLC0415  --help loads nothing

    api = api_of(data, namespace)
    found = _found(api, run)
    after = api.last_event(str(found["run_id"]))
    api.post(f"/runs/{found['run_id']}:retry")
    if no_wait:
        click.echo(f"{found['display_name']} runs again")
        return
    ctx.exit(0 if follow_run(api, found, after=after) else 1)


@command.command("delete")
@click.argument("runs", nargs=-1, required=True)
@service_options
def delete(runs: tuple[str, ...], data: Path | None, namespace: str) -> None:
    """Delete RUNS with what is known of them; what runs is stopped."""
    api = api_of(data, namespace)
    for run in runs:
        found = _found(api, run)
        api.delete(f"/runs/{found['run_id']}")
        click.echo(f"{found['display_name']} is deleted")
