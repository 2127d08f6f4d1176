"""Following a run on a terminal: a tree that is drawn anew, or plain lines where the output is no terminal."""

import sys
import time
from collections.abc import Mapping, Sequence

import click

from beamhall.cli.artifacts import print_artifacts, print_results
from beamhall.cli.kfp_api import KfpApi, Message
from beamhall.cli.run_tree import FINAL, Node, RunTree, duration_text
from beamhall.cli.screen import Screen
from beamhall.pipelines.spec.ir import Pipeline

LOG_LINES = 20
"""How many of the last lines of a failed step's log are printed."""

FAILURES_SHOWN = 10


def starting_name(pipeline: str) -> str:
    """Name a run by its pipeline and the time."""
    return f"{pipeline} {time.strftime('%Y-%m-%d %H-%M-%S')}"


def follow_run(api: KfpApi, run: Message, pipeline: Pipeline | None = None, *, after: str = "") -> bool:
    """Follow a run to its end, print how it went, and tell whether it succeeded. Ctrl-C leaves it running."""
    run_id = str(run["run_id"])
    tree = RunTree(str(run["display_name"]), pipeline)
    try:
        if sys.stdout.isatty():
            _draw(api, run_id, tree, after)
        else:
            _print_lines(api, run_id, tree, after)
    except KeyboardInterrupt:
        click.echo(
            f"\nthe run goes on; `beamhall runs show {run_id}` follows it, `beamhall runs stop {run_id}` ends it"
        )
        raise
    if tree.root.state == "SUCCEEDED":
        print_results(api, run_id)
        click.echo(f"the run succeeded: {_took(tree.root)}; `beamhall runs show {run_id}` shows it again")
        return True
    click.echo(f"the run {'was stopped' if 'terminated' in tree.error else 'failed'}: {tree.error}", err=True)
    click.echo(f"`beamhall runs retry {run_id}` runs again what did not succeed", err=True)
    return False


def _draw(api: KfpApi, run_id: str, tree: RunTree, after: str) -> None:
    screen = Screen(lambda: tree.picture(_now()))
    with screen.drawing():
        for event in api.events(run_id, after):
            with screen.changing():
                changed = tree.take(event)
            if changed is not None and _has_failed(changed):
                text = _log_text(api, run_id, changed)
                with screen.changing():
                    screen.print_above(text)


def _print_lines(api: KfpApi, run_id: str, tree: RunTree, after: str) -> None:
    for event in api.events(run_id, after):
        changed = tree.take(event)
        if changed is None or changed.state == "PENDING":
            continue
        took = f" ({_took(changed)})" if changed.state in FINAL and changed.started_at else ""
        cached = " from the cache" if changed.is_cached else ""
        held = f": {changed.held}" if changed.held else ""
        click.echo(f"{changed.path or tree.root.name}: {changed.state}{cached}{took}{held}")
        if _has_failed(changed):
            click.echo(_log_text(api, run_id, changed))
        sys.stdout.flush()


def _has_failed(node: Node) -> bool:
    return node.state == "FAILED" and node.type == "RUNTIME" and bool(node.id)


def _log_text(api: KfpApi, run_id: str, node: Node) -> str:
    """Give the end of a failed step's log, or its error where there is no log."""
    try:
        text = "".join(api.log(run_id, node.id, tail=LOG_LINES)).strip()
    except click.ClickException:
        text = ""
    lines = "\n".join(f"  {node.name} | {line}" for line in text.splitlines())
    return f"{lines or node.error}\n  all of it: beamhall runs logs {run_id} {node.path}"


def _took(node: Node) -> str:
    return duration_text((node.finished_at or _now()) - node.started_at) if node.started_at else "no time"


def _now() -> int:
    return time.time_ns() // 1000


def show_run(api: KfpApi, run: Message) -> None:
    """Print a run that has ended as a tree, with the errors of the steps that failed."""
    run_id = str(run["run_id"])
    tree = RunTree(str(run["display_name"]))
    for event in api.events(run_id):
        tree.take(event)
    click.echo("\n".join(tree.picture(_now())))
    if tree.error:
        click.echo(f"\n{tree.error}")
    for node in tree.failed()[:FAILURES_SHOWN]:
        click.echo(_log_text(api, run_id, node))
    print_results(api, run_id)
    print_artifacts(api, run_id, tree)


def steps_to_read(api: KfpApi, run: Message, task: str | None) -> Sequence[Node]:
    """Give the steps whose logs are meant: one by path, name or id; else those that failed; else all that began.

    Raises:
        ClickException: There is no such task, or several have the name.
    """
    tree = RunTree("")
    for event in api.get(f"/runs/{run['run_id']}:events").get("events", ()):
        tree.take(event)
    steps = [node for node in tree.nodes() if node.type == "RUNTIME" and node.id]
    if task is None:
        return tree.failed() or steps
    exact = [node for node in steps if task in (node.path, node.id)]
    named = exact or [node for node in steps if task == node.name]
    if len(named) == 1:
        return named
    paths = ", ".join(node.path for node in (named or steps)[:FAILURES_SHOWN]) or "none yet"
    many = f"several tasks are named {task!r}; say which by its path" if named else f"no step is {task!r}"
    raise click.ClickException(f"{many}: {paths}")


def print_log(api: KfpApi, run_id: str, step: Node, *, has_prefix: bool, query: Mapping[str, str | int]) -> None:
    """Print the log of a step as it comes, each line with the name of the step before it where there are several."""
    rest = ""
    for piece in api.log(run_id, step.id, **query):
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            click.echo(f"{step.name} | {line}" if has_prefix else line)
    if rest:
        click.echo(f"{step.name} | {rest}" if has_prefix else rest)
