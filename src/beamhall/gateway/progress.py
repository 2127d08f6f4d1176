"""How a trainer tells of its progress: a POST on its TrainJob's status, from one of the TrainJob's own Pods.

Trainer's SDK sends it (``update_trainjob_status``), with the token that every Pod has. Who may do so follows from the
Pod that the token is bound to, so that users' accounts need no right to write any status.

Source: kubeflow/trainer v2.3, ``pkg/statusserver``; reference "Trainer v2".
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from beamhall.client.protocol import Client
from beamhall.gateway.door import refusal
from beamhall.kernel.clock import format_time, parse_time
from beamhall.kernel.errors import ApiError, BadRequest, Forbidden, Invalid, NotFound
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import POD, TRAIN_JOB
from beamhall.kernel.objects import labels_of, uid_of

_PATH = re.compile(
    rf"(?:/k8s)?{re.escape(TRAIN_JOB.path)}/namespaces/(?P<namespace>[^/]+)/trainjobs/(?P<name>[^/]+)/status"
)
_MAX_BYTES = 64 * 1024
_SET_LABEL = "jobset.sigs.k8s.io/jobset-name"
_Report = dict[str, dict[str, Any] | None]
_FIELDS = ("progressPercentage", "estimatedRemainingSeconds", "metrics", "lastUpdatedTime")


class ProgressReports:
    """Takes reports of progress, and passes everything else on.

    Args:
        app: The Kubernetes API.
        client: The cluster as its owner sees it.
    """

    def __init__(self, app: ASGIApp, client: Client) -> None:
        self._app = app
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        where = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if where is None:
            return await self._app(scope, receive, send)
        request = Request(scope, receive)
        try:
            said = await self._take(request, where["namespace"], where["name"])
            response = Response(msgspec.json.encode(said), media_type="application/json")
        except ApiError as error:
            response = refusal(error, scope["path"], request.headers)
        except ClientDisconnect:
            return None
        return await response(scope, receive, send)

    async def _take(self, request: Request, namespace: str, name: str) -> Mapping[str, Any]:
        await self._require_own_pod(request.scope["state"]["user"], namespace, name)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _MAX_BYTES:
                raise BadRequest(f"a report of progress has at most {_MAX_BYTES} bytes")
        try:
            said = msgspec.json.decode(body, type=_Report)
        except msgspec.DecodeError as error:
            raise Invalid(f"Invalid payload: {error}") from error
        status = said.get("trainerStatus")
        if not status:
            return said
        # The whole of it is replaced: what is not told any more is not so any more.
        patch = {field: status.get(field) for field in _FIELDS}
        try:
            patch["lastUpdatedTime"] = format_time(parse_time(str(status.get("lastUpdatedTime"))))
        except ValueError as error:
            raise Invalid(f"trainerStatus.lastUpdatedTime must be a time as of RFC 3339: {error}") from error
        try:
            await self._client.patch(
                TRAIN_JOB, name, namespace, {"status": {"trainerStatus": patch}}, subresource="status"
            )
        except NotFound as error:
            raise NotFound("Train job not found") from error
        return said

    async def _require_own_pod(self, user: User, namespace: str, name: str) -> None:
        """Let pass what comes from a Pod of the TrainJob. Raises ``Forbidden``."""
        pod_name = "".join(user.extra.get("authentication.kubernetes.io/pod-name", ()))
        pod_uid = "".join(user.extra.get("authentication.kubernetes.io/pod-uid", ()))
        refused = Forbidden(f"only Pods of the TrainJob {namespace}/{name} may tell of its progress")
        if not pod_name:
            raise refused
        try:
            pod = await self._client.get(POD, pod_name, namespace)
        except NotFound as error:
            raise refused from error
        if uid_of(pod) != pod_uid or labels_of(pod).get(_SET_LABEL) != name:
            raise refused
