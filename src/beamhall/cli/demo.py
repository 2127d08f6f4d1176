"""``beamhall demo``: from nothing to a trained network, in front of the user's eyes."""

import asyncio
import contextlib
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import yaml

from beamhall.app.datadir import claimed
from beamhall.app.examples import examples_directory
from beamhall.app.settings import Settings, default_data_dir, load_settings
from beamhall.catalog.catalog import Catalog
from beamhall.cli.up import run, stop_signal
from beamhall.client.protocol import Client
from beamhall.kernel.errors import AlreadyExists
from beamhall.kernel.kinds import NAMESPACE, ROLE_BINDING, SERVICE_ACCOUNT

Say = Callable[[str], None]

_IMAGE = "beamhall/digits"
_NAMESPACE = "demo"
_KINDS = {kind.kind: kind for kind in (SERVICE_ACCOUNT, ROLE_BINDING)}
_MARKER = "this-is-a-demo"
_DATABASES = tuple(f"{name}{ending}" for name in ("objects.db", "history.db") for ending in ("", "-wal", "-shm"))
_FRESH = (*_DATABASES, "pods", "volumes", "network", "artifacts", "images.yaml")


@click.command("demo")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data directory. Default: DATA-demo beside the service's own."
)
@click.option("--port", type=int, help="Port. Default: 8080, or any free one if that is taken.")
@click.option("--exit", "ends", is_flag=True, help="End when the run has ended, instead of waiting for Ctrl-C.")
def command(data: Path | None, port: int | None, ends: bool) -> None:
    """Start a fresh service and run a pipeline on it that trains a network, from nothing to a result.

    The pipeline prepares scikit-learn's handwritten digits, trains by a TFJob with one parameter server and two workers
    (TensorFlow, across processes), evaluates, and publishes metrics and a confusion matrix. The first run makes the
    TensorFlow environment (600 MB are downloaded); later runs are quick. What earlier demos made is forgotten;
    environments are kept.
    """
    data = (data or default_data_dir().with_name(default_data_dir().name + "-demo")).expanduser().absolute()
    _make_fresh(data)
    settings = load_settings({"data": data, "port": _free_port(port), "stop_pods": True, "log_level": "warning"})
    run(_demo(settings, ends=ends))


def _make_fresh(data: Path) -> None:
    """Forget an earlier demo; refuse to forget anything else."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    marker = data / _MARKER
    if any(data.iterdir()) and not marker.exists():
        raise click.ClickException(f"{data} holds something else than a demo; give --data an empty or new directory")
    marker.touch()
    with claimed(data):
        for name in _FRESH:
            path = data / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _free_port(port: int | None) -> int:
    """Give the port asked for, or 8080 if nobody has it, or any free one."""
    if port is not None:
        return port
    with socket.socket() as probe:
        return 0 if probe.connect_ex(("127.0.0.1", 8080)) == 0 else 8080


async def _demo(settings: Settings, *, ends: bool) -> None:
    from beamhall.app.service import serving  # noqa: PLC0415

    started = time.monotonic()
    stop = stop_signal()

    def say(line: str) -> None:
        click.echo(f"{time.monotonic() - started:6.1f} s  {line}")

    async with serving(settings) as service:
        say(f"the service is ready at {service.url}; everything it keeps is in {settings.data}")
        async with asyncio.TaskGroup() as tasks:
            training = tasks.create_task(_train(service.client, settings.data, say))
            stopping = tasks.create_task(stop.wait())
            await asyncio.wait({training, stopping}, return_when=asyncio.FIRST_COMPLETED)
            training.cancel()
            stopping.cancel()
        if stop.is_set():
            return
        await _show_kubectl(settings.data)
        click.echo(f"\nThe web page: {service.login_url}")
        click.echo(f"kubectl:      export KUBECONFIG={settings.data / 'kubeconfig'}")
        if not ends:
            click.echo("\nCtrl-C ends the service.")
            await stop.wait()


async def _train(client: Client, data: Path, say: Say) -> None:
    """Make what the pipeline's steps need, then run it by the command that users run pipelines by."""
    digits = examples_directory() / "digits"
    Catalog.load(data).add(_IMAGE, environment="tensorflow", path=(str(digits),))
    documents = list(yaml.safe_load_all((digits / "access.yaml").read_text()))
    with contextlib.suppress(AlreadyExists):
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}})
    for document in documents:
        await client.create(_KINDS[document["kind"]], document)
    say("a step starts when the environment of its image is made; TensorFlow is downloaded the first time")
    run = ("run", str(digits / "pipeline.yaml"), "-n", _NAMESPACE, "--service-account", "pipeline-runner")
    if await _beamhall(data, *run) != 0:
        raise click.ClickException("the training failed; what is printed above says why")
    say("the run, as `beamhall runs show` has it:")
    await _beamhall(data, "runs", "show", "digits", "-n", _NAMESPACE)


async def _beamhall(data: Path, *args: str) -> int:
    """Run a command of ours as a user would, on this terminal."""
    click.echo(f"\n$ beamhall {' '.join(args)} --data {data}")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "beamhall", *args, "--data", str(data))
    try:
        return await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise


async def _show_kubectl(data: Path) -> None:
    """Show the job that a step made through the kubectl that the user has, if there is one."""
    if shutil.which("kubectl") is None:
        return
    command = ["kubectl", "--kubeconfig", str(data / "kubeconfig"), "--namespace", _NAMESPACE, "get", "tfjobs,pods"]
    click.echo(f"\n$ {' '.join(command)}")
    process = await asyncio.create_subprocess_exec(*command)
    await process.wait()
