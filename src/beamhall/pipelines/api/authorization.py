"""Asking whether one may do something, as user interfaces do before they show what needs it.

Source: Kubeflow Pipelines, backend/api/v2beta1/auth.proto; reference "KFP", section 1.2.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from beamhall.kernel.errors import BadRequest
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.messages import reply

RESOURCES = ("VIEWERS",)
VERBS = ("CREATE", "GET", "DELETE")


class Authorization:
    """The handler of ``/auth``."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def routes(self) -> Sequence[BaseRoute]:
        """Give its path."""
        return (Route("/auth", self._ask, methods=["GET"]),)

    async def _ask(self, request: Request) -> Response:
        query = request.query_params
        namespace, resource, verb = (query.get(name, "") for name in ("namespace", "resources", "verb"))
        if not namespace:
            raise BadRequest("namespace: it must be given")
        for name, value, known in (("resources", resource, RESOURCES), ("verb", verb, VERBS)):
            if value not in known:
                raise BadRequest(f"{name}: {value[:80]!r} cannot be asked about; there are {', '.join(known)}")
        await self._access.authorize(request, verb.lower(), resource.lower(), namespace)
        return reply({})
