"""``beamhall kubeconfig``."""

from pathlib import Path

import click

from beamhall.app.settings import load_settings


@click.command("kubeconfig")
@click.option("--data", type=click.Path(path_type=Path), help="The service's data directory.")
def command(data: Path | None) -> None:
    """Print a kubeconfig for this service, for kubectl and SDKs.

    It carries the service's address, its certificate authority and your token: keep it to yourself.

    \b
    Examples:
      beamhall kubeconfig > ~/.kube/beamhall
      KUBECONFIG=~/.kube/beamhall kubectl get pods
    """
    file = load_settings({"data": data}).data / "kubeconfig"
    try:
        click.echo(file.read_text(), nl=False)
    except FileNotFoundError as err:
        raise click.ClickException(
            f"there is no {file}: start the service once with `beamhall up --data {file.parent}`"
        ) from err
