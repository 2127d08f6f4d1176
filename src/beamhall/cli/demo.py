"""``beamhall demo``: from nothing to a trained network, in front of the user's eyes."""

import asyncio
import json
import shutil
import socket
import time
from pathlib import Path

import click
import yaml

from beamhall.app.datadir import claimed
from beamhall.app.examples import examples_directory
from beamhall.app.settings import Settings, default_data_dir, load_settings
from beamhall.catalog.catalog import Catalog
from beamhall.cli.follow import Say, end_of, ensure_namespace, follow_job
from beamhall.cli.up import run, stop_signal
from beamhall.client.protocol import Client
from beamhall.kernel.kinds import PERSISTENT_VOLUME_CLAIM, TF_JOB
from beamhall.kernel.objects import name_of, namespace_of

_IMAGE = "beamhall/digits"
_KINDS = {kind.kind: kind for kind in (PERSISTENT_VOLUME_CLAIM, TF_JOB)}
_MARKER = "this-is-a-demo"
_FRESH = ("objects.db", "objects.db-wal", "objects.db-shm", "pods", "volumes", "network", "images.yaml")


@click.command("demo")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data directory. Default: DATA-demo beside the service's own."
)
@click.option("--port", type=int, help="Port. Default: 8080, or any free one if that is taken.")
@click.option("--exit", "ends", is_flag=True, help="End when the job has ended, instead of waiting for Ctrl-C.")
def command(data: Path | None, port: int | None, ends: bool) -> None:
    """Start a fresh service and train a network on it, from nothing to a result.

    A TFJob with one parameter server and two workers trains a network on scikit-learn's handwritten digits with
    TensorFlow, across processes. The first run makes the TensorFlow environment (600 MB are downloaded); later runs
    are quick. Objects of earlier demos are forgotten; environments are kept.
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
    """Submit the job, follow it to its end, and print what came out."""
    digits = examples_directory() / "digits"
    Catalog.load(data).add(_IMAGE, environment="tensorflow", path=(str(digits),))
    documents = list(yaml.safe_load_all((digits / "tfjob.yaml").read_text()))
    await ensure_namespace(client, namespace_of(documents[0]))
    for document in documents:
        kind = _KINDS[document["kind"]]
        made = await client.create(kind, document)
        say(f"created {kind.kind} {namespace_of(made)}/{name_of(made)}")
    say("a Pod starts when the environment of its image is made; TensorFlow is downloaded the first time")
    job = await follow_job(client, TF_JOB, made, say)
    end = end_of(job)
    if end is None or end["type"] != "Succeeded":
        raise click.ClickException(f"the training failed: {end['message'] if end else job}; the logs above say why")
    say(str(end["message"]))
    _show_result(data / "volumes" / namespace_of(job), say)


def _show_result(volumes: Path, say: Say) -> None:
    """Print the accuracy that the program measured on data it had not seen, and where its model is."""
    for file in sorted(volumes.rglob("metrics.json")):
        metrics = json.loads(file.read_text())
        say(f"held-out accuracy: {metrics['accuracy']:.4f}")
        say(f"saved model: {file.parent}")


async def _show_kubectl(data: Path) -> None:
    """Show the same job through the kubectl that the user has, if there is one."""
    if shutil.which("kubectl") is None:
        return
    command = [
        "kubectl",
        "--kubeconfig",
        str(data / "kubeconfig"),
        "--namespace",
        "demo",
        "get",
        "tfjobs,pods,services",
    ]
    click.echo(f"\n$ {' '.join(command)}")
    process = await asyncio.create_subprocess_exec(*command)
    await process.wait()
