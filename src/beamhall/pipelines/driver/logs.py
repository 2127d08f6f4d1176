"""The log of a step's Pod: its last lines for people, and the whole of it for when the Pod is gone.

Source: reference "KFP", 3.2: users want logs that outlive Pods.
"""

from beamhall.client.protocol import Client, LogOptions
from beamhall.kernel.errors import ApiError
from beamhall.pipelines.driver.files import Files
from beamhall.pipelines.steps.layout import LOG_FILE

LAST_LINES = 20
LAST_BYTES = 4096
MAX_LOG_BYTES = 64 * 2**20
"""How much of a log is kept once its Pod is gone: its last part."""


async def last_lines(client: Client, namespace: str, pod: str) -> str:
    """Give the last lines of a log; empty if there are none, or they cannot be had."""
    try:
        content = await _read(client, namespace, pod, LogOptions(container="main", tail_lines=LAST_LINES))
    except ApiError:
        return ""
    if len(content) > LAST_BYTES:
        content = content[-LAST_BYTES:].partition(b"\n")[2] or content[-LAST_BYTES:]
    return content.decode(errors="replace").rstrip()


async def keep_log(client: Client, files: Files, namespace: str, pod: str, root: str) -> None:
    """Write the log of a Pod to the directory of its execution, if there is any.

    Raises:
        ApiError: It cannot be read or written now.
    """
    content = await _read(client, namespace, pod, LogOptions(container="main"))
    if content:
        await files.write(f"{root}/{LOG_FILE}", content)


async def _read(client: Client, namespace: str, pod: str, options: LogOptions) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async with client.logs(pod, namespace, options) as log:
        async for chunk in log:
            chunks.append(chunk)
            size += len(chunk)
            while size - len(chunks[0]) >= MAX_LOG_BYTES:
                size -= len(chunks.pop(0))
    return b"".join(chunks)
