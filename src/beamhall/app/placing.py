"""Giving brief Pods their node when they are made, where there is nothing to choose: see ``at_once`` for when."""

from beamhall.embedded.api.core import Operation
from beamhall.embedded.store.store import Store
from beamhall.embedded.workloads.scheduling.at_once import may_go_at_once
from beamhall.kernel.kinds import NODE, POD
from beamhall.kernel.names import BRIEF_ANNOTATION
from beamhall.kernel.objects import ReadOnlyObject, annotations_of, name_of


class PlacingAtOnce:
    """An ``Admission``, to be asked once it is settled what a Pod asks for.

    Args:
        store: Where Pods and nodes are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._node = ""

    async def admit(self, operation: Operation) -> None:
        """Let a write pass; give a Pod that is made its node, if it needs no scheduler."""
        if operation.resource.kind != POD or operation.verb != "create" or operation.subresource:
            return
        pod = operation.object
        if annotations_of(pod).get(BRIEF_ANNOTATION) != "true":
            return
        node = self._only_node()
        if node is not None and may_go_at_once(pod, node, self._store.count(POD.resource)):
            pod["spec"]["nodeName"] = name_of(node)

    def _only_node(self) -> ReadOnlyObject | None:
        """Give the only node; None if there are more, or none yet."""
        if self._store.count(NODE.resource) != 1:
            return None
        node = self._store.get(NODE.resource, "", self._node) if self._node else None
        if node is None:
            (node,) = self._store.list(NODE.resource).items
            self._node = name_of(node)
        return node
