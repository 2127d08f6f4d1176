"""``beamhall run``: one pipeline, from a file to its end."""

from pathlib import Path
from typing import Any

import click

from beamhall.cli.kfp_api import api_of
from beamhall.cli.options import service_options


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter; repeat it.")
@click.option(
    "--parameters", "parameter_file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YAML or JSON file of parameters; -p wins.",
)  # fmt: skip
@click.option("--name", default="", help="Name of the run. Default: that of the pipeline, with the time.")
@click.option("--experiment", default="Default", show_default=True, help="Made if there is none of this name.")
@click.option("--pipeline", "wanted", default="", help="Which pipeline, where a Python file has several.")
@click.option("--python", default="", help="The Python that compiles; default: the first found that has kfp.")
@click.option("--root", default="", help="Where artifacts are kept: a directory or s3://…; default: the service's.")
@click.option("--service-account", default="", help="Whom the steps are to the cluster. Default: the namespace's.")
@click.option("--no-cache", is_flag=True, help="Run every step, also those whose results are known.")
@click.option("--no-wait", is_flag=True, help="Only print the id of the run; `beamhall runs show` follows it.")
@service_options
@click.pass_context
def command(ctx: click.Context, /, file: Path, **options: Any) -> None:
    """Run the pipeline in FILE and follow it to its end: a package (YAML, zip, tar.gz, JSON), or a Python file.

    A Python file needs a function with @dsl.pipeline; it is compiled by the kfp SDK of your virtual environment, or of
    one that Beamhall makes. The tree of tasks grows while they run; of a step that fails, the last lines of its log are
    printed. Ends with 1 if the run fails. Ctrl-C leaves the run running, and says how to stop it.

    \b
    Examples:
      beamhall run train.py -p lr=0.1 -p epochs=3
      beamhall run pipeline.yaml --parameters tonight.yaml --experiment nightly
    """
    from beamhall.cli.following import follow_run, starting_name  # noqa: PLC0415  --help loads nothing
    from beamhall.cli.packaging import package_of  # noqa: PLC0415
    from beamhall.cli.parameters import run_parameters  # noqa: PLC0415

    package = package_of(file, name=options["wanted"], python=options["python"], data=options["data"])
    inputs = package.pipeline.root.input_definitions
    given = run_parameters(inputs, options["parameters"], options["parameter_file"])
    root = {"pipeline_root": options["root"]} if options["root"] else {}
    account = {"service_account": options["service_account"]} if options["service_account"] else {}
    api = api_of(options["data"], options["namespace"])
    run = api.post(
        "/runs",
        {
            "display_name": options["name"] or starting_name(package.pipeline.name),
            "experiment_id": api.experiment(options["experiment"]),
            "pipeline_spec": package.as_sent(is_cached=not options["no_cache"]),
            "runtime_config": {"parameters": given, **root},
            **account,
        },
    )
    if options["no_wait"]:
        click.echo(run["run_id"])
        return
    ctx.exit(0 if follow_run(api, run, package.pipeline) else 1)
