"""``beamhall backup``."""

from datetime import UTC, datetime
from pathlib import Path

import click

from beamhall.app.settings import load_settings


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--data", type=click.Path(path_type=Path), help="The service's data directory.")
@click.option("--volumes", is_flag=True, help="Put the content of PersistentVolumeClaims, and artifacts, in too.")
def command(file: Path | None, data: Path | None, volumes: bool) -> None:
    """Write a backup of the service to FILE (default: beamhall-TIME.tar.gz here), also while it runs.

    It holds all objects as they are at one moment, runs and their facts, tokens, keys, users, the TLS certificate,
    config.yaml and
    images.yaml: all that a service cannot make anew. It holds secrets, so only you may read it. Environments are left
    out, and so are volumes and artifacts unless asked for; they are copied file by file while Pods may write them. A
    history in PostgreSQL (history_url) has its own backups.

    FILE gets its name only when it is whole, on disk, and read back. `beamhall restore` puts it back.

    \b
    Examples:
      beamhall backup
      beamhall backup /backups/tonight.tar.gz --volumes
    """
    from beamhall.app.backup import make_backup  # noqa: PLC0415  as in the other commands: --help loads nothing

    now = datetime.now(UTC)
    file = (file or Path(f"beamhall-{now:%Y%m%d-%H%M%S}.tar.gz")).absolute()
    found = make_backup(load_settings({"data": data}).data, file, now, with_volumes=volumes)
    size = file.stat().st_size / 2**20
    click.echo(f"{file}: {size:.1f} MiB, all objects as of revision {found.manifest.revision}")
