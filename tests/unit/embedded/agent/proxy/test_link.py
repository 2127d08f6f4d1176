"""The proxy process, for real: connections are passed on in turn, it is kept informed, and it outlives its service."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from contextlib import asynccontextmanager

import pytest

from beamhall.embedded.agent.proxy.link import ProxyLink
from beamhall.embedded.agent.proxy.table import Route


@pytest.fixture
def address():
    """Give an address of this test's own."""
    return f"127.97.{os.getpid() % 250}.{(os.getpid() >> 8) % 250 + 1}"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "pods").mkdir()
    return tmp_path


@asynccontextmanager
async def linked(data, failures=None):
    link = ProxyLink(data, (failures if failures is not None else []).append)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        try:
            yield link
        finally:
            link.set_routes([])
            async with asyncio.timeout(20):
                while link._pid:
                    await asyncio.sleep(0.01)
            running.cancel()


@asynccontextmanager
async def server(greeting):
    """Serve on a port of its own: greet, then send back what comes until its end."""

    async def answer(reader, writer):
        with contextlib.suppress(OSError):
            writer.write(greeting)
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as serving:
        yield serving.sockets[0].getsockname()[:2]


async def talk(where, message=b""):
    """Send a message and the end of the stream; give all that comes back."""
    reader, writer = await asyncio.open_connection(*where)
    writer.write(message)
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()


async def until(condition):
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError):
                if found := await condition():
                    return found
            await asyncio.sleep(0.02)


async def test_connections_go_round_and_carry_much_in_both_directions(data, address):
    where = (address, 8080)
    async with linked(data) as link, server(b"a") as one, server(b"b") as other:
        link.set_routes([Route(where, (one, other))])
        await until(lambda: talk(where))
        assert {await talk(where) for _ in range(4)} == {b"a", b"b"}
        much = os.urandom(3_000_000)
        assert (await talk(where, much))[1:] == much


async def test_an_endpoint_that_refuses_is_passed_over(data, address):
    where = (address, 8080)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with linked(data) as link, server(b"b") as other:
            link.set_routes([Route(where, (closed.getsockname(), other))])
            await until(lambda: talk(where))
            assert [await talk(where) for _ in range(4)] == [b"b"] * 4


async def test_no_endpoint_is_a_refused_connection(data, address):
    where, kept = (address, 8080), (address, 8081)
    async with linked(data) as link, server(b"a") as one:
        link.set_routes([Route(where, (one,)), Route(kept, (one,))])
        await until(lambda: talk(where))
        link.set_routes([Route(kept, (one,))])

        async def is_refused():
            try:
                await talk(where)
            except ConnectionRefusedError:
                return True
            return False

        await until(is_refused)
        assert await talk(kept) == b"a"


async def test_where_it_cannot_listen_is_told(data, address):
    failures: list[object] = []
    with socket.socket() as taken:
        taken.bind((address, 0))
        taken.listen()
        async with linked(data, failures) as link, server(b"a") as one:
            link.set_routes([Route(taken.getsockname(), (one,)), Route((address, 8080), (one,))])
            await until(lambda: talk((address, 8080)))
            assert failures[-1] == {"{}:{}".format(*taken.getsockname()): "Address already in use"}


async def test_it_is_started_again_when_it_dies(data, address):
    where = (address, 8080)
    async with linked(data) as link, server(b"a") as one:
        link.set_routes([Route(where, (one,))])
        await until(lambda: talk(where))
        first = link._pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: talk(where))

        async def is_another():
            return link._pid not in (0, first)

        await until(is_another)


async def test_it_outlives_its_service_while_pods_run_and_is_taken_over(data, address):
    where = (address, 8080)
    run = data / "pods" / "some-pod" / "main" / "0"
    run.mkdir(parents=True)
    (run / "shim").write_text(json.dumps({"pid": os.getpid()}))
    async with server(b"a") as one, server(b"b") as other:
        link = ProxyLink(data, lambda _: None)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(link.run())
            link.set_routes([Route(where, (one,))])
            await until(lambda: talk(where))
            pid = link._pid
            running.cancel()  # as a service that was killed: nobody says goodbye
        assert await talk(where) == b"a"
        again = ProxyLink(data, lambda _: None)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(again.run())
            again.set_routes([Route(where, (other,))])

            async def is_other():
                return await talk(where) == b"b"

            await until(is_other)
            assert again._pid == 0, "the process of before is used"
            running.cancel()
        (run / "exit.json").write_text("{}")
        async with asyncio.timeout(20):
            while os.waitpid(pid, os.WNOHANG)[0] == 0:
                await asyncio.sleep(0.05)
