"""``beamhall pipelines``: pipelines that are kept by name, with their versions."""

import json
from pathlib import Path
from typing import Any

import click

from beamhall.cli.kfp_api import KfpApi, Message, api_of
from beamhall.cli.options import service_options
from beamhall.cli.tables import age_text, print_table


def _found(api: KfpApi, identity: str) -> Message:
    return api.named("/pipelines", "pipelines", identity, "pipeline")


@click.group("pipelines")
def command() -> None:
    """List, show, upload and delete pipelines that the service keeps by name, with their versions.

    A PIPELINE is named by its id, the first characters of its id, or its name. `beamhall run FILE` needs none of this.
    """


@command.command("list")
@click.option("--limit", default=20, show_default=True, help="How many.")
@service_options
def list_pipelines(limit: int, data: Path | None, namespace: str) -> None:
    """List pipelines, the newest first."""
    found = api_of(data, namespace).listing("/pipelines", "pipelines", limit, sort_by="created_at desc")
    rows = [
        (each["pipeline_id"][:8], each["display_name"], age_text(each["created_at"]), each.get("description", ""))
        for each in found
    ]
    print_table(("ID", "NAME", "AGE", "DESCRIPTION"), rows, "no pipelines; `beamhall pipelines upload FILE` adds one")


@command.command("show")
@click.argument("pipeline")
@service_options
def show(pipeline: str, data: Path | None, namespace: str) -> None:
    """Show PIPELINE: its versions, the newest first, and the parameters that a run of the newest takes."""
    api = api_of(data, namespace)
    found = _found(api, pipeline)
    versions = list(
        api.listing(f"/pipelines/{found['pipeline_id']}/versions", "pipeline_versions", 100, sort_by="created_at desc")
    )
    click.echo(f"{found['display_name']}  {found['pipeline_id']}  {found.get('description', '')}".rstrip())
    rows = [(each["pipeline_version_id"][:8], each["display_name"], age_text(each["created_at"])) for each in versions]
    print_table(("ID", "VERSION", "AGE"), rows, "no versions")
    if versions:
        _print_parameters(versions[0])


def _print_parameters(version: Message) -> None:
    document: Message = version.get("pipeline_spec") or {}
    spec = document.get("pipeline_spec") or document
    inputs = ((spec.get("root") or {}).get("inputDefinitions") or {}).get("parameters") or {}
    rows = [
        (name, each.get("parameterType", ""), json.dumps(each["defaultValue"]) if "defaultValue" in each else "")
        for name, each in inputs.items()
    ]
    click.echo()
    print_table(("PARAMETER", "TYPE", "DEFAULT"), rows, "it takes no parameters")


@command.command("upload")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--name", default="", help="Name of the pipeline. Default: that in the file.")
@click.option("--version", "version", default="", help="Add a version of this name to the pipeline --name.")
@click.option("--description", default="", help="What it does.")
@click.option("--pipeline", "wanted", default="", help="Which pipeline, where a Python file has several.")
@click.option("--python", default="", help="The Python that compiles; default: the first found that has kfp.")
@service_options
def upload(file: Path, name: str, version: str, **options: Any) -> None:
    """Keep the pipeline in FILE: a compiled package, or a Python file, which is compiled first.

    \b
    Examples:
      beamhall pipelines upload train.py
      beamhall pipelines upload train.yaml --name train --version with-dropout
    """
    from beamhall.cli.packaging import package_of  # noqa: PLC0415  --help loads nothing

    package = package_of(file, name=options["wanted"], python=options["python"], data=options["data"])
    api = api_of(options["data"], options["namespace"])
    description = {"description": options["description"]}
    name = name or package.pipeline.name
    if version:
        pipeline_id = str(_found(api, name)["pipeline_id"])
        query = {"name": version, "pipelineid": pipeline_id, **description}
        made = api.upload("/pipelines/upload_version", package.content, **query)
        click.echo(f"{name} has the version {made['display_name']}  {made['pipeline_version_id']}")
        return
    query = {"name": name, "namespace": api.namespace, **description}
    made = api.upload("/pipelines/upload", package.content, **query)
    click.echo(f"{made['display_name']}  {made['pipeline_id']}")


@command.command("delete")
@click.argument("pipelines", nargs=-1, required=True)
@service_options
def delete(pipelines: tuple[str, ...], data: Path | None, namespace: str) -> None:
    """Delete PIPELINES with their versions; runs stay."""
    api = api_of(data, namespace)
    for pipeline in pipelines:
        found = _found(api, pipeline)
        api.delete(f"/pipelines/{found['pipeline_id']}", cascade="true")
        click.echo(f"{found['display_name']} is deleted")
