"""The ASGI middleware around everything: access, the shape of refusals, request metrics, security headers."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from beamhall.gateway.access import AccessRules
from beamhall.kernel.errors import ApiError, Unauthorized, status_of

OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/login"})
"""Served without credentials: they tell nothing but that a server is here."""

_SECURITY_HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

_REFUSAL_PAGE = """<!doctype html><meta charset="utf-8"><title>Beamhall</title>
<h1>Beamhall</h1><p>{message}</p>
"""


class Door:
    """Lets a request through to ``app`` with ``scope["state"]["user"]`` set, or refuses it in the shape of its API.

    Args:
        app: What stands behind the door.
        rules: What a request must carry.
        registry: Where request metrics are registered.
    """

    def __init__(self, app: ASGIApp, rules: AccessRules, registry: CollectorRegistry) -> None:
        self._app = app
        self._rules = rules
        labels = ("api", "method", "code")
        self._requests = Counter("beamhall_http_requests", "Requests answered.", labels, registry=registry)
        self._seconds = Histogram(
            "beamhall_http_request_seconds", "Time to the first byte of the answer.", ("api",), registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        started = time.perf_counter()
        path: str = scope["path"]

        async def observed_send(message: Message) -> None:
            if message["type"] == "websocket.accept":
                self._requests.labels(_api_of(path), "GET", 101).inc()
            elif message["type"] in ("http.response.start", "websocket.http.response.start"):
                api = _api_of(path)
                self._requests.labels(api, scope.get("method", "GET"), message["status"]).inc()
                self._seconds.labels(api).observe(time.perf_counter() - started)
                answer_headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    answer_headers.setdefault(name, value)  # what shows users' own pages is stricter with them
                if scope["type"] == "websocket":  # the server closes it: a client must not use it again
                    answer_headers["connection"] = "close"
            await send(message)

        headers = Headers(scope=scope)
        try:
            self._rules.check_target(headers)
            if path == "/login" and scope["type"] == "http":
                response: Response = self._login(Request(scope))
                return await response(scope, receive, observed_send)
            if path not in OPEN_PATHS or scope["type"] != "http":
                scope.setdefault("state", {})["user"] = self._rules.user_of(headers, cookie_name(scope))
        except ApiError as error:
            return await refusal(error, path, headers)(scope, receive, observed_send)
        return await self._app(scope, receive, observed_send)

    def _login(self, request: Request) -> Response:
        """Turn the token in the printed URL into a cookie, and take it out of the address line."""
        if not self._rules.is_token(request.query_params.get("token", "")):
            raise Unauthorized(
                "the login link is wrong or from another data directory; use the one `beamhall up` printed"
            )
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(
            cookie_name(request.scope),
            self._rules.session,
            max_age=30 * 24 * 3600,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response


def cookie_name(scope: Scope) -> str:
    """Name the session cookie: by port, since browsers share cookies between the ports of a host."""
    server = scope.get("server") or ("", 0)
    return f"beamhall-{server[1]}"


def refusal(error: ApiError, path: str, headers: Mapping[str, str]) -> Response:
    """Say an error in the shape of the API that was called: a Status below ``/k8s``, a page to browsers, else JSON."""
    extra = {"www-authenticate": "Bearer"} if isinstance(error, Unauthorized) else {}
    if not path.startswith("/k8s") and "text/html" in headers.get("accept", ""):
        page = _REFUSAL_PAGE.format(message=_escape(error.message))
        return HTMLResponse(page, status_code=error.code, headers=extra)
    body: Mapping[str, Any] = status_of(error)
    if not path.startswith("/k8s"):
        body = {"error": error.message, "reason": error.reason, "code": error.code}
    return Response(msgspec.json.encode(body), error.code, extra, "application/json")


def _api_of(path: str) -> str:
    """Give the first step of a path, from a fixed set: metrics must not grow with what clients ask for."""
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    return first if first in ("k8s", "apis", "api", "notebook", "serving", "metrics") else "other"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
