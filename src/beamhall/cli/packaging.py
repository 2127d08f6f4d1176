"""From the file that a user names to a pipeline package: read as it is, or compiled by the ``kfp`` SDK.

A Python file is compiled in a Python that has ``kfp``: the one asked for, the active virtual environment, the one that
runs this, or else the catalog's environment of that name, which is made once.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from beamhall.app.settings import load_settings
from beamhall.catalog.catalog import Catalog
from beamhall.cli.programs import compile_pipeline
from beamhall.kernel.errors import UserError
from beamhall.pipelines.packages import documents_of
from beamhall.pipelines.spec.checking import checked_pipeline
from beamhall.pipelines.spec.ir import Pipeline
from beamhall.pipelines.spec.sources import Json

SDK_IMAGE = "beamhall/kfp"
"""The image whose environment has the SDK; see the shipped catalog."""

_HAS_KFP = "import importlib.util, sys; sys.exit(importlib.util.find_spec('kfp') is None)"
_COMPILE_TIMEOUT_S = 300


class NotCompiled(UserError):
    """A Python file did not give a pipeline; the message says where and why."""


class Package:
    """A pipeline, checked.

    Attributes:
        content: Its bytes.
        documents: Specification and perhaps platform specification, as the API takes them.
        pipeline: The same, read.
    """

    def __init__(self, content: bytes, file_name: str) -> None:
        self.content = content
        self.documents: Sequence[Json] = documents_of(content, file_name)
        self.pipeline: Pipeline = checked_pipeline(self.documents)

    def as_sent(self, *, is_cached: bool) -> Json:
        """Give it as a run has it in JSON. Without caching, no task looks for results that are known."""
        documents = self.documents if is_cached else [_without_caching(each) for each in self.documents]
        return documents[0] if len(documents) == 1 else {"pipeline_spec": documents[0], "platform_spec": documents[1]}


def package_of(file: Path, *, name: str = "", python: str = "", data: Path | None = None) -> Package:
    """Read or compile a file.

    Args:
        file: A package, or a Python file.
        name: Which pipeline of a Python file; empty: the only one.
        python: Which interpreter compiles; empty: the first that has ``kfp``.
        data: The data directory, for the catalog's environment.

    Raises:
        BadRequest: A package cannot be read, or the pipeline is wrong; the message says which task and field.
        NotCompiled: A Python file gives no pipeline.
        OSError: The file cannot be read.
    """
    if file.suffix != ".py":
        if name or python:
            raise click.UsageError(f"--pipeline and --python are for Python files, and {file} is none")
        return Package(file.read_bytes(), file.name)
    return Package(_compiled(file, name, python or _python_with_kfp(data)), f"{file.name}, compiled")


def _without_caching(document: Json) -> Json:
    """Copy a specification with the caching of every task off, of every DAG."""
    if not isinstance(document, dict) or "root" not in document:
        return document
    components = {name: _uncached(component) for name, component in (document.get("components") or {}).items()}
    return document | {"root": _uncached(document["root"])} | ({"components": components} if components else {})


def _uncached(component: dict[str, Any]) -> dict[str, Any]:
    if "dag" not in component:
        return component
    tasks = {name: task | {"cachingOptions": {}} for name, task in component["dag"]["tasks"].items()}
    return component | {"dag": component["dag"] | {"tasks": tasks}}


def _compiled(file: Path, name: str, python: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="beamhall-") as directory:
        package = Path(directory) / "pipeline.yaml"
        command = [python, compile_pipeline.__file__, str(file.resolve()), name, str(package)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as err:
            raise NotCompiled(f"{file} did not compile in {_COMPILE_TIMEOUT_S} s") from err
        lines = done.stderr.strip().splitlines()
        if done.returncode:
            reason = lines[-1] if lines else f"{python} ended with {done.returncode}"
            raise NotCompiled(reason if done.returncode == compile_pipeline.MENDABLE else f"{file}: kfp says: {reason}")
        return package.read_bytes()


def _python_with_kfp(data: Path | None) -> str:
    for python in _candidates():
        if subprocess.run([python, "-c", _HAS_KFP], capture_output=True, check=False).returncode == 0:
            return python
    catalog = Catalog.load(load_settings({"data": data}).data)
    prepared = asyncio.run(catalog.prepare(catalog.find(SDK_IMAGE), lambda line: click.echo(f"  {line}", err=True)))
    return str(prepared.python)


def _candidates() -> Iterator[str]:
    if active := os.environ.get("VIRTUAL_ENV"):
        python = Path(active) / "bin" / "python"
        if python.exists():
            yield str(python)
    yield sys.executable
