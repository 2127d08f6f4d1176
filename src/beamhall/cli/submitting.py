"""From the options of ``beamhall train`` to the objects of a job: its files, its checkpoints, the job itself."""

import contextlib
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from beamhall.cli.job_files import files_of
from beamhall.cli.jobs_api import JobsApi, NoSuchObject, ObjectExists
from beamhall.kernel.kinds import CONFIG_MAP, PERSISTENT_VOLUME_CLAIM
from beamhall.kernel.names import label_1035_problem
from beamhall.kernel.objects import is_being_deleted, owner_reference
from beamhall.training.submission.guessing import PLAIN, guess_framework
from beamhall.training.submission.manifests import CHECKPOINTS, Request, checkpoints_claim, job_manifest
from beamhall.training.submission.packaging import config_map

MAX_NAME = 40
"""Pods and Services have longer names than their jobs, and 63 characters at most."""

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_N_LETTERS = 5
_PATIENCE_S = 60.0
_LOOK_S = 0.1


def request_of(
    script: Path, arguments: Sequence[str], options: Mapping[str, Any]
) -> tuple[Request, Mapping[str, bytes]]:
    """Make of the command line what shall be run, and read the files for it.

    Raises:
        ClickException: An option or the script is wrong; the message says what would be right.
        OSError: A file cannot be read.
    """
    if script.suffix != ".py":
        raise click.UsageError(f"{script} is no Python file; `kubectl create -f` takes jobs that run something else")
    files = files_of(script, options["included"])
    framework = options["framework"] or _guessed(script, files[script.name].decode(errors="replace"))
    request = Request(
        name=options["name"] or starting_name(script.stem),
        framework=framework,
        script=script.name,
        files=tuple(files),
        arguments=arguments,
        n_workers=options["workers"],
        n_gpus=options["gpus"],
        cpu=options["cpu"],
        memory=options["memory"],
        image=options["image"],
        environment=_variables(options["variables"]),
        n_restarts=options["restarts"],
        has_checkpoints=options["has_checkpoints"],
    )
    if problem := label_1035_problem(request.name):
        raise click.UsageError(f"--name {request.name!r}: {problem}")
    if len(request.name) > MAX_NAME:
        raise click.UsageError(f"--name {request.name!r} has more than {MAX_NAME} characters")
    return request, files


def starting_name(stem: str) -> str:
    """Name a job by its script, and some letters that make the name its own."""
    clean = "".join(c if c.isascii() and c.isalnum() else "-" for c in stem.lower()).strip("-")
    clean = clean if clean[:1].isalpha() else f"job-{clean}".strip("-")
    return f"{clean[: MAX_NAME - _N_LETTERS - 1]}-{''.join(secrets.choice(_LETTERS) for _ in range(_N_LETTERS))}"


def submit(api: JobsApi, request: Request, files: Mapping[str, bytes], *, keeps_checkpoints: bool) -> None:
    """Create a job with what it needs, which goes with it when it is deleted.

    Args:
        api: Where.
        request: What shall be run.
        files: The job's files.
        keeps_checkpoints: Whether the claim of the checkpoints stays, for the next job of the name.

    Raises:
        ClickException: There is a job of this name already, or something cannot be created.
    """
    code = config_map(request.code_name, files)
    api.ensure_namespace()
    _require_free(api, request)
    owned = [(CONFIG_MAP, request.code_name)]
    with contextlib.suppress(NoSuchObject):
        api.delete(CONFIG_MAP, request.code_name)  # of an earlier job that is being cleared away
    api.create(CONFIG_MAP, code)
    try:
        if request.has_checkpoints and _make_claim(api, request) and not keeps_checkpoints:
            owned.append((PERSISTENT_VOLUME_CLAIM, request.claim_name))
        job = api.create(request.kind, job_manifest(request))
    except click.ClickException:
        for kind, name in owned:
            api.delete(kind, name)
        raise
    for kind, name in owned:
        owner = {**owner_reference(request.kind, job), "controller": False}
        api.patch(kind, name, {"metadata": {"ownerReferences": [owner]}})


def _require_free(api: JobsApi, request: Request) -> None:
    """Refuse a name that a job has."""
    try:
        api.get(request.kind, request.name)
    except NoSuchObject:
        return
    name = f"{request.kind.kind.lower()}/{request.name}"
    raise click.ClickException(
        f"there is a job of the name {request.name} already; `beamhall jobs delete {name}` removes it, "
        "--name gives another name"
    )


def _make_claim(api: JobsApi, request: Request) -> bool:
    """Make the claim; False: an earlier job of the name left it, with its checkpoints."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            api.create(PERSISTENT_VOLUME_CLAIM, checkpoints_claim(request))
        except ObjectExists:
            with contextlib.suppress(NoSuchObject):
                if not is_being_deleted(api.get(PERSISTENT_VOLUME_CLAIM, request.claim_name)):
                    click.echo(f"an earlier {request.name} left checkpoints: they are in {CHECKPOINTS}", err=True)
                    return False
                if time.monotonic() > deadline:
                    raise click.ClickException(
                        f"the checkpoints of an earlier {request.name} are still being deleted: Pods use them"
                    ) from None
            time.sleep(_LOOK_S)
        else:
            return True


def _guessed(script: Path, source: str) -> str:
    try:
        framework, module = guess_framework(source)
    except SyntaxError as error:
        raise click.ClickException(f"{script}, line {error.lineno}: {error.msg}") from error
    if framework == PLAIN:
        click.echo(f"{script.name} imports no framework: it runs as plain Python (--framework names one)", err=True)
    else:
        click.echo(f"{script.name} imports {module}: it runs with {framework} (--framework names another)", err=True)
    return framework


def _variables(written: Sequence[str]) -> dict[str, str]:
    variables = {}
    for each in written:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--env {each!r} is not of the form NAME=VALUE")
        variables[name] = value
    return variables
