"""Where Pods reach the API: an address that stays, and a Service that says where the API is now."""

import asyncio
import ipaddress
from pathlib import Path
from random import Random

from beamhall.app.clock import SystemClock
from beamhall.app.pod_access import PodAccess, ensure_address, publish, service_port
from beamhall.client.local import LocalClient
from beamhall.embedded.api.factory import create_resource_api
from beamhall.embedded.store.store import Store
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.kinds import ENDPOINTS, SERVICE


def test_the_address_stays_and_another_directory_has_another(tmp_path: Path) -> None:
    first = ensure_address(tmp_path / "a")
    assert ensure_address(tmp_path / "a") == first
    assert ipaddress.ip_address(first) in ipaddress.ip_network("127.96.0.0/12")
    assert ensure_address(tmp_path / "b") != first
    (tmp_path / "a" / "network" / "kubernetes").write_text("nonsense")
    assert ensure_address(tmp_path / "a") != "nonsense"


async def test_the_service_follows_the_listener(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "objects.db")
    api = create_resource_api(store, SystemClock(), Random(1))
    client = LocalClient(api, User("owner", (ADMIN_GROUP,)))
    try:
        async with asyncio.TaskGroup() as parts:
            running = parts.create_task(api.run())
            await api.begun.wait()
            # The last is of a backup that was restored into another directory.
            for address, inner_port in (("127.96.1.2", 40001), ("127.96.1.2", 40002), ("127.96.3.4", 40003)):
                await publish(client, PodAccess(address, inner_port))
                service = await client.get(SERVICE, "kubernetes", "default")
                assert service["spec"]["clusterIP"] == address
                assert service["spec"]["ports"] == [
                    {"name": "https", "port": service_port(address), "protocol": "TCP", "targetPort": inner_port}
                ]
                endpoints = await client.get(ENDPOINTS, "kubernetes", "default")
                assert endpoints["subsets"] == [
                    {
                        "addresses": [{"ip": "127.0.0.1"}],
                        "ports": [{"name": "https", "port": inner_port, "protocol": "TCP"}],
                    }
                ]
            running.cancel()
    finally:
        await store.close()
