"""One attempt of a step, from its Pod (or claim, or artifact) to its outputs. It decides nothing about the run.

Everything may be done twice: names are the same whenever an attempt is begun again, and what is there is taken over.
Read on in ``carrier``, which begins attempts and is told how they ended.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence

import msgspec

from beamhall.kernel.errors import AlreadyExists, ApiError, NotFound
from beamhall.kernel.kinds import PERSISTENT_VOLUME_CLAIM, POD
from beamhall.kernel.names import STEP_ROOT_ANNOTATION
from beamhall.kernel.objects import Object, labels_of, uid_of
from beamhall.pipelines.driver.claims import ensure_workspace, make_claim
from beamhall.pipelines.driver.ends import PodEnd, end_of, obstacle_of, waits_for
from beamhall.pipelines.driver.fetching import fetching_pod
from beamhall.pipelines.driver.files import Files
from beamhall.pipelines.driver.importing import imported
from beamhall.pipelines.driver.logs import last_lines
from beamhall.pipelines.driver.patience import patiently
from beamhall.pipelines.driver.pods import Watched
from beamhall.pipelines.driver.sweeping import TTL_ANNOTATION
from beamhall.pipelines.driver.tools import Tools
from beamhall.pipelines.engine.decisions import Start, State
from beamhall.pipelines.engine.values import Outputs
from beamhall.pipelines.steps.step import Steps
from beamhall.pipelines.steps.values import BadOutput, BadStep, Step

STOP_GRACE_S = 2
"""How long a step that is stopped has for its last words."""

MAX_RESULT_BYTES = 64 * 2**20
"""How large one file of a step's output parameters may be."""

_GONE = PodEnd("its Pod was deleted", has_log=False)


class Ended(msgspec.Struct, frozen=True):
    """How an attempt ended.

    Attributes:
        path: The task.
        attempt: Which.
        state: SUCCEEDED, FAILED or CANCELED.
        outputs: What it gave, if it succeeded.
        error: For people, if it did not.
        may_retry: Whether trying again could help.
        pod: Name and uid of its Pod; empty without one.
        root: The directory of the execution.
    """

    path: str
    attempt: int
    state: State
    outputs: Outputs | None = None
    error: str = ""
    may_retry: bool = True
    pod: tuple[str, str] = ("", "")
    root: str = ""


