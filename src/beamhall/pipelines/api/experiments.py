"""Experiments: made, listed, archived and deleted.

Source: Kubeflow Pipelines, backend/api/v2beta1/experiment.proto and apiserver/resource/resource_manager.go.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from beamhall.history.protocol import Writing
from beamhall.history.queries import Where
from beamhall.history.records import Experiment, Moment, RecurringRun, Run
from beamhall.kernel.errors import AlreadyExists, BadRequest, MethodNotAllowed
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.lists import Listable, list_page
from beamhall.pipelines.api.messages import given_by_server, read_body, reply, text, time_text, without_zeros

NAME_LIMIT = 128
"""Characters of an experiment's name."""

DEFAULT_NAME = "Default"

ACTIONS: Mapping[str, str] = {"archive": "ARCHIVED", "unarchive": "AVAILABLE"}

_SHAPE = {
    "display_name": text,
    "description": text,
    "namespace": text,
    "experiment_id": given_by_server,
    "created_at": given_by_server,
    "last_run_created_at": given_by_server,
    "storage_state": given_by_server,
}
_LISTABLE = Listable(
    Experiment,
    {
        "id": "id",
        "experiment_id": "id",
        "name": "display_name",
        "display_name": "display_name",
        "created_at": "created_at",
        "last_run_created_at": "last_run_created_at",
        "description": "description",
        "namespace": "namespace",
        "storage_state": "storage_state",
    },
)


def experiment_message(experiment: Experiment) -> Mapping[str, Any]:
    """Write an experiment as this API has it."""
    return without_zeros(
        {
            "experiment_id": experiment.id,
            "display_name": experiment.display_name,
            "description": experiment.description,
            "created_at": time_text(experiment.created_at),
            "namespace": experiment.namespace,
            "storage_state": experiment.storage_state,
            "last_run_created_at": time_text(experiment.last_run_created_at),
        }
    )


class Experiments:
    """The handlers of experiments."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def routes(self) -> Sequence[BaseRoute]:
        """Give their paths."""
        return (
            Route("/experiments", self._list, methods=["GET"]),
            Route("/experiments", self._create, methods=["POST"]),
            Route("/experiments/{name}", self._get, methods=["GET"]),
            Route("/experiments/{name}", self._delete, methods=["DELETE"]),
            Route("/experiments/{name}", self._act, methods=["POST"]),
        )

    async def _list(self, request: Request) -> Response:
        namespace = request.query_params.get("namespace") or self._access.namespace_for(request)
        await self._access.authorize(request, "list", "experiments", namespace)
        scope = [Where("namespace", "=", namespace)]
        page, token = await list_page(self._access.history, _LISTABLE, request.query_params, scope)
        experiments = [experiment_message(each) for each in page.rows]
        return reply({"experiments": experiments, "total_size": page.total, "next_page_token": token})

    async def _create(self, request: Request) -> Response:
        asked = await read_body(request, _SHAPE)
        namespace = asked.get("namespace") or self._access.namespace_for(request)
        await self._access.authorize(request, "create", "experiments", namespace)
        name = asked.get("display_name", "")
        if not name:
            raise BadRequest("display_name: an experiment must have a name")
        if len(name) > NAME_LIMIT:
            raise BadRequest(f"display_name: it has {len(name)} characters, and may have {NAME_LIMIT}")
        experiment = Experiment(
            id=str(uuid.uuid4()), namespace=namespace, display_name=name, created_at=self._access.now(),
            description=asked.get("description", ""),
        )  # fmt: skip
        await self._access.history.write(lambda tx: _add(tx, experiment))
        return reply(experiment_message(experiment))

    async def _get(self, request: Request) -> Response:
        return reply(
            experiment_message(await self._access.allowed(request, "get", Experiment, request.path_params["name"]))
        )

    async def _delete(self, request: Request) -> Response:
        experiment = await self._access.allowed(request, "delete", Experiment, request.path_params["name"])
        await self._access.history.write(lambda tx: tx.remove(Experiment, Where("id", "=", experiment.id)))
        return reply({})

    async def _act(self, request: Request) -> Response:
        key, _, action = request.path_params["name"].rpartition(":")
        if not key or action not in ACTIONS:
            raise MethodNotAllowed(f"{request.url.path} does not serve POST; there are :{' and :'.join(ACTIONS)}")
        experiment = await self._access.allowed(request, action, Experiment, key)
        await self._access.history.write(lambda tx: _store(tx, experiment.id, ACTIONS[action]))
        return reply({})


def _add(tx: Writing, experiment: Experiment) -> None:
    same = (Where("namespace", "=", experiment.namespace), Where("display_name", "=", experiment.display_name))
    if tx.count(Experiment, *same):
        raise AlreadyExists(
            f'an experiment named "{experiment.display_name}" is there already in namespace "{experiment.namespace}"'
        )
    tx.add(experiment)


def default_experiment(tx: Writing, namespace: str, now: Moment) -> Experiment:
    """Give the experiment of runs that name none; it is made where it is not there."""
    same = (Where("namespace", "=", namespace), Where("display_name", "=", DEFAULT_NAME))
    for found in tx.find(Experiment, *same):
        return found
    made = Experiment(
        id=str(uuid.uuid4()), namespace=namespace, display_name=DEFAULT_NAME, created_at=now,
        description="Runs for which no experiment was named.",
    )  # fmt: skip
    tx.add(made)
    return made


def _store(tx: Writing, key: str, storage_state: str) -> None:
    """Archive an experiment with its runs and schedules; what is taken back is the experiment alone."""
    tx.change(Experiment, Where("id", "=", key), storage_state=storage_state)
    if storage_state == "ARCHIVED":
        tx.change(Run, Where("experiment_id", "=", key), storage_state=storage_state)
        tx.change(RecurringRun, Where("experiment_id", "=", key), status="DISABLED")
