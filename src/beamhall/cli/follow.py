"""Following a job on the terminal: its events, its replicas' output, its end."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from beamhall.client.protocol import Client, LogOptions, Selection
from beamhall.client.reflector import Removed, Replaced, Upserted, reflect
from beamhall.kernel.errors import AlreadyExists, BadRequest, NotFound
from beamhall.kernel.kinds import EVENT, NAMESPACE, POD, Kind
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of

JOB_NAME_LABEL = "training.kubeflow.org/job-name"
_FINAL = ("Succeeded", "Failed")
Say = Callable[[str], None]


async def follow_job(client: Client, kind: Kind, job: ReadOnlyObject, say: Say) -> ReadOnlyObject:
    """Print what happens to a job until it has ended, and give it as it ended.

    Args:
        client: Where the job is.
        kind: The job's kind.
        job: The job, as it was created.
        say: Prints one line.
    """
    namespace, name = namespace_of(job), name_of(job)
    async with asyncio.TaskGroup() as tasks:
        events = tasks.create_task(_follow_events(client, namespace, name, say))
        logs = tasks.create_task(_follow_logs(client, namespace, name, say))
        ended = await _wait_for_end(client, kind, namespace, name)
        # Output that was written before the end is still read; servers that never end are not waited for.
        await asyncio.wait([logs], timeout=2.0)
        events.cancel()
        logs.cancel()
    return ended


def end_of(job: ReadOnlyObject) -> ReadOnlyObject | None:
    """Give the condition that ended a job, or None while it goes on."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in _FINAL and condition["status"] == "True":
            return dict(condition)
    return None


async def _objects(client: Client, kind: Kind, selection: Selection) -> AsyncGenerator[ReadOnlyObject, None]:
    """Give the selected objects as they are, and again whenever one changes. A job that is removed is the end."""
    async with aclosing(reflect(client, kind, selection)) as changes:
        async for change in changes:
            match change:
                case Replaced(objects):
                    for obj in objects:
                        yield obj
                case Upserted(obj):
                    yield obj
                case Removed() if kind not in (EVENT, POD):
                    return


async def _wait_for_end(client: Client, kind: Kind, namespace: str, name: str) -> ReadOnlyObject:
    selection = Selection(namespace=namespace, fields=f"metadata.name={name}")
    async with aclosing(_objects(client, kind, selection)) as jobs:
        async for job in jobs:
            if end_of(job):
                return job
    raise NotFound(f"{kind.kind} {namespace}/{name} was deleted while it was followed")


async def _follow_events(client: Client, namespace: str, job: str, say: Say) -> None:
    """Print the events of a job's Pods that say why it does not run yet."""
    said = set()
    async with aclosing(_objects(client, EVENT, Selection(namespace=namespace))) as events:
        async for event in events:
            line = f"{event.get('reason')}: {event.get('message')}"
            is_ours = event.get("involvedObject", {}).get("name", "").startswith(job)
            if is_ours and event.get("reason") in _TELLING and line not in said:
                said.add(line)
                say(f"  {line}")


_TELLING = ("Pulling", "Pulled", "Failed", "FailedScheduling", "FailedMount", "BackOff", "TFJobRestarting")


async def _follow_logs(client: Client, namespace: str, job: str, say: Say) -> None:
    """Print the output of a job's Pods as it comes, each line with its replica before it."""
    selection = Selection(namespace=namespace, labels=f"{JOB_NAME_LABEL}={job}")
    followed: set[str] = set()
    async with asyncio.TaskGroup() as tasks, aclosing(_objects(client, POD, selection)) as pods:
        async for pod in pods:
            if name_of(pod) not in followed and (pod.get("status") or {}).get("phase") not in (None, "Pending"):
                followed.add(name_of(pod))
                tasks.create_task(_follow_log(client, pod, name_of(pod).removeprefix(f"{job}-"), say))


async def _follow_log(client: Client, pod: ReadOnlyObject, prefix: str, say: Say) -> None:
    rest = b""
    with contextlib.suppress(BadRequest, NotFound):
        async with client.logs(name_of(pod), namespace_of(pod), LogOptions(follow=True)) as chunks:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    say(f"  {prefix} | {line.decode(errors='replace')}")


async def ensure_namespace(client: Client, name: str) -> None:
    """Make a namespace unless it is there."""
    with contextlib.suppress(AlreadyExists):
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
