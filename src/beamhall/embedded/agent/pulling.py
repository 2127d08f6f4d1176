"""Getting the environments that stand for a Pod's images, and what stands in the way of its containers.

Kubernetes calls it pulling, and so do the events. What is tried again, and when, is ``lifecycle``'s decision.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from beamhall.embedded.agent.facts import Trouble
from beamhall.embedded.agent.images import Prepared
from beamhall.embedded.agent.progress import Progress
from beamhall.embedded.agent.settings import BackOff
from beamhall.embedded.agent.tools import Tools
from beamhall.kernel.errors import ApiError
from beamhall.kernel.objects import ReadOnlyObject

_PROGRESS_PERIOD_S = 2.0


class Pulling:
    """The environments of one Pod's containers, and their troubles. For its worker.

    Args:
        pod: Gives the object as last seen.
        images: The image reference of each container.
        tools: What the worker works with.
        wake: Is called when something has changed.

    Attributes:
        prepared: The environments that stand, by container.
        troubles: What stands in the way of the next run, by container.
    """

    def __init__(
        self, pod: Callable[[], ReadOnlyObject], images: Mapping[str, str], tools: Tools, wake: Callable[[], None]
    ) -> None:
        self.prepared: dict[str, Prepared] = {}
        self.troubles: dict[str, Trouble] = {}
        self._pod = pod
        self._images = images
        self._tools = tools
        self._wake = wake
        self._making: dict[str, asyncio.Task[None]] = {}

    def preparation(self, name: str) -> Literal["none", "making", "ready"]:
        """Tell how far the environment of a container is."""
        return "ready" if name in self.prepared else "making" if name in self._making else "none"

    def close(self) -> None:
        """Stop what is under way."""
        for task in self._making.values():
            task.cancel()

    def begin(self, tasks: asyncio.TaskGroup, name: str) -> None:
        """Take the environment that stands, or begin to make it in a task of its own."""
        reference = self._images[name]
        try:
            image = self._tools.catalog.find(reference)
            prepared = self._tools.catalog.is_ready(image)
        except ApiError as error:
            self._image_trouble(name, reference, error.message, self._tools.settings.retry)
            return
        if prepared is not None:
            self.prepared[name] = prepared
            self.troubles.pop(name, None)
            message = f'Container image "{reference}" already present on machine'
            self._tools.recorder.normal(self._pod(), "Pulled", message, container=name)
            return
        self._making[name] = tasks.create_task(self._make(name, reference, image))

    async def _make(self, name: str, reference: str, image: Any) -> None:
        recorder = self._tools.recorder
        recorder.normal(self._pod(), "Pulling", f'Pulling image "{reference}"', container=name)
        began = self._tools.clock.monotonic()
        say = partial(recorder.normal, self._pod(), "Pulling", container=name, slot="progress")
        try:
            with contextlib.closing(Progress(say, _PROGRESS_PERIOD_S)) as progress:
                prepared = await self._tools.catalog.prepare(image, progress)
        except (ApiError, OSError) as error:
            self._image_trouble(name, reference, str(error), self._tools.settings.remake)
        else:
            self.prepared[name] = prepared
            self.troubles.pop(name, None)
            took_s = self._tools.clock.monotonic() - began
            message = f'Successfully pulled image "{reference}" in {took_s:.1f}s (environment {prepared.environment})'
            recorder.normal(self._pod(), "Pulled", message, container=name)
        self._making.pop(name, None)
        self._wake()

    def _image_trouble(self, name: str, reference: str, message: str, pace: BackOff) -> None:
        before = self.troubles.get(name)
        is_first = before is None or before.reason not in ("ErrImagePull", "ImagePullBackOff")
        reason = "ErrImagePull" if is_first else "ImagePullBackOff"
        text = message if is_first else f'Back-off pulling image "{reference}": {message}'
        self.trouble(name, reason, text, f'Failed to pull image "{reference}": {message}', pace)

    def trouble(self, name: str, reason: str, message: str, event: str, pace: BackOff | None = None) -> None:
        """Note that a container cannot be started now, and say so in an event.

        Args:
            name: The container.
            reason: Of its waiting state.
            message: Of its waiting state.
            event: What the event says.
            pace: When it is tried again; None: soon, as what may heal by itself.
        """
        before = self.troubles.get(name)
        failures = before.failures + 1 if before is not None else 1
        delay_s = (pace or self._tools.settings.retry).delay_s(failures)
        retry_at = self._tools.clock.now() + timedelta(seconds=delay_s)
        self.troubles[name] = Trouble(reason, message, failures, retry_at)
        self._tools.recorder.warning(self._pod(), "Failed", event, container=name)
