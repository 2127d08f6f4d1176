"""``beamhall train``: a script, from a file to a job that has ended."""

from pathlib import Path
from typing import Any

import click

from beamhall.cli.options import service_options


@click.command("train")
@click.argument("script", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("arguments", nargs=-1)
@click.option(
    "--framework", type=click.Choice(["pytorch", "tensorflow", "jax", "xgboost", "mpi", "paddle", "python"]),
    help="Default: by what the script imports.",
)  # fmt: skip
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many Pods train.")
@click.option("--gpus", default=0, show_default=True, type=click.IntRange(0), help="GPUs of each worker.")
@click.option("--cpu", default="", help="CPUs of each worker, such as 2 or 500m. Default: what is free.")
@click.option("--memory", default="", help="Memory of each worker, such as 4Gi. Default: what is free.")
@click.option("--image", default="", help="Default: the framework's; `beamhall images list` shows all.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable; repeat it.")
@click.option(
    "--include", "included", multiple=True, type=click.Path(path_type=Path, exists=True), metavar="PATH",
    help="A file or directory that the script needs; repeat it.",
)  # fmt: skip
@click.option("--name", default="", help="The job's name. Default: the script's, with some letters.")
@click.option("--restarts", default=0, show_default=True, type=click.IntRange(0), help="Restarts after failures.")
@click.option(
    "--checkpoints/--no-checkpoints", "has_checkpoints", default=True, show_default=True,
    help="A directory that outlives the Pods, in CHECKPOINT_DIR.",
)  # fmt: skip
@click.option("--no-wait", is_flag=True, help="Only print the job; `beamhall jobs logs -f` follows it.")
@service_options
@click.pass_context
def command(ctx: click.Context, /, script: Path, arguments: tuple[str, ...], **options: Any) -> None:
    """Run the Python file SCRIPT as a training job, and follow it to its end. What stands after -- is given to it.

    The script and what is included with it (1 MiB in all) lie in the working directory of each worker. Each worker is
    told its place by its framework's variables: RANK, WORLD_SIZE, MASTER_ADDR for PyTorch and plain Python, TF_CONFIG
    for TensorFlow. With more GPUs than one, torchrun starts a process for each.

    The logs of all workers are printed as they come. A worker may tell of its progress by lines such as
    {"step": 10, "steps": 100, "loss": 0.5}. Ends with 1 if the job fails. Ctrl-C leaves it running, and says how to
    stop it.

    Workers that are killed start again. What a script keeps in CHECKPOINT_DIR is there then; with --name, also for the
    next job of that name.

    \b
    Examples:
      beamhall train mnist.py --workers 4 --gpus 1 -- --epochs 5
      beamhall train train.py --include model --include config.yaml --name nightly
    """
    from beamhall.cli.job_following import command_name, follow_job  # noqa: PLC0415  --help loads nothing
    from beamhall.cli.jobs_api import jobs_of  # noqa: PLC0415
    from beamhall.cli.submitting import request_of, submit  # noqa: PLC0415

    request, files = request_of(script, arguments, options)
    api = jobs_of(options["data"], options["namespace"])
    submit(api, request, files, keeps_checkpoints=bool(options["name"]))
    what = command_name(api, request.kind, request.name)
    if options["no_wait"]:
        click.echo(what)
        return
    click.echo(f"{what}: {request.n_workers} x {request.image_used}")
    ctx.exit(0 if follow_job(api, request.kind, request.name) else 1)
