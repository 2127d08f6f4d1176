"""Recurring runs: made, listed, changed, enabled, disabled and deleted. Who makes their runs is in ``schedules``.

Beyond upstream, one can be changed by PATCH, its cron expression may name a time zone (``CRON_TZ=Europe/Zurich ...``),
and replies tell when the next run is due.

Source: Kubeflow Pipelines, backend/api/v2beta1/recurring_run.proto; reference "KFP", sections 1.2 to 1.6.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from beamhall.history.protocol import Reading, Writing
from beamhall.history.queries import Where
from beamhall.history.records import Experiment, RecurringRun, Run, Specification
from beamhall.kernel.errors import BadRequest, MethodNotAllowed, NotFound
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.errors import FailedPrecondition
from beamhall.pipelines.api.experiments import NAME_LIMIT, default_experiment
from beamhall.pipelines.api.lists import Listable, list_page
from beamhall.pipelines.api.messages import (
    boolean,
    enumeration,
    given_by_server,
    read_body,
    reply,
    text,
    time_text,
    whole_number,
    without_zeros,
)
from beamhall.pipelines.api.runnables import SHAPE, Runnable, check_place, read_runnable, source_fields
from beamhall.pipelines.api.triggers import TRIGGER, trigger_fields, trigger_message
from beamhall.pipelines.runs import NOT_ENDED
from beamhall.pipelines.schedules.planning import MOST_CONCURRENCY, next_tick
from beamhall.pipelines.specifications import Specifications, drop_unused, keep

_STATUS: Mapping[str, str] = {"enable": "ENABLED", "disable": "DISABLED"}
_MODES = ("MODE_UNSPECIFIED", "ENABLE", "DISABLE")
_OWN: Mapping[str, Any] = {
    "display_name": text,
    "description": text,
    "trigger": TRIGGER,
    "mode": enumeration(_MODES),
    "max_concurrency": whole_number(64),
    "no_catchup": boolean,
    "experiment_id": text,
    **dict.fromkeys(
        ("recurring_run_id", "created_at", "updated_at", "status", "error", "namespace", "next_scheduled_at"),
        given_by_server,
    ),
}
_SHAPE = {**SHAPE, **_OWN}
_POLICIES = ("DELETE_PROPAGATION_POLICY_UNSPECIFIED", "FOREGROUND", "BACKGROUND", "ORPHAN")
_LISTABLE = Listable(
    RecurringRun,
    {
        "id": "id",
        "recurring_run_id": "id",
        "name": "display_name",
        "next_scheduled_at": "next_at",
        **{
            name: name
            for name in (
                "display_name", "created_at", "updated_at", "description", "status", "experiment_id", "pipeline_id",
                "pipeline_version_id", "namespace",
            )
        },
    },
)  # fmt: skip


def recurring_run_message(recurring: RecurringRun, body: str = "") -> Mapping[str, Any]:
    """Write a recurring run as this API has it.

    Args:
        recurring: The record.
        body: The text of its specification; empty: it is not shown.
    """
    is_enabled = recurring.status == "ENABLED"
    configuration = without_zeros({"parameters": recurring.parameters, "pipeline_root": recurring.pipeline_root})
    error = {"code": 9, "message": recurring.error} if recurring.error else {}
    return without_zeros(
        {
            "recurring_run_id": recurring.id,
            "display_name": recurring.display_name,
            "description": recurring.description,
            **source_fields(recurring.pipeline_id, recurring.pipeline_version_id, body),
            "runtime_config": configuration,
            "service_account": recurring.service_account,
            "max_concurrency": str(recurring.max_concurrency),
            "trigger": trigger_message(recurring),
            "mode": "ENABLE" if is_enabled else "DISABLE",
            "created_at": time_text(recurring.created_at),
            "updated_at": time_text(recurring.updated_at),
            "status": recurring.status,
            "error": error,
            "no_catchup": recurring.no_catchup,
            "namespace": recurring.namespace,
            "experiment_id": recurring.experiment_id,
            "plugins_input": recurring.plugins,
            "next_scheduled_at": time_text(recurring.next_at) if is_enabled and recurring.next_at else "",
        }
    )


class RecurringRuns:
    """The handlers of recurring runs."""

    def __init__(self, access: Access, specifications: Specifications) -> None:
        self._access = access
        self._specifications = specifications

    def routes(self) -> Sequence[BaseRoute]:
        """Give their paths."""
        return (
            Route("/recurringruns", self._list, methods=["GET"]),
            Route("/recurringruns", self._create, methods=["POST"]),
            Route("/recurringruns/{name}", self._get, methods=["GET"]),
            Route("/recurringruns/{name}", self._change, methods=["PATCH"]),
            Route("/recurringruns/{name}", self._delete, methods=["DELETE"]),
            Route("/recurringruns/{name}", self._act, methods=["POST"]),
        )

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        namespace, key = query.get("namespace", ""), query.get("experiment_id", "")
        scope = []
        if key:
            scope.append(Where("experiment_id", "=", key))
            namespace = namespace or (await self._access.allowed(request, "get", Experiment, key)).namespace
        namespace = namespace or self._access.namespace_for(request)
        await self._access.authorize(request, "list", "jobs", namespace)
        scope.append(Where("namespace", "=", namespace))
        page, token = await list_page(self._access.history, _LISTABLE, query, scope)
        found = [recurring_run_message(each) for each in page.rows]
        return reply({"recurringRuns": found, "total_size": page.total, "next_page_token": token})

    async def _create(self, request: Request) -> Response:
        asked = await read_body(request, _SHAPE)
        experiment = None
        if asked.get("experiment_id"):
            experiment = await self._access.allowed(request, "get", Experiment, asked["experiment_id"])
        namespace = self._access.namespace_for(request) if experiment is None else experiment.namespace
        await self._access.authorize(request, "create", "jobs", namespace)
        _check_is_open(experiment)
        if "trigger" not in asked:
            raise BadRequest("trigger: a recurring run needs one: cron_schedule or periodic_schedule")
        runnable = await read_runnable(self._access, self._specifications, request, asked)
        await check_place(self._access, namespace, runnable)
        now = self._access.now()
        made = RecurringRun(
            id=str(uuid.uuid4()), namespace=namespace, experiment_id=asked.get("experiment_id", ""),
            created_at=now, updated_at=now, display_name=asked.get("display_name", ""), max_concurrency=1,
        )  # fmt: skip
        made = self._changed(made, asked, runnable)

        def add(tx: Writing) -> RecurringRun:
            home = experiment or default_experiment(tx, namespace, now)
            kept = msgspec.structs.replace(made, experiment_id=home.id)
            keep(tx, runnable.checked)
            tx.add(kept)
            return kept

        made = await self._access.history.write(add)
        self._access.signals.reschedule()
        return reply(recurring_run_message(made, runnable.checked.body))

    async def _get(self, request: Request) -> Response:
        recurring = await self._access.allowed(request, "get", RecurringRun, request.path_params["name"])
        return await self._reply(recurring)

    async def _change(self, request: Request) -> Response:
        recurring = await self._access.allowed(request, "update", RecurringRun, request.path_params["name"])
        asked = await read_body(request, _SHAPE)
        if asked.get("experiment_id", recurring.experiment_id) != recurring.experiment_id:
            raise BadRequest("experiment_id: a recurring run stays in its experiment")
        runnable = None
        if any(name in asked for name in SHAPE):
            kept = await self._access.history.read(lambda tx: _asked_before(tx, recurring))
            runnable = await read_runnable(self._access, self._specifications, request, _merged(kept, asked))
            await check_place(self._access, recurring.namespace, runnable)

        def change(tx: Writing) -> RecurringRun:
            current = _current(tx, recurring.id)
            if asked.get("mode") == "ENABLE":
                _check_is_open(tx.get(Experiment, current.experiment_id))
            changed = self._changed(current, asked, runnable)
            if runnable is not None:
                keep(tx, runnable.checked)
            tx.put(changed)
            drop_unused(tx, [current.spec_digest])
            return changed

        changed = await self._access.history.write(change)
        self._access.signals.reschedule()
        return await self._reply(changed)

    async def _delete(self, request: Request) -> Response:
        recurring = await self._access.allowed(request, "delete", RecurringRun, request.path_params["name"])
        policy = request.query_params.get("propagation_policy") or _POLICIES[0]
        if policy not in _POLICIES:
            raise BadRequest(f"propagation_policy: {policy[:80]!r} is none; there are {', '.join(_POLICIES)}")

        def remove(tx: Writing) -> Sequence[str]:
            tx.remove(RecurringRun, Where("id", "=", recurring.id))
            drop_unused(tx, [recurring.spec_digest])
            if policy not in ("FOREGROUND", "BACKGROUND"):
                return ()
            going = (Where("recurring_run_id", "=", recurring.id), Where("state", "in", NOT_ENDED))
            tx.change(Run, *going, asked="TERMINATE")
            return [each.id for each in tx.find(Run, *going)]

        for run_id in await self._access.history.write(remove):
            self._access.signals.wake(run_id)
        self._access.signals.reschedule()
        return reply({})

    async def _act(self, request: Request) -> Response:
        key, _, action = request.path_params["name"].rpartition(":")
        if not key or action not in _STATUS:
            raise MethodNotAllowed(f"{request.url.path} does not serve POST; there are :{' and :'.join(_STATUS)}")
        recurring = await self._access.allowed(request, action, RecurringRun, key)

        def act(tx: Writing) -> None:
            current = _current(tx, recurring.id)
            if action == "enable":
                _check_is_open(tx.get(Experiment, current.experiment_id))
            tx.put(self._changed(current, {"mode": action.upper()}, None))

        await self._access.history.write(act)
        self._access.signals.reschedule()
        return reply({})

    def _changed(self, recurring: RecurringRun, asked: Mapping[str, Any], runnable: Runnable | None) -> RecurringRun:
        """Give a recurring run as it is once what was asked for is done. Raises ``BadRequest``."""
        now = self._access.now()
        is_new = not recurring.spec_digest
        fields: dict[str, Any] = {
            name: asked[name]
            for name in ("display_name", "description", "max_concurrency", "no_catchup")
            if name in asked
        }
        fields["updated_at"] = now
        if "trigger" in asked:
            trigger = trigger_fields(asked["trigger"])
            if is_new or any(getattr(recurring, name) != value for name, value in trigger.items()):
                # Another trigger counts from now on; what the one before it left undone is not made up for.
                fields |= {**trigger, "last_at": 0 if is_new else now}
        if asked.get("mode", _MODES[0]) != _MODES[0]:
            fields["status"] = _STATUS[asked["mode"].lower()]
        if runnable is not None:
            fields |= _runnable_fields(runnable)
        changed = msgspec.structs.replace(recurring, **fields)
        _check(changed)
        return msgspec.structs.replace(changed, next_at=next_tick(changed, self._access.time_zone))

    async def _reply(self, recurring: RecurringRun) -> Response:
        """Answer with one, with its specification where it was given whole."""
        kept = None
        if not recurring.pipeline_id:
            kept = await self._access.history.read(lambda tx: tx.get(Specification, recurring.spec_digest))
        return reply(recurring_run_message(recurring, "" if kept is None else kept.body))


def _check(recurring: RecurringRun) -> None:
    if not recurring.display_name:
        raise BadRequest("display_name: a recurring run must have a name")
    if len(recurring.display_name) > NAME_LIMIT:
        raise BadRequest(f"display_name: it has {len(recurring.display_name)} characters, and may have {NAME_LIMIT}")
    if not 1 <= recurring.max_concurrency <= MOST_CONCURRENCY:
        raise BadRequest(
            f"max_concurrency: the max concurrency of the recurring run is out of range. Support 1-{MOST_CONCURRENCY}."
            f" Received {recurring.max_concurrency}"
        )


def _check_is_open(experiment: Experiment | None) -> None:
    if experiment is not None and experiment.storage_state == "ARCHIVED":
        raise FailedPrecondition(
            f'experiment "{experiment.display_name}" is archived: nothing runs in it by itself; unarchive it first'
        )


def _current(tx: Reading, key: str) -> RecurringRun:
    found = tx.get(RecurringRun, key)
    if found is None:
        raise NotFound(f"RecurringRun {key!r} not found")
    return found


def _runnable_fields(runnable: Runnable) -> Mapping[str, Any]:
    version = runnable.version
    return {
        "spec_digest": runnable.checked.digest,
        "parameters": runnable.parameters,
        "pipeline_root": runnable.pipeline_root,
        "service_account": runnable.service_account,
        "plugins": runnable.plugins,
        "pipeline_id": "" if version is None else version.pipeline_id,
        "pipeline_version_id": "" if version is None or runnable.is_newest else version.id,
    }


def _asked_before(tx: Reading, recurring: RecurringRun) -> Mapping[str, Any]:
    """Give what a recurring run is made from as a request would ask for it."""
    asked: dict[str, Any] = {
        "runtime_config": {"parameters": recurring.parameters, "pipeline_root": recurring.pipeline_root},
        "service_account": recurring.service_account,
        "plugins_input": recurring.plugins,
    }
    if recurring.pipeline_id:
        reference = {"pipeline_id": recurring.pipeline_id, "pipeline_version_id": recurring.pipeline_version_id}
        return {**asked, "pipeline_version_reference": reference}
    kept = tx.get(Specification, recurring.spec_digest)
    return {**asked, "pipeline_spec": {} if kept is None else msgspec.json.decode(kept.body)}


_SOURCES = ("pipeline_spec", "pipeline_version_reference", "pipeline_version_id")


def _merged(before: Mapping[str, Any], asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give what is asked for with what was there before where it says nothing; of a source there is one."""
    if any(asked.get(name) for name in _SOURCES):
        before = {name: value for name, value in before.items() if name not in _SOURCES}
    configuration = {**before["runtime_config"], **asked.get("runtime_config", {})}
    return {**before, **asked, "runtime_config": configuration}
