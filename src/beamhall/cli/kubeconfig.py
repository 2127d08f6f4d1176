"""``beamhall kubeconfig``."""

from pathlib import Path

import click

from beamhall.app.settings import load_settings


@click.command("kubeconfig")
@click.option("--data", type=click.Path(path_type=Path), help="The service's data directory.")
@click.option("--user", help="Make a new token for this user, and the user if there is none of that name.")
@click.option("--group", "groups", multiple=True, help="With --user: a group that the user is in. Can be given again.")
@click.option("--namespace", help="Where commands work that name no namespace. Default: default.")
def command(data: Path | None, user: str | None, groups: tuple[str, ...], namespace: str | None) -> None:
    """Print a kubeconfig for this service, for kubectl and SDKs.

    It carries the service's address, its certificate authority and a token: keep it to yourself. Without --user it is
    the owner's, who may do everything. What another user may do is said by roles and bindings.

    \b
    Examples:
      beamhall kubeconfig > ~/.kube/beamhall
      KUBECONFIG=~/.kube/beamhall kubectl get pods
      beamhall kubeconfig --user jo --group lab --namespace vision > jo.kubeconfig
    """
    if groups and user is None:
        raise click.UsageError("--group says something about a user: give --user too")
    directory = load_settings({"data": data}).data
    file = directory / "kubeconfig"
    try:
        text = file.read_text()
    except FileNotFoundError as err:
        raise click.ClickException(
            f"there is no {file}: start the service once with `beamhall up --data {directory}`"
        ) from err
    if user is not None or namespace is not None:
        text = _rewritten(text, directory, user, groups, namespace)
    click.echo(text, nl=False)


def _rewritten(text: str, directory: Path, user: str | None, groups: tuple[str, ...], namespace: str | None) -> str:
    from beamhall.app.clock import SystemClock  # noqa: PLC0415  most calls only print a file
    from beamhall.app.users import Users  # noqa: PLC0415
    from beamhall.client.kubeconfig import for_user  # noqa: PLC0415

    token = "" if user is None else Users(directory).add(user, groups, SystemClock().now())
    return for_user(text, user or "", token, namespace or "")
