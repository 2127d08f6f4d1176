"""A client that takes nothing of what is sent to it is cut off, and its request ends."""

import asyncio
import contextlib
import socket
import ssl

from starlette.types import Receive, Scope, Send

from beamhall.gateway.listener import Listener, bind


async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    ended = asyncio.Event()

    async def endless(_: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

        async def pump() -> None:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})

        async with asyncio.TaskGroup() as tasks:
            pumping = tasks.create_task(pump())
            while (await receive())["type"] != "http.disconnect":
                pass
            pumping.cancel()
        ended.set()

    listener = bind("127.0.0.1", 0)
    server = Listener(endless, listener, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), stalled_s=0.5)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.run())
        with contextlib.closing(socket.socket()) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.to_thread(client.connect, listener.getsockname())
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(60):
                await ended.wait()
        serving.cancel()
