"""``beamhall up``."""

import asyncio
import gc
import signal
import time
from pathlib import Path
from typing import Any

import click

from beamhall.app.settings import Settings, load_settings


@click.command("up")
@click.option("--data", type=click.Path(path_type=Path), help="Directory of everything that is kept.")
@click.option("--host", help="Address to listen on. Default: 127.0.0.1, this machine only.")
@click.option("--port", type=int, help="Port. Default: 8080; 0 takes any free one.")
@click.option("--host-name", "host_names", multiple=True, help="A name under which browsers may call the service.")
@click.option("--gpus", help="auto: find them (default); a number: simulate so many.")
@click.option(
    "--warm-start/--no-warm-start", default=None, help="Let Python containers start by forking a warm parent."
)
@click.option(
    "--stop-pods/--keep-pods", default=None, help="End the Pods when the service stops. Default: they run on."
)
@click.option("--simulated-nodes", type=int, help="Simulate so many nodes, whose Pods do nothing, to study scale.")
@click.option("--simulated-node", help="What each has. Default: cpu=32,memory=128Gi; also nvidia.com/gpu=8, pods=500.")
@click.option("--simulated-open/--simulated-tainted", default=None, help="Let every Pod go to simulated nodes.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Default: info.")
@click.option(
    "--log-format", type=click.Choice(["auto", "json", "text"]), help="Default: text on a terminal, else JSON."
)
def command(**options: Any) -> None:
    """Start the service, and stop it cleanly on Ctrl-C.

    Prints one line with the URL when it is ready. The URL logs your browser in. Everything is kept under the data
    directory; a second start on it goes on where the first was. Pods run on while the service is stopped (or has
    crashed), and the next start adopts them; --stop-pods ends them instead.

    Every option can stand in DATA/config.yaml (`port: 9000`) or in the environment (BEAMHALL_PORT=9000).

    \b
    Examples:
      beamhall up
      beamhall up --port 0 --data /tmp/try --gpus 2
    """
    options["host_names"] = options["host_names"] or None
    settings = load_settings(options)
    run(_up(settings, time.perf_counter()))


def run(main: Any) -> None:
    """Run a coroutine on the loop that the service uses; errors of its parts come out one by one."""
    import uvloop  # noqa: PLC0415

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(main)
        except BaseExceptionGroup as group:
            raise first_of(group) from group


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the first single error in a group: the one that made the others stop."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def stop_signal() -> asyncio.Event:
    """Give an event that Ctrl-C and SIGTERM set. A second one does not wait for the service to stop cleanly."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def note(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, note, number)
    return stop


async def _up(settings: Settings, started: float) -> None:
    from beamhall.app.service import serving  # noqa: PLC0415

    # Most of what lives, lives long: what the views and the recent log hold. Looking through it for garbage at every
    # 700 new objects, as Python does by itself, costs a tenth of the processor time.
    gc.set_threshold(20_000, 20, 20)
    stop = stop_signal()
    async with serving(settings) as service:
        click.echo(f"Beamhall is ready at {service.login_url} ({time.perf_counter() - started:.1f} s)")
        await stop.wait()
        n_running = service.n_running_pods
    if n_running and not settings.stop_pods:
        click.echo(f"{n_running} Pods run on; the next `beamhall up --data {settings.data}` adopts them", err=True)
