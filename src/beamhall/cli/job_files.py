"""The files of a job: the script, and what goes with it, by their places in the job's working directory."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

_LEFT_OUT = ("__pycache__", ".git", ".venv", ".ipynb_checkpoints")


def files_of(script: Path, included: Iterable[Path]) -> Mapping[str, bytes]:
    """Read a script and what is included with it.

    Args:
        script: It comes first, under its own name.
        included: Files and directories. What lies below the script's directory keeps its place, anything else goes
            beside the script.

    Returns:
        Contents by path, with ``/`` between its parts.

    Raises:
        ClickException: Two files would have one place.
        OSError: A file cannot be read.
    """
    found = {script.name: script}
    directory = script.parent.resolve()
    for each in included:
        top = each.resolve()
        base = directory if top.is_relative_to(directory) else top.parent
        for path in _files(top):
            place = path.relative_to(base).as_posix()
            if place in found and found[place].resolve() != path:
                raise click.ClickException(f"{found[place]} and {path} would both be {place} in the job's directory")
            found[place] = path
    return {place: path.read_bytes() for place, path in found.items()}


def _files(top: Path) -> Iterator[Path]:
    """Give a file, or those of a directory, without what tools leave there."""
    if top.is_file():
        yield top
        return
    for path in sorted(top.iterdir()):
        if path.name not in _LEFT_OUT and not path.name.endswith(".pyc"):
            yield from _files(path)
