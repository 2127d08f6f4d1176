"""``beamhall users``: who may use the service besides its owner."""

from pathlib import Path

import click

from beamhall.app.clock import SystemClock
from beamhall.app.settings import load_settings
from beamhall.app.users import Users

_DATA = click.option("--data", type=click.Path(path_type=Path), help="The service's data directory.")


def _users(data: Path | None) -> Users:
    return Users(load_settings({"data": data}).data)


@click.group("users")
def command() -> None:
    """List, add and remove users beyond the owner.

    A user has tokens, of which only hashes are kept, and groups. What a user may do is said by roles and bindings, as
    on any Kubernetes; a new user may do nothing but look at what is served. A running service notices changes at once.
    """


@command.command("list")
@_DATA
def list_users(data: Path | None) -> None:
    """List the users, with their groups and when their tokens were made."""
    rows = [("NAME", "GROUPS", "TOKENS")]
    rows += [
        (entry.name, ",".join(entry.groups) or "-", ",".join(token.created for token in entry.tokens))
        for entry in _users(data).all()
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for row in rows:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())


@command.command("add")
@click.argument("name")
@click.option("--group", "groups", multiple=True, help="A group that the user is in. Can be given again.")
@_DATA
def add(name: str, groups: tuple[str, ...], data: Path | None) -> None:
    """Give a new token to user NAME and print it; earlier ones stay good.

    \b
    Example:
      beamhall users add jo --group lab
    """
    click.echo(_users(data).add(name, groups, SystemClock().now()))


@command.command("remove")
@click.argument("name")
@_DATA
def remove(name: str, data: Path | None) -> None:
    """Take back all tokens of user NAME. Roles that are bound to the name stay bound."""
    _users(data).remove(name)
    click.echo(f"the tokens of {name} are worth nothing now")