class Attempt:
    """One attempt.

    Args:
        tools: What the driver has.
        steps: Makes the step.
        start: What the engine decided.
        number: Which attempt.
        again: Whether it may have been begun before.

    Attributes:
        held: Is told what keeps its Pod from starting; empty: nothing does any more.
    """

    def __init__(self, tools: Tools, steps: Steps, start: Start, number: int, *, again: bool) -> None:
        self._tools = tools
        self._steps = steps
        self._facts = steps.facts
        self._start = start
        self._number = number
        self._again = again
        self._is_stopped = False
        self._pod: Object | None = None
        self._step: Step | None = None
        self._why = ""
        self._without: Sequence[str] = ()
        self.held: Callable[[str], None] = lambda _: None

    async def run(self) -> Ended:
        """Carry it out, whatever happens."""
        try:
            step = self._step = self._steps.step_of(self._start, self._number)
        except BadStep as error:
            return self._ended(State.FAILED, error=str(error), may_retry=False)
        try:
            if step.pod is not None:
                return await self._run_pod(step, step.pod)
            return await self._do(step)
        except (ApiError, OSError) as error:
            state = State.CANCELED if self._is_stopped else State.FAILED
            return self._ended(state, error=f"it could not be started: {error}")

    async def stop(self) -> None:
        """End it soon. How it ended still comes out of ``run``."""
        if self._is_stopped:
            return
        self._is_stopped = True
        if self._pod is not None and self._step is not None:
            await self._delete(self._step.name, self._pod)

    async def _run_pod(self, step: Step, pod: Object) -> Ended:
        end, named = await self._carry_pod(step, pod)
        if end.error:
            state = State.CANCELED if self._is_stopped else State.FAILED
            return self._ended(state, error=await self._told(step, end), pod=named)
        try:
            if step.imported is not None:
                outputs = await imported(self._tools, self._facts.namespace, step.imported)
            else:
                outputs = self._steps.outputs_of(self._start, step, await self._results(step))
        except BadOutput as error:
            return self._ended(State.FAILED, error=await self._told(step, PodEnd(str(error))), pod=named)
        return self._ended(State.SUCCEEDED, outputs, pod=named)

    async def _carry_pod(self, step: Step, pod: Object) -> tuple[PodEnd, tuple[str, str]]:
        """Have a Pod, and wait for its end; give how it ended, its name and its uid."""
        if step.needs_workspace:
            await ensure_workspace(self._tools.client, self._facts)
        for directory in step.directories:
            os.makedirs(directory, exist_ok=True)  # noqa: PTH103  takes microseconds
        with self._tools.pods.watching(self._facts.namespace, step.name) as watched:
            pod["metadata"]["annotations"][STEP_ROOT_ANNOTATION] = step.root
            if ttl_s := self._facts.pipeline.config.failed_pods_ttl_s:
                pod["metadata"]["annotations"][TTL_ANNOTATION] = str(ttl_s)
            pod, self._without = await self._tools.fitting.of(pod)
            made = self._pod = await self._make(step.name, pod)
            if watched.pod is None:
                watched.see(made)
            if self._is_stopped:
                await self._delete(step.name, made)
            return await self._end(step, watched), (step.name, uid_of(made))

    async def _make(self, name: str, pod: Object) -> Object:
        """Make the Pod, or take over the one that an earlier life of the service made."""
        client, namespace = self._tools.client, self._facts.namespace
        try:
            return await patiently(lambda: client.create(POD, pod))
        except AlreadyExists:
            found = await patiently(lambda: client.get(POD, name, namespace))
            mine = labels_of(pod)
            if any(labels_of(found).get(label) != mine[label] for label in mine):
                raise
            return found

    async def _end(self, step: Step, watched: Watched) -> PodEnd:
        """Wait for the end of the Pod."""
        obstacle = ""
        try:
            async with asyncio.timeout(None) as limit:
                while True:
                    if watched.is_doubtful:
                        await self._tools.pods.recheck(self._facts.namespace, step.name, watched)
                    if watched.pod is not None and (end := end_of(watched.pod)):
                        return end
                    if watched.is_gone:
                        return _GONE
                    obstacle, is_for_good = obstacle_of(watched.pod or {})
                    self._say_held(obstacle or waits_for(watched.pod or {}))
                    self._limit(limit, obstacle, is_for_good=is_for_good)
                    await watched.changed()
        except TimeoutError:
            await self._delete(step.name, watched.pod or {})
            return PodEnd(obstacle, has_log=False)

    def _say_held(self, why: str) -> None:
        """Tell what keeps the Pod from starting, whenever that changes."""
        if why != self._why:
            self._why = why
            self.held(why)

    def _limit(self, limit: asyncio.Timeout, obstacle: str, *, is_for_good: bool) -> None:
        """Wait no longer than so long for what keeps the Pod from starting."""
        now = asyncio.get_running_loop().time()
        if not obstacle:
            limit.reschedule(None)
        elif is_for_good:
            limit.reschedule(now)
        elif limit.when() is None:
            limit.reschedule(now + self._tools.settings.start_patience_s)

    async def _delete(self, name: str, pod: Object | Mapping[str, object]) -> None:
        client, namespace, uid = self._tools.client, self._facts.namespace, uid_of(pod)
        try:
            await patiently(lambda: client.delete(POD, name, namespace, uid=uid, grace_period_s=STOP_GRACE_S))
        except NotFound:
            return

    async def _results(self, step: Step) -> Mapping[str, bytes | None]:
        files = await self._tools.files(self._facts.namespace) if step.result_files else None
        return {uri: await self._result(files, uri) for uri in step.result_files if files}

    async def _result(self, files: Files, uri: str) -> bytes | None:
        try:
            return await patiently(lambda: files.read(uri, MAX_RESULT_BYTES), attempts=5)
        except NotFound:
            return None

    async def _told(self, step: Step, end: PodEnd) -> str:
        """Say what went wrong, with the last lines of the log."""
        if self._is_stopped:
            return "it was stopped"
        lines = await last_lines(self._tools.client, self._facts.namespace, step.name) if end.has_log else ""
        without = "".join(f"\nOn this cluster {each}." for each in self._without)
        if not lines:
            return f"{end.error}{without}"
        command = f"beamhall runs logs {self._facts.run_id} {self._start.path.removeprefix('/')}"
        return f"{end.error}{without}\nThe last lines of its log:\n{lines}\nAll of it: {command}"

    async def _do(self, step: Step) -> Ended:
        """Do what needs no Pod."""
        if self._is_stopped:
            return self._ended(State.CANCELED, error="it was stopped")
        if step.claim is not None:
            await make_claim(self._tools.client, step.claim)
            return self._ended(State.SUCCEEDED, Outputs({"name": step.name}))
        if step.deleted_claim:
            await self._delete_claim(step.deleted_claim)
            return self._ended(State.SUCCEEDED, Outputs())
        assert step.imported is not None
        if step.imported.workspace_path:
            pod = fetching_pod(step, step.imported, self._facts, self._start.path, self._number)
            return await self._run_pod(step, pod)
        return self._ended(State.SUCCEEDED, await imported(self._tools, self._facts.namespace, step.imported))

    async def _delete_claim(self, name: str) -> None:
        client, namespace = self._tools.client, self._facts.namespace
        try:
            await patiently(lambda: client.delete(PERSISTENT_VOLUME_CLAIM, name, namespace))
        except NotFound:
            if not self._again:  # else it may have been deleted just before the service ended
                raise

    def _ended(
        self, state: State, outputs: Outputs | None = None, *, error: str = "", may_retry: bool = True,
        pod: tuple[str, str] = ("", ""),
    ) -> Ended:  # fmt: skip
        root = "" if self._step is None else self._step.root
        return Ended(self._start.path, self._number, state, outputs, error, may_retry, pod, root)
