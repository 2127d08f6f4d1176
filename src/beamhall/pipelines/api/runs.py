"""Runs: made, read, listed, archived, ended, tried again and deleted. What happens to a run between, its driver does.

What is asked of a run that goes on (``Run.asked``) and the state that tells users so are written in one transaction,
then the driver is woken. Messages are in ``run_messages``.

Source: Kubeflow Pipelines, backend/api/v2beta1/run.proto and apiserver/resource/resource_manager.go; reference "KFP",
sections 1.3 to 1.6.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from beamhall.history.protocol import Writing
from beamhall.history.queries import Where
from beamhall.history.records import Experiment, Moment, Run
from beamhall.kernel.errors import BadRequest, MethodNotAllowed, NotFound
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.errors import FailedPrecondition
from beamhall.pipelines.api.experiments import default_experiment
from beamhall.pipelines.api.lists import Listable, list_page
from beamhall.pipelines.api.messages import given_by_server, read_body, reply, text
from beamhall.pipelines.api.run_messages import run_message, whole_run_message
from beamhall.pipelines.api.runnables import SHAPE, Runnable, check_place, read_runnable
from beamhall.pipelines.runs import add_run, pending
from beamhall.pipelines.specifications import Checked, Specifications, drop_unused, keep

NAME_LIMIT = 255
"""Characters of a run's name, as upstream has it."""

_SHAPE = {
    **SHAPE,
    "experiment_id": text,
    "display_name": text,
    "description": text,
    "run_id": given_by_server,
    "storage_state": given_by_server,
    "created_at": given_by_server,
    "scheduled_at": given_by_server,
    "finished_at": given_by_server,
    "state": given_by_server,
    "error": given_by_server,
    "run_details": given_by_server,
    "recurring_run_id": given_by_server,
    "state_history": given_by_server,
    "plugins_output": given_by_server,
}
_LISTABLE = Listable(
    Run,
    {
        "id": "id",
        "run_id": "id",
        "name": "display_name",
        "display_name": "display_name",
        "created_at": "created_at",
        "finished_at": "finished_at",
        "scheduled_at": "scheduled_at",
        "description": "description",
        "storage_state": "storage_state",
        "status": "state",
        "state": "state",
        "namespace": "namespace",
        "experiment_id": "experiment_id",
        "recurring_run_id": "recurring_run_id",
        "pipeline_id": "pipeline_id",
        "pipeline_version_id": "pipeline_version_id",
        # Upstream sorts by the text of these two, which begins with the first state's time, and the pipeline's name.
        "state_history": "created_at",
        "runtime_details": "pipeline_name",
    },
    has_metrics=True,
)
_STOPPABLE = ("RUNTIME_STATE_UNSPECIFIED", "PENDING", "RUNNING", "PAUSED")
_RETRYABLE = ("FAILED", "CANCELED")


def new_run(namespace: str, display_name: str, now: Moment, what: Runnable) -> Run:
    """Make a run that waits to be started; it has no experiment yet."""
    return Run(
        id=str(uuid.uuid4()), namespace=namespace, experiment_id="", display_name=display_name, scheduled_at=now,
        pipeline_name=what.checked.pipeline.name, spec_digest=what.checked.digest,
        pipeline_id="" if what.version is None else what.version.pipeline_id,
        pipeline_version_id="" if what.version is None else what.version.id,
        service_account=what.service_account, pipeline_root=what.pipeline_root, parameters=what.parameters,
        plugins=what.plugins, **pending(now),
    )  # fmt: skip


