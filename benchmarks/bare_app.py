"""What no Python server of ours can go below: one route on Starlette and uvicorn, in a process of its own."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BODY = b'{"kind":"ConfigMap","data":{"a":"' + b"b" * 600 + b'"}}'


async def _answer(_: Request) -> Response:
    return Response(BODY, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[Route("/one", _answer)]), port=int(sys.argv[1]), http="httptools", loop="uvloop",
        log_config=None, access_log=False,
    )  # fmt: skip
