"""Logs of steps over HTTP: at upstream's path, which is none of this version's, and at one of ours that can do more.

A step is named by the id of its task, its path, its name where only one has it, or the name of its Pod.

Source: Kubeflow Pipelines, backend/src/apiserver/server/run_log_server.go; reference "KFP", sections 1.1 and 1.2.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from beamhall.history.protocol import Reading
from beamhall.history.queries import Where
from beamhall.history.records import Run, Specification, Task, task_id
from beamhall.kernel.errors import BadRequest, NotFound
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.errors import telling
from beamhall.pipelines.api.pieces import LiveResponse
from beamhall.pipelines.api.step_logs import Part, StepLogs
from beamhall.pipelines.driver.records import ATTEMPTS
from beamhall.pipelines.runs import NOT_ENDED

_HEADERS = {"cache-control": "no-cache, private", "x-content-type-options": "nosniff", "x-accel-buffering": "no"}
_LARGE = ("inputs", "outputs", "state_history", "error")
_TOLD = 5


class Logs:
    """The handlers of logs."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._logs = StepLogs(access)

    def routes(self) -> Sequence[BaseRoute]:
        """Give the path of this version."""
        read = telling("Failed to read the log", self._read)
        return (Route("/runs/{run}/tasks/{task:path}/log", read, methods=["GET"]),)

    def older_routes(self) -> Sequence[BaseRoute]:
        """Give the path of ``v1alpha1``, which is where upstream has it."""
        read = telling("Failed to read the log", self._read)
        return (Route("/runs/{run}/nodes/{task:path}/log", read, methods=["GET"]),)

    async def _read(self, request: Request) -> Response:
        run = await self._access.allowed(request, "get", Run, request.path_params["run"])
        called, part = request.path_params["task"], _part(request.query_params)
        task = await self._access.history.read(lambda tx: find_step(tx, run.id, called))
        if task is None and not (part.follow and await self._may_come(run, called)):
            raise NotFound(f"run {run.id} has no task {called[:200]!r}")
        if task is not None and task.type != "RUNTIME":
            raise BadRequest(f"task {task.path or '/'} is a {task.type}: the steps in it have logs")
        if part.follow:
            pieces = self._logs.follow(run, lambda tx: find_step(tx, run.id, called), part)
        else:
            assert task is not None
            pieces = await self._logs.read(run, task, part)
        return LiveResponse(pieces, self._access.signals.closing, "text/plain", _HEADERS)

    async def _may_come(self, run: Run, called: str) -> bool:
        """Tell whether a run may yet have a task of this name or path."""
        if run.state not in NOT_ENDED:
            return False
        kept = await self._access.history.read(lambda tx: tx.get(Specification, run.spec_digest))
        name = called.strip("/").rpartition("/")[2]
        return kept is not None and name in set(_task_names(msgspec.json.decode(kept.body)))


def find_step(tx: Reading, run_id: str, called: str) -> Task | None:
    """Find a task of a run by its id, its path, its name, or the name of its Pod.

    Raises:
        BadRequest: Several have the name; the message tells their paths.
    """
    if "\0" in called:
        return None
    for key in (called, task_id(run_id, f"/{called.strip('/')}")):
        task = tx.get(Task, key)
        if task is not None and task.run_id == run_id:
            return task
    of_run = Where("run_id", "=", run_id)
    named = tx.find(Task, of_run, Where("name", "=", called), Where("type", "=", "RUNTIME"), limit=_TOLD + 1)
    if len(named) > 1:
        paths = ", ".join(each.path for each in named[:_TOLD])
        raise BadRequest(
            f"several tasks are named {called!r}; write the path of one: {paths}{', …' * (len(named) > _TOLD)}"
        )
    if named:
        return named[0]
    steps = tx.find(Task, of_run, Where("type", "=", "RUNTIME"), without=_LARGE)
    found = next((each.id for each in steps if any(pod.get("name") == called for pod in each.pods)), None)
    return None if found is None else tx.get(Task, found)


def _task_names(document: Any) -> Iterator[str]:
    spec = document.get("pipeline_spec") or document
    for component in (spec.get("root") or {}, *(spec.get("components") or {}).values()):
        yield from (component.get("dag") or {}).get("tasks") or {}


def _part(query: Mapping[str, str]) -> Part:
    return Part(
        follow=_flag(query, "follow"),
        attempt=_number(query, "attempt", ATTEMPTS - 1),
        tail=_number(query, "tail", 2**31),
        timestamps=_flag(query, "timestamps"),
    )


def _flag(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name, "").lower()
    if value not in ("", "true", "false", "1", "0"):
        raise BadRequest(f"{name}: {value[:80]!r} is neither true nor false")
    return value in ("true", "1")


def _number(query: Mapping[str, str], name: str, most: int) -> int | None:
    value = query.get(name, "")
    if not value:
        return None
    if not value.isascii() or not value.isdecimal() or len(value) > 10 or int(value) > most:
        raise BadRequest(f"{name}: {value[:80]!r} is no number from 0 to {most}")
    return int(value)