class Runs:
    """The handlers of runs."""

    def __init__(self, access: Access, specifications: Specifications) -> None:
        self._access = access
        self._specifications = specifications

    def routes(self) -> Sequence[BaseRoute]:
        """Give their paths."""
        return (
            Route("/runs", self._list, methods=["GET"]),
            Route("/runs", self._create, methods=["POST"]),
            Route("/runs/{name}", self._get, methods=["GET"]),
            Route("/runs/{name}", self._delete, methods=["DELETE"]),
            Route("/runs/{name}", self._act, methods=["POST"]),
        )

    async def _list(self, request: Request) -> Response:
        namespace = request.query_params.get("namespace") or self._access.namespace_for(request)
        experiment_id = request.query_params.get("experiment_id", "")
        scope = []
        if experiment_id:
            experiment = await self._access.history.read(lambda tx: tx.get(Experiment, experiment_id))
            namespace = namespace if experiment is None else experiment.namespace  # runs outlive their experiments
            scope = [Where("experiment_id", "=", experiment_id)]
        await self._access.authorize(request, "list", "runs", namespace)
        scope.append(Where("namespace", "=", namespace))
        page, token = await list_page(self._access.history, _LISTABLE, request.query_params, scope)
        runs = [run_message(each) for each in page.rows]
        return reply({"runs": runs, "total_size": page.total, "next_page_token": token})

    async def _create(self, request: Request) -> Response:
        asked = await read_body(request, _SHAPE)
        display_name, experiment_id = asked.get("display_name", ""), asked.get("experiment_id", "")
        if not display_name:
            raise BadRequest("display_name: a run must have a name")
        if len(display_name) > NAME_LIMIT:
            raise BadRequest(f"display_name: it has {len(display_name)} characters, and may have {NAME_LIMIT}")
        experiment = await self._access.allowed(request, "get", Experiment, experiment_id) if experiment_id else None
        what = await read_runnable(self._access, self._specifications, request, asked)
        of = experiment or what.version  # what names neither experiment nor pipeline is in the usual namespace
        namespace = self._access.namespace_for(request) if of is None else of.namespace
        await self._access.authorize(request, "create", "runs", namespace)
        await check_place(self._access, namespace, what)
        run = new_run(namespace, display_name, self._access.now(), what)
        fields = {"description": asked.get("description", ""), "experiment_id": experiment_id}
        made = await self._access.history.write(lambda tx: _begin(tx, run, what.checked, fields))
        self._access.signals.wake(made.id)
        return reply(run_message(made, what.checked.body))

    async def _get(self, request: Request) -> Response:
        run = await self._access.allowed(request, "get", Run, request.path_params["name"])
        return await self._access.history.read(lambda tx: reply(whole_run_message(tx, tx.get(Run, run.id) or run)))

    async def _delete(self, request: Request) -> Response:
        run = await self._access.allowed(request, "delete", Run, request.path_params["name"])

        def delete(tx: Writing) -> None:
            tx.remove(Run, Where("id", "=", run.id))
            drop_unused(tx, [run.spec_digest])

        await self._access.history.write(delete)
        self._access.signals.wake(run.id)
        return reply({})

    async def _act(self, request: Request) -> Response:
        key, _, action = request.path_params["name"].rpartition(":")
        if not key or action not in ACTIONS:
            raise MethodNotAllowed(f"{request.url.path} does not serve POST; there are :{' and :'.join(ACTIONS)}")
        run = await self._access.allowed(request, action, Run, key)
        now = self._access.now()

        def act(tx: Writing) -> None:
            found = tx.get(Run, run.id)
            if found is None:
                raise NotFound(f"Run {key!r} not found")
            ACTIONS[action](tx, found, now)

        await self._access.history.write(act)
        self._access.signals.wake(run.id)
        return reply({})


def _begin(tx: Writing, run: Run, checked: Checked, fields: Mapping[str, str]) -> Run:
    """Write a run down that a user made, in the experiment that was named, or the default one."""
    found = tx.get(Experiment, fields["experiment_id"]) if fields["experiment_id"] else None
    if found is None and fields["experiment_id"]:
        raise NotFound(f"Experiment {fields['experiment_id']!r} not found")
    experiment = found or default_experiment(tx, run.namespace, run.created_at)
    made = msgspec.structs.replace(run, description=fields["description"], experiment_id=experiment.id)
    keep(tx, checked)
    add_run(tx, made)
    return made


def _archive(tx: Writing, run: Run, _: Moment) -> None:
    """Take a run out of sight; it goes on if it has not ended."""
    tx.change(Run, Where("id", "=", run.id), storage_state="ARCHIVED")


def _unarchive(tx: Writing, run: Run, _: Moment) -> None:
    experiment = tx.get(Experiment, run.experiment_id)
    if experiment is not None and experiment.storage_state == "ARCHIVED":
        raise FailedPrecondition(
            f"Run {run.id!r} cannot be unarchived while its experiment {experiment.display_name!r} is archived:"
            " unarchive that first"
        )
    tx.change(Run, Where("id", "=", run.id), storage_state="AVAILABLE")


def _terminate(tx: Writing, run: Run, now: Moment) -> None:
    if run.state not in _STOPPABLE:
        raise FailedPrecondition(f"Run {run.id!r} cannot be terminated: it is {run.state}")
    _ask(tx, run, now, asked="TERMINATE", state="CANCELING")


def _retry(tx: Writing, run: Run, now: Moment) -> None:
    if run.state not in _RETRYABLE:
        raise FailedPrecondition(f"Run {run.id!r} cannot be retried: it is {run.state}, and has not failed")
    _ask(tx, run, now, asked="RETRY", state="PENDING", finished_at=0, error="", error_code=0)


def _ask(tx: Writing, run: Run, now: Moment, *, state: str, **fields: Any) -> None:
    """Ask something of the driver, and show at once that it was asked."""
    history = [*run.state_history, {"update_time": now, "state": state}]
    tx.change(Run, Where("id", "=", run.id), state=state, state_history=history, **fields)


ACTIONS: Mapping[str, Callable[[Writing, Run, Moment], None]] = {
    "archive": _archive,
    "unarchive": _unarchive,
    "terminate": _terminate,
    "retry": _retry,
}
