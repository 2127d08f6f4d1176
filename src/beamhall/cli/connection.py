"""How a command finds its service: by the data directory, or by ``BEAMHALL_URL`` and ``BEAMHALL_TOKEN``."""

import os
from pathlib import Path

import click
import httpx2

from beamhall.app.datadir import running_service
from beamhall.app.settings import load_settings


def connect(data: Path | None) -> httpx2.Client:
    """Give an HTTP client of the running service, with the caller's token.

    Raises:
        ClickException: No service runs there, or there is no token.
    """
    url, token = os.environ.get("BEAMHALL_URL"), os.environ.get("BEAMHALL_TOKEN")
    if url is None or data is not None:
        directory = load_settings({"data": data}).data
        running = running_service(directory)
        if running is None:
            raise click.ClickException(f"no service runs on {directory}; `beamhall up --data {directory}` starts it")
        url, token = running.url, (directory / "token").read_text().strip()
    if not token:
        raise click.ClickException("BEAMHALL_URL is set but BEAMHALL_TOKEN is not; set it to the service's token")
    return httpx2.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=30, trust_env=False)
