"""``beamhall operator``: the same controllers on a real cluster."""

import asyncio
from pathlib import Path
from typing import Any

import click

from beamhall.cli.up import run, stop_signal


@click.command("operator")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Default: as kubectl finds it, or in-cluster.")
@click.option("--context", default="", help="A context of the kubeconfig. Default: its current one.")
@click.option(
    "--gang", type=click.Choice(["", "scheduler-plugins", "volcano"]), default="",
    help="The scheduler that starts the Pods of a job together, if the cluster has one.",
)  # fmt: skip
@click.option("--cluster-domain", default="", help="Put after .svc in the host names of TF_CONFIG.")
@click.option("--namespace", default="kube-system", help="Where the lease of the one active operator is kept.")
@click.option("--install/--no-install", default=True, help="Install the CustomResourceDefinitions that are missing.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def command(**options: Any) -> None:
    """Run the same controllers on a real Kubernetes cluster.

    Several may run: a Lease decides which one works.

    \b
    Example:
      beamhall operator --kubeconfig ~/.kube/config --gang scheduler-plugins
    """
    from beamhall.app.operator import OperatorSettings, operate  # noqa: PLC0415

    settings = OperatorSettings(**options)

    async def main() -> None:
        stop = stop_signal()
        async with asyncio.TaskGroup() as tasks:
            operating = tasks.create_task(operate(settings, click.echo))
            stopping = tasks.create_task(stop.wait())
            await asyncio.wait({operating, stopping}, return_when=asyncio.FIRST_COMPLETED)
            operating.cancel()
            stopping.cancel()

    run(main())
