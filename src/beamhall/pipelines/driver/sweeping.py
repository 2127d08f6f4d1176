"""Finding Pods that nobody waits for any more: what a crash left between the end of a step and its Pod's deletion.

A Pod is over when its step's row says so, or counts another attempt, or is gone. Level-triggered: it looks at all Pods
and rows, now and then, and remembers nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from beamhall.history.protocol import Reading
from beamhall.history.records import Run, Task, task_id
from beamhall.kernel.clock import parse_time
from beamhall.kernel.errors import ApiError
from beamhall.kernel.kinds import POD
from beamhall.kernel.names import STEP_ROOT_ANNOTATION
from beamhall.kernel.objects import ReadOnlyObject, annotations_of, labels_of, name_of, namespace_of, uid_of
from beamhall.pipelines.driver.janitor import Over
from beamhall.pipelines.driver.pods import OF_RUNS
from beamhall.pipelines.driver.tools import Tools
from beamhall.pipelines.engine.decisions import State
from beamhall.pipelines.steps.pods import ATTEMPT_LABEL, PATH_ANNOTATION, RUN_LABEL

TTL_ANNOTATION = "pipelines.beamhall.io/ttl-seconds"
"""How long a Pod stays if its step fails, where its pipeline says so."""

_PAGE = 200


async def sweep(tools: Tools) -> None:
    """Hand all Pods that are over to the janitor. Errors wait for the next time."""
    continue_ = ""
    try:
        while True:
            page = await tools.client.list(POD, OF_RUNS, limit=_PAGE, continue_=continue_)
            pods = [pod for pod in page.items if not tools.pods.is_watched(namespace_of(pod), name_of(pod))]
            over = await tools.history.read(partial(_those_over, pods=pods)) if pods else ()
            for pod in over:
                if not tools.pods.is_watched(namespace_of(pod), name_of(pod)):
                    tools.janitor.put(_over(tools, pod))
            continue_ = page.continue_
            if not continue_:
                return
    except ApiError:
        return


def _those_over(tx: Reading, pods: Sequence[ReadOnlyObject]) -> Sequence[ReadOnlyObject]:
    return [pod for pod in pods if _is_over(tx, pod)]


def _is_over(tx: Reading, pod: ReadOnlyObject) -> bool:
    run_id, path = labels_of(pod)[RUN_LABEL], annotations_of(pod).get(PATH_ANNOTATION)
    if path is None or ATTEMPT_LABEL not in labels_of(pod):
        return False  # none of ours
    task = tx.get(Task, task_id(run_id, path))
    if task is None:
        run = tx.get(Run, run_id)
        return run is None or State(run.state).is_final
    return State(task.state).is_final or str(task.attempt) != labels_of(pod)[ATTEMPT_LABEL]


def _over(tools: Tools, pod: ReadOnlyObject) -> Over:
    kept_s = 0.0
    if (pod.get("status") or {}).get("phase") == "Failed":
        most_s, said = tools.settings.failed_pods_kept_s, str(annotations_of(pod).get(TTL_ANNOTATION, ""))
        kept_s = min(most_s, int(said)) if said.isdecimal() and said.isascii() else most_s
        kept_s = max(0.0, kept_s - _age_s(tools.clock.now(), pod))
    root = annotations_of(pod).get(STEP_ROOT_ANNOTATION, "")
    return Over(namespace_of(pod), name_of(pod), uid_of(pod), root, kept_s)


def _age_s(now: datetime, pod: ReadOnlyObject) -> float:
    """Tell how long ago the Pod's last container ended, or the Pod was made."""
    ended: Sequence[str] = [
        str(((container.get("state") or {}).get("terminated") or {}).get("finishedAt") or "")
        for container in (pod.get("status") or {}).get("containerStatuses") or ()
    ]
    when = max([*ended, ""]) or str(pod["metadata"].get("creationTimestamp") or "")
    return (now - parse_time(when)).total_seconds() if when else 0.0
