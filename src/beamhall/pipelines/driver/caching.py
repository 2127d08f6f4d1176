"""Taking the outputs of an earlier task: only if what they name is still there.

Where an earlier task is found is ``batch``. Source: reference "KFP", 2.9; issue 7939 of kubeflow/pipelines.
"""

import msgspec

from beamhall.history.records import Task
from beamhall.kernel.errors import ApiError
from beamhall.pipelines.driver.tools import Tools
from beamhall.pipelines.engine.values import Outputs

_WITHOUT_FILES = frozenset(("system.Metrics", "system.ClassificationMetrics", "system.SlicedClassificationMetrics"))
"""Types whose metadata is all that there is."""


def outputs_of(task: Task) -> Outputs | None:
    """Give what a task gave; None if it was stored in a form that is not known."""
    try:
        return msgspec.convert(task.outputs, Outputs)
    except msgspec.ValidationError:
        return None


async def is_there(tools: Tools, namespace: str, outputs: Outputs) -> bool:
    """Tell whether all artifacts exist. What cannot be found out now counts as missing: the task can run anew."""
    try:
        files = await tools.files(namespace)
        for refs in outputs.artifacts.values():
            for ref in refs:
                if ref.uri and ref.type.title not in _WITHOUT_FILES and not await files.exists(ref.uri):
                    return False
    except (ApiError, OSError, ValueError):
        return False
    return True
