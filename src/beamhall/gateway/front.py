"""The front door's application: which path is served by what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from beamhall.gateway.access import AccessRules
from beamhall.gateway.door import Door, refusal
from beamhall.kernel.errors import ApiError, Forbidden, MethodNotAllowed, NotFound
from beamhall.kernel.identity import ADMIN_GROUP, User

_PAGE = Path(__file__).parent / "page"
_PAGE_FILES = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}


def _is_admin(user: User, _: str) -> bool:
    return ADMIN_GROUP in user.groups


@dataclass(frozen=True, slots=True)
class Front:
    """What the front door is made of.

    Attributes:
        rules: Who may pass.
        apps: ASGI applications by path prefix, such as ``/k8s``.
        unready: Gives what is not ready yet, by name; empty: everything is.
        registry: The metrics to show.
        may_get: Whether a user may get a path that is no resource, such as ``/metrics``.
    """

    rules: AccessRules
    apps: Mapping[str, ASGIApp]
    unready: Callable[[], list[str]]
    registry: CollectorRegistry
    may_get: Callable[[User, str], bool] = _is_admin

    def application(self) -> ASGIApp:
        """Make the ASGI application of the one port."""
        routes: list[BaseRoute] = [Mount(prefix, app=app) for prefix, app in self.apps.items()]
        routes += [Route(path, _file(name)) for path, name in _PAGE_FILES.items()]
        routes += [
            Route("/healthz", _healthz),
            Route("/livez", _healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
        ]
        app = Starlette(routes=routes, exception_handlers={404: _no_such_path, 405: _no_such_method})
        return Door(app, self.rules, self.registry)

    async def _readyz(self, _: Request) -> Response:
        waiting = self.unready()
        if waiting:
            return PlainTextResponse("not ready: " + ", ".join(waiting) + "\n", 503)
        return PlainTextResponse("ok\n")

    async def _metrics(self, request: Request) -> Response:
        user: User = request.scope["state"]["user"]
        if not self.may_get(user, "/metrics"):
            return _refuse(request, Forbidden(f'forbidden: User "{user.name}" cannot get path "/metrics"'))
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


def below(prefix: str, app: ASGIApp) -> ASGIApp:
    """Serve at the root what an application serves below a prefix, for clients that know no prefix."""

    async def prefixed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            raw = scope.get("raw_path")
            scope = {
                **scope, "path": prefix + scope["path"], "raw_path": prefix.encode() + raw if raw is not None else None,
            }  # fmt: skip
        await app(scope, receive, send)

    return prefixed


def at_full_paths(app: ASGIApp) -> ASGIApp:
    """Let an application that is mounted below a prefix see whole paths, for one that is mounted below several."""

    async def whole(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": scope.get("app_root_path", "")}, receive, send)

    return whole


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


def _file(name: str) -> Callable[[Request], Response]:
    def serve(_: Request) -> Response:
        return FileResponse(_PAGE / name, headers={"cache-control": "no-cache"})

    return serve


async def _no_such_path(request: Request, _: Exception) -> Response:
    return _refuse(request, NotFound(f"nothing is served at {request.url.path}"))


async def _no_such_method(request: Request, _: Exception) -> Response:
    return _refuse(request, MethodNotAllowed(f"{request.url.path} does not serve {request.method}"))


def _refuse(request: Request, error: ApiError) -> Response:
    return refusal(error, request.url.path, request.headers)
