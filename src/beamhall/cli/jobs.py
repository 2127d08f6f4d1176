"""``beamhall jobs``: training jobs, how they go, their logs; stopping, resuming and deleting."""

from pathlib import Path

import click

from beamhall.cli.options import service_options

_FINAL = ("Succeeded", "Failed")


@click.group("jobs")
def command() -> None:
    """List training jobs, show one, read its logs, stop, resume and delete it.

    A JOB is named by its name, or by KIND/NAME where several kinds have one of this name. Every kind counts: TFJob,
    PyTorchJob, MPIJob, JAXJob, XGBoostJob, PaddleJob, TrainJob, whoever created it.
    """


@command.command("list")
@click.option("--state", default="", help="Only those in a state, such as Running or Failed.")
@service_options
def list_jobs(state: str, data: Path | None, namespace: str) -> None:
    """List jobs, the newest first."""
    from beamhall.cli.job_story import progress_texts  # noqa: PLC0415  --help loads nothing
    from beamhall.cli.jobs_api import jobs_of  # noqa: PLC0415
    from beamhall.cli.tables import age_text, print_table  # noqa: PLC0415

    rows = [
        (
            f"{job['kind'].lower()}/{job['name']}", job["state"], str(job.get("replicas") or ""),
            age_text(job["created"]), ", ".join(progress_texts(job)),
        )
        for job in jobs_of(data, namespace).jobs()
        if state.lower() in ("", job["state"].lower())
    ]  # fmt: skip
    print_table(("JOB", "STATE", "PODS", "AGE", "PROGRESS"), rows, "no jobs; `beamhall train SCRIPT` starts one")


@command.command("show")
@click.argument("job")
@service_options
def show(job: str, data: Path | None, namespace: str) -> None:
    """Show JOB: its conditions, its Pods, its events, its progress."""
    from beamhall.cli.job_story import progress_texts  # noqa: PLC0415  --help loads nothing
    from beamhall.cli.jobs_api import jobs_of  # noqa: PLC0415
    from beamhall.cli.tables import age_text, print_table  # noqa: PLC0415

    api = jobs_of(data, namespace)
    found = api.job(*api.named(job))
    click.echo(f"{found['kind'].lower()}/{found['name']} in {found['namespace']}: {found['state']}")
    if found["message"]:
        click.echo(f"  {found['message']}")
    for title, time in (("created", "created"), ("started", "startTime"), ("ended", "completionTime")):
        if found.get(time):
            click.echo(f"  {title} {age_text(found[time])} ago")
    if texts := progress_texts(found):
        click.echo(f"  progress: {', '.join(texts)}")
    click.echo()
    conditions = [(c["type"], c["status"], c.get("reason", ""), c.get("message", "")) for c in found["conditions"]]
    print_table(("CONDITION", "STATUS", "REASON", "MESSAGE"), conditions, "no conditions yet")
    click.echo()
    pods = [
        (pod["replica"], pod["name"], pod["phase"], str(pod.get("exitCode", "")), str(pod["restarts"]), pod["reason"])
        for pod in found["pods"]
    ]
    print_table(("REPLICA", "POD", "PHASE", "EXIT", "RESTARTS", "REASON"), pods, "no Pods")
    click.echo()
    events = [
        (age_text(event["time"]) if event["time"] else "", event["about"], event["reason"], event["message"])
        for event in found["events"]
    ]
    print_table(("AGE", "ABOUT", "EVENT", "MESSAGE"), events, "no events")


@command.command("logs")
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Stay until the job has ended.")
@click.option("--tail", type=click.IntRange(0), help="Only so many of the last lines of each replica.")
@service_options
def logs(job: str, follow: bool, tail: int | None, data: Path | None, namespace: str) -> None:
    """Print the logs of all replicas of JOB in one, each line with its replica before it."""
    from beamhall.cli.jobs_api import jobs_of  # noqa: PLC0415  --help loads nothing

    api = jobs_of(data, namespace)
    query: dict[str, str | int] = {"follow": "true"} if follow else {}
    if tail is not None:
        query["tail"] = tail
    kind, name = api.named(job)
    for piece in api.log(kind, name, **query):
        click.echo(piece, nl=False)


@command.command("stop")
@click.argument("jobs", nargs=-1, required=True)
@service_options
def stop(jobs: tuple[str, ...], data: Path | None, namespace: str) -> None:
    """Stop JOBS: their Pods go, with their logs; the jobs stay, and can be resumed."""
    _suspend(jobs, data, namespace, wanted=True)


@command.command("resume")
@click.argument("jobs", nargs=-1, required=True)
@service_options
def resume(jobs: tuple[str, ...], data: Path | None, namespace: str) -> None:
    """Start JOBS again that were stopped: with new Pods, from what they have in their checkpoints."""
    _suspend(jobs, data, namespace, wanted=False)


@command.command("delete")
@click.argument("jobs", nargs=-1, required=True)
@click.option("--checkpoints", is_flag=True, help="Delete what `beamhall train --name` kept of them, too.")
@service_options
def delete(jobs: tuple[str, ...], checkpoints: bool, data: Path | None, namespace: str) -> None:
    """Delete JOBS with their Pods and logs; what runs is ended."""
    from beamhall.cli.jobs_api import NoSuchObject, jobs_of  # noqa: PLC0415  --help loads nothing
    from beamhall.kernel.kinds import PERSISTENT_VOLUME_CLAIM  # noqa: PLC0415

    api = jobs_of(data, namespace)
    for job in jobs:
        kind, name = api.named(job)
        api.delete(kind, name)
        click.echo(f"{kind.kind.lower()}/{name} is deleted")
        if checkpoints:
            try:
                api.delete(PERSISTENT_VOLUME_CLAIM, f"{name}-checkpoints")
            except NoSuchObject:
                click.echo(f"{name} has no checkpoints", err=True)


def _suspend(jobs: tuple[str, ...], data: Path | None, namespace: str, *, wanted: bool) -> None:
    from beamhall.cli.jobs_api import jobs_of  # noqa: PLC0415  --help loads nothing
    from beamhall.kernel.kinds import TRAIN_JOB  # noqa: PLC0415

    api = jobs_of(data, namespace)
    for job in jobs:
        kind, name = api.named(job)
        what = f"{kind.kind.lower()}/{name}"
        if (state := api.job(kind, name)["state"]) in _FINAL:
            raise click.ClickException(f"{what} has ended already: {state}")
        suspend = {"suspend": wanted}
        api.patch(kind, name, {"spec": suspend if kind == TRAIN_JOB else {"runPolicy": suspend}})
        click.echo(f"{what} is being stopped; `beamhall jobs resume {what}` starts it again" if wanted else
                   f"{what} starts again; `beamhall jobs logs -f {what}` follows it")  # fmt: skip
