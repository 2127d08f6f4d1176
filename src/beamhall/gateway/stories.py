"""``GET /api/stories``: what was done to an object, and why, for ``beamhall explain`` and the web UI."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from beamhall.gateway.door import refusal
from beamhall.kernel.errors import ApiError, BadRequest
from beamhall.kernel.identity import User

Tell = Callable[[User, str, str, str], Sequence[Mapping[str, Any]]]
"""From (who asks, kind in any form users write, namespace, name) to entries, oldest first; empty if nothing was done.

Raises ``Forbidden`` where they may not get the object.
"""


def stories_app(tell: Tell) -> ASGIApp:
    """Make the application.

    Args:
        tell: Where stories come from.
    """

    async def serve(request: Request) -> Response:
        kind, name = request.query_params.get("kind", ""), request.query_params.get("name", "")
        if not kind or not name:
            error = BadRequest("say which object: /api/stories?kind=tfjob&name=NAME&namespace=NAMESPACE")
            return refusal(error, request.url.path, request.headers)
        try:
            entries = tell(request.scope["state"]["user"], kind, request.query_params.get("namespace", ""), name)
        except ApiError as error:
            return refusal(error, request.url.path, request.headers)
        return Response(msgspec.json.encode({"entries": entries}), media_type="application/json")

    return Starlette(routes=[Route("/", serve)])
