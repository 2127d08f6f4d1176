import asyncio
import sys
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from beamhall.embedded.agent.agent import Agent
from beamhall.embedded.agent.sandbox import Sandboxes, detect_capabilities
from beamhall.embedded.agent.settings import AgentSettings, BackOff
from beamhall.kernel.errors import NotFound
from beamhall.kernel.kinds import POD
from tests.unit.embedded.agent.cluster import Cluster


class RealClock:
    def now(self):
        return datetime.now(UTC)

    def monotonic(self):
        return time.monotonic()


class FakeCatalog:
    """Has this interpreter's environment for ``python``, and makes ``slow`` when it is let."""

    def __init__(self):
        self.known = {"python"}
        self.slow = asyncio.Event()

    def find(self, reference):
        if reference.split(":")[0] not in (*self.known, "slow"):
            raise NotFound(f'no environment is known for image "{reference}"; add it with `beamhall images add`')
        return SimpleNamespace(reference=reference, path=("/opt/code",))

    def is_ready(self, image):
        if image.reference == "slow" and not self.slow.is_set():
            return None
        # Not sys.executable: a clone below /tmp would keep containers from having a /tmp of their own.
        python = Path(sys.base_prefix) / "bin" / "python3"
        return SimpleNamespace(
            image=image, environment="python", prefix=python.parent.parent, python=python, bin=python.parent,
            env={"FROM_IMAGE": "1"}, workdir="", entrypoint=(), command=(), warm=(),
        )  # fmt: skip

    async def prepare(self, image, progress):
        progress("Installing everything")
        await self.slow.wait()
        return self.is_ready(image)


def pod_of(name, script, *, image="python", node="node", policy="Never", **spec):
    container = {"name": "main", "image": image, "command": ["sh", "-c", script]}
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": node, "restartPolicy": policy, "containers": [container]} | spec,
    }


@pytest.fixture
async def cluster():
    return Cluster()


@pytest.fixture
async def catalog():
    return FakeCatalog()


@pytest.fixture
def settings():
    return AgentSettings(
        node_name="node",
        gpus=2,
        restart=BackOff(0.2, 0.4, 600.0),
        retry=BackOff(0.05, 0.1),
        remake=BackOff(0.05, 0.1),
        minimum_grace_s=0.5,
    )


CAPABILITIES = cache(detect_capabilities)  # takes a process, so it is found out once


@asynccontextmanager
async def running(cluster, catalog, directory, settings):
    agent = Agent(cluster, catalog, directory, settings, RealClock(), Sandboxes(capabilities=CAPABILITIES()))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(agent.run())
        await agent.wait_ready()
        try:
            yield agent
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def agent(cluster, catalog, settings, tmp_path):
    async with running(cluster, catalog, tmp_path, settings) as agent:
        yield agent
        for kind, namespace, name in list(cluster.objects):
            if kind == POD:
                with suppress(NotFound):
                    await cluster.delete(POD, name, namespace, grace_period_s=0)
        async with asyncio.timeout(10):
            while agent._workers:
                await asyncio.sleep(0.02)
