"""``beamhall restore``."""

from datetime import UTC, datetime
from pathlib import Path

import click

from beamhall.app.settings import load_settings


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--data", type=click.Path(path_type=Path), help="The data directory to put it into.")
@click.option("--force", is_flag=True, help="Replace what is there; it is kept as DATA/replaced-TIME.")
def command(file: Path, data: Path | None, force: bool) -> None:
    """Put a backup back, from FILE that `beamhall backup` wrote. The service must be stopped.

    Everything in FILE is checked before anything is changed. What runs is not in a backup: Pods that were running when
    it was made are started again or counted as failed, as their owners say. Clients that watch notice by themselves
    that they have to list afresh.

    \b
    Examples:
      beamhall restore /backups/tonight.tar.gz --data /srv/beamhall
      beamhall restore /backups/tonight.tar.gz --force
    """
    from beamhall.app.restore import restore_backup  # noqa: PLC0415  as in the other commands: --help loads nothing

    directory = load_settings({"data": data}).data
    done = restore_backup(file, directory, datetime.now(UTC), force=force)
    click.echo(f"{directory} is as it was at {done.manifest.made}; `beamhall up --data {directory}` starts it")
    if done.replaced is not None:
        click.echo(f"what was there before is in {done.replaced}: delete it when you do not need it", err=True)
