"""``beamhall images``: the catalog, from the command line."""

import asyncio
import shlex
import sys
from pathlib import Path

import click

from beamhall.app.settings import load_settings
from beamhall.catalog.catalog import Catalog

_DATA = click.option("--data", type=click.Path(path_type=Path), help="The service's data directory.")


def _catalog(data: Path | None) -> Catalog:
    return Catalog.load(load_settings({"data": data}).data)


@click.group("images")
def command() -> None:
    """List, prepare and add images: the Python environments that Pods run in.

    A Pod names an image as on any Kubernetes. The catalog maps the name to a local Python environment, which uv
    makes at first use and all Pods share. Names are matched by pattern; your own entries beat the shipped ones.
    """


@command.command("list")
@_DATA
def list_images(data: Path | None) -> None:
    """List the images that are known, with the environment that stands for each."""
    catalog = _catalog(data)
    rows = [("IMAGE", "ENVIRONMENT", "READY", "CODE")]
    for image in catalog.images():
        is_ready = catalog.is_ready(image) is not None
        rows.append((image.pattern, image.environment, "yes" if is_ready else "at first use", ":".join(image.path)))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())


@command.command("prepare")
@click.argument("images", nargs=-1, required=True)
@_DATA
def prepare(images: tuple[str, ...], data: Path | None) -> None:
    """Make the environments of IMAGES now, so that no Pod has to wait for it.

    \b
    Example:
      beamhall images prepare tensorflow/tensorflow jupyter/scipy-notebook
    """
    catalog = _catalog(data)
    for reference in images:
        image = catalog.find(reference)
        click.echo(f"{reference}: environment {image.environment}")
        prepared = asyncio.run(catalog.prepare(image, lambda line: click.echo(f"  {line}", err=True)))
        click.echo(f"{reference}: ready, {prepared.python}")


@command.command("add")
@click.argument("image")
@click.option("--environment", required=True, help="Name of a shipped environment or of one in images.yaml.")
@click.option(
    "--path", "paths", multiple=True, type=click.Path(exists=True, file_okay=False, resolve_path=True),
    help="A directory with the image's code, put on PYTHONPATH.",
)  # fmt: skip
@click.option(
    "--workdir", default="", type=click.Path(exists=True, file_okay=False, resolve_path=True),
    help="The directory that its containers start in, where they name none.",
)  # fmt: skip
@click.option("--entrypoint", default="", help="What its containers run that name no command, as one would type it.")
@_DATA
def add(image: str, environment: str, paths: tuple[str, ...], workdir: str, entrypoint: str, data: Path | None) -> None:
    """Add IMAGE (a name, or a pattern with *) to your images.yaml. Pods that wait for it start by themselves.

    \b
    Examples:
      beamhall images add gcr.io/your-project/your-image --environment tensorflow --path ~/your-code
      beamhall images add lab/trainer --environment pytorch --workdir ~/trainer --entrypoint "python main.py"
    """
    catalog = _catalog(data)
    try:
        words = shlex.split(entrypoint)
    except ValueError as error:
        raise click.UsageError(f"--entrypoint {entrypoint!r}: {error}") from error
    added = catalog.add(image, environment=environment, path=paths, workdir=workdir, entrypoint=words)
    if added.has_lost_comments:
        click.echo(f"the comments in {added.file} are not kept", err=True)
    click.echo(f"{image} is now the environment {environment}" + (f" with {':'.join(paths)}" if paths else ""))


@command.command("python")
@click.argument("image")
@_DATA
def python(image: str, data: Path | None) -> None:
    """Print the interpreter of IMAGE's environment, making the environment if it is absent.

    \b
    Example:
      $(beamhall images python tensorflow/tensorflow) -c "import tensorflow; print(tensorflow.__version__)"
    """
    catalog = _catalog(data)
    prepared = asyncio.run(catalog.prepare(catalog.find(image), lambda line: print(line, file=sys.stderr)))  # noqa: T201
    click.echo(prepared.python)
