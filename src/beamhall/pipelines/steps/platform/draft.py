"""A Pod that is being made, and the TASK_CONFIG that its component may be given instead of, or besides, what it asks.

A component that starts other Pods (a training job) declares which parts of its task's configuration are handed to it
as a value, and whether they still apply to its own Pod. All parts of ``platform`` write through this.

Source: kubeflow/pipelines ``backend/src/v2/driver/k8s.go``, ``getTaskConfigOptions``; reference "KFP", 2.10.
"""

from collections.abc import Mapping, Sequence

import msgspec

from beamhall.kernel.objects import Object
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.spec.types import normal
from beamhall.pipelines.steps.naming import MAX_LABEL, digest_of, readable
from beamhall.pipelines.steps.values import BadStep

ENV = "ENV"
RESOURCES = "RESOURCES"
TOLERATIONS = "KUBERNETES_TOLERATIONS"
NODE_SELECTOR = "KUBERNETES_NODE_SELECTOR"
AFFINITY = "KUBERNETES_AFFINITY"
VOLUMES = "KUBERNETES_VOLUMES"


class Draft:
    """A Pod that is being made.

    Args:
        task: Name of the task, for messages.
        values: What the configuration's sources came to, by where they stand (``spec.platform.sources_of``).
        passes: What is handed to the component, each with whether it applies to the Pod too.

    Attributes:
        spec: The Pod's, without containers.
        container: The one that is the step.
        labels: Of the Pod, from users.
        annotations: Of the Pod, from users.
        handed: The TASK_CONFIG.
    """

    def __init__(self, task: str, values: Mapping[str, Json], passes: Mapping[str, bool]) -> None:
        self.task = task
        self.spec: Object = {}
        self.container: Object = {}
        self.labels: dict[str, str] = {}
        self.annotations: dict[str, str] = {}
        self.handed: dict[str, Json] = {}
        self._values = values
        self._passes = passes

    def bad(self, what: str) -> BadStep:
        """Make the error that names the task."""
        return BadStep(f"task {self.task!r}: {what}")

    def value(self, where: str) -> Json:
        """Give what a source came to, as a value of the caller's own; None: it has none, as something optional may."""
        return normal(self._values.get(where))

    def json(self, where: str) -> Json:
        """Give what a source came to; what came as the text of a JSON value is that value."""
        value = self.value(where)
        if not isinstance(value, str):
            return value
        try:
            return normal(msgspec.json.decode(value)) if value.strip() else None
        except (msgspec.DecodeError, RecursionError):
            raise self.bad(f"{where} must give JSON, gave the text {value[:60]!r}") from None

    def name(self, where: str, what: str) -> str:
        """Give the name of an object that a source came to; empty if it has no value.

        Raises:
            BadStep: It is no text.
        """
        value = self.value(where)
        if value is None or value == "":
            return ""
        if not isinstance(value, str):
            raise self.bad(f"{where} must give the name of a {what}, gave {value!r}")
        return value

    def add(self, field: str, key: str, items: Sequence[Json]) -> None:
        """Add to a list of the container, and to the TASK_CONFIG, as far as each is meant."""
        for target in self._targets(field, self.container):
            target.setdefault(key, []).extend(items)

    def add_to_spec(self, field: str, key: str, items: Sequence[Json]) -> None:
        """Add to a list of the Pod's specification, and to the TASK_CONFIG, as far as each is meant."""
        for target in self._targets(field, self.spec):
            target.setdefault(key, []).extend(items)

    def put(self, field: str, key: str, value: Json) -> None:
        """Set a field of the Pod's specification, and of the TASK_CONFIG, as far as each is meant."""
        for target in self._targets(field, self.spec):
            target[key] = value

    def put_resources(self, resources: Json) -> None:
        """Set the resources of the container, and of the TASK_CONFIG, as far as each is meant."""
        for target in self._targets(RESOURCES, self.container):
            target["resources"] = resources

    def mount(self, name: str, source: Object, mount: Object, *, is_handed: bool = True) -> None:
        """Add a volume, and where the container sees it.

        Args:
            name: What the volume is best called; one that is taken by another source, or no name, is replaced.
            source: The volume's, such as ``{"secret": {…}}``.
            mount: Where it is seen, without the name.
            is_handed: Whether it may be handed to the component; otherwise it is the Pod's in any case.
        """
        if not str(mount.get("mountPath") or "").startswith("/"):
            raise self.bad(f"a volume's mountPath must be an absolute path, is {mount.get('mountPath')!r}")
        targets = self._targets(VOLUMES, self.container) if is_handed else [self.container]
        for target in targets:
            volumes = (self.spec if target is self.container else target).setdefault("volumes", [])
            own = _volume_name(name, source, volumes)
            if all(volume["name"] != own for volume in volumes):
                volumes.append({"name": own, **source})
            target.setdefault("volumeMounts", []).append({"name": own, **mount})

    def _targets(self, field: str, pod: Object) -> list[Object]:
        if field not in self._passes:
            return [pod]
        return [self.handed, pod] if self._passes[field] else [self.handed]


def _volume_name(name: str, source: Object, volumes: Sequence[Json]) -> str:
    """Give the name under which a source is, or can be, among volumes.

    What other volumes are made from may be mounted twice; an empty directory is another one under another name.
    """
    is_own = "emptyDir" in source or "ephemeral" in source
    taken = {volume["name"]: {key: value for key, value in volume.items() if key != "name"} for volume in volumes}
    for other, made_from in taken.items():
        if made_from == source and (not is_own or other == name):
            return str(other)
    if name not in taken and len(name) <= MAX_LABEL and readable(name, MAX_LABEL) == name:
        return name
    return f"{readable(name, 40) or 'volume'}-{digest_of(name, repr(source), str(len(volumes)))}"
