"""Getting the environments that stand for a Pod's images, and what stands in the way of its containers.

Kubernetes calls it pulling, and so do the events. What is tried again, and when, is ``lifecycle``'s decision.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from beamhall.catalog.installs import Install
from beamhall.embedded.agent.components import recognise
from beamhall.embedded.agent.environment import ConfigError
from beamhall.embedded.agent.facts import Trouble
from beamhall.embedded.agent.images import Prepared
from beamhall.embedded.agent.progress import Progress
from beamhall.embedded.agent.sandbox import UNCONFINED
from beamhall.embedded.agent.security import security_of
from beamhall.embedded.agent.settings import BackOff
from beamhall.embedded.agent.tools import Tools
from beamhall.kernel.errors import ApiError
from beamhall.kernel.objects import ReadOnlyObject

_PROGRESS_PERIOD_S = 2.0


class Pulling:
    """The environments of one Pod's containers, and their troubles. For its worker.

    Args:
        pod: Gives the object as last seen.
        containers: The Pod's containers, by name.
        tools: What the worker works with.
        wake: Is called when something has changed.

    Attributes:
        prepared: The environments that stand, by container.
        troubles: What stands in the way of the next run, by container.
        refusals: Why what a container wants to install cannot be, by container: it runs as long as it takes to say so.
    """

    def __init__(
        self,
        pod: Callable[[], ReadOnlyObject],
        containers: Mapping[str, Mapping[str, Any]],
        tools: Tools,
        wake: Callable[[], None],
    ) -> None:
        self.prepared: dict[str, Prepared] = {}
        self.troubles: dict[str, Trouble] = {}
        self._pod = pod
        self._containers = containers
        self._tools = tools
        self.refusals: dict[str, str] = {}
        self._installs: dict[str, tuple[Install, ...]] = {}
        self._wake = wake
        self._making: dict[str, asyncio.Task[None]] = {}

    def preparation(self, name: str) -> Literal["none", "making", "ready"]:
        """Tell how far the environment of a container is."""
        return "ready" if name in self.prepared else "making" if name in self._making else "none"

    def standing(self, name: str) -> Prepared:
        """Give the environment of a container, as its image's entry is now where the one before could not be started.

        Raises:
            ConfigError: The entry names another environment now, which must be made first.
        """
        if name in self.troubles:
            image = self._tools.catalog.find(str(self._containers[name].get("image") or ""))
            if self._installs.get(name):
                image = self._tools.catalog.with_installs(image, self._installs[name])
            prepared = self._tools.catalog.is_ready(image)
            if prepared is None:
                del self.prepared[name]
                raise ConfigError(f"the image is now the environment {image.environment}, which is to be made")
            self.prepared[name] = prepared
        return self.prepared[name]

    def installs(self, name: str) -> tuple[Install, ...]:
        """Give what was installed for a container on top of its image's environment."""
        return self._installs.get(name, ())

    def close(self) -> None:
        """Stop what is under way."""
        for task in self._making.values():
            task.cancel()

    def begin(self, tasks: asyncio.TaskGroup, name: str) -> None:
        """Take the environment that stands, or begin to make it in a task of its own."""
        container = self._containers[name]
        reference = str(container.get("image") or "")
        installs = self._wanted(container)
        try:
            image = self._tools.catalog.find(reference)
            if installs:
                image = self._tools.catalog.with_installs(image, installs)
            prepared = self._tools.catalog.is_ready(image)
        except ApiError as error:
            self._image_trouble(name, reference, error.message, self._tools.settings.retry)
            return
        if prepared is not None:
            self.prepared[name], self._installs[name] = prepared, installs
            self.troubles.pop(name, None)
            message = f'Container image "{reference}" already present on machine'
            self._tools.recorder.normal(self._pod(), "Pulled", message, container=name)
            return
        self._making[name] = tasks.create_task(self._make(name, reference, image, installs))

    def _wanted(self, container: Mapping[str, Any]) -> tuple[Install, ...]:
        """Give what a container's command line installs, if that is ours to install.

        It is done by the service, and building a package runs what is in it: for who is not the service, only packages
        that the usual index has by name.
        """
        words = (*(container.get("command") or ()), *(container.get("args") or ()))
        try:
            confinement = security_of(self._pod(), container, self._tools.service).confinement
        except ConfigError:  # it will be said when it is to start
            return ()
        if not self._tools.settings.step_environments:
            return ()
        installs = recognise([str(word) for word in words]).installs
        return installs if confinement == UNCONFINED or all(each.is_usual for each in installs) else ()

    async def _make(self, name: str, reference: str, image: Any, installs: tuple[Install, ...]) -> None:
        recorder = self._tools.recorder
        recorder.normal(self._pod(), "Pulling", f'Pulling image "{reference}"', container=name)
        began = self._tools.clock.monotonic()
        say = partial(recorder.normal, self._pod(), "Pulling", container=name, slot="progress")
        try:
            with contextlib.closing(Progress(say, _PROGRESS_PERIOD_S)) as progress:
                prepared = await self._prepare(name, image, installs, progress)
        except (ApiError, OSError) as error:
            self._image_trouble(name, reference, str(error), self._tools.settings.remake)
        else:
            self.prepared[name], self._installs[name] = prepared, installs
            self.troubles.pop(name, None)
            took_s = self._tools.clock.monotonic() - began
            message = f'Successfully pulled image "{reference}" in {took_s:.1f}s (environment {prepared.environment})'
            recorder.normal(self._pod(), "Pulled", message, container=name)
        self._making.pop(name, None)
        self._wake()

    async def _prepare(self, name: str, image: Any, installs: tuple[Install, ...], progress: Progress) -> Prepared:
        """Make an environment. Where only what is on top fails, the container is to fail as its own pip would."""
        try:
            return await self._tools.catalog.prepare(image, progress)
        except ApiError as error:
            if not installs:
                raise
            prepared = await self._tools.catalog.prepare(self._tools.catalog.with_installs(image, ()), progress)
            self.refusals[name] = f"ERROR: {error.message}"
            return prepared

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
