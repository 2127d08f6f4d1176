"""What names, labels, annotations, finalizers and owner references of any kind may look like."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from beamhall.embedded.api.builtin.causes import invalid, matching, required
from beamhall.kernel import kinds, names
from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import ReadOnlyObject, metadata_of

_NAME_RULES: Mapping[Kind, Callable[[str], str]] = {
    kinds.NAMESPACE: names.label_problem,
    kinds.SERVICE: names.label_1035_problem,
    kinds.ROLE: names.path_segment_problem,
    kinds.ROLE_BINDING: names.path_segment_problem,
    kinds.CLUSTER_ROLE: names.path_segment_problem,
    kinds.CLUSTER_ROLE_BINDING: names.path_segment_problem,
}


def validate_metadata(kind: Kind, obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check the metadata of an object of any kind."""
    metadata = metadata_of(obj)
    name, prefix = metadata.get("name"), metadata.get("generateName")
    rule = _NAME_RULES.get(kind, names.subdomain_problem)
    if not name:
        yield required("metadata.name", "name or generateName is required")
    else:
        yield from matching("metadata.name", name, rule(name))
    if prefix:  # what is generated ends in a letter, so a prefix may end in "-"
        yield from matching("metadata.generateName", prefix, rule(prefix[:200].rstrip("-.") or prefix))
    yield from validate_labels(metadata, "metadata")
    for number, finalizer in enumerate(metadata.get("finalizers") or ()):
        yield from matching(f"metadata.finalizers[{number}]", finalizer, names.label_key_problem(finalizer))
    yield from _validate_owners(metadata.get("ownerReferences") or ())


def validate_labels(metadata: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Check the labels and annotations of an object, or of a template, whose metadata stands at ``path``."""
    yield from names.label_causes(metadata.get("labels") or {}, f"{path}.labels")
    yield from names.annotation_causes(metadata.get("annotations") or {}, f"{path}.annotations")


def _validate_owners(owners: Any) -> Iterator[Cause]:
    for number, owner in enumerate(owners):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield required(f"metadata.ownerReferences[{number}].{field}", f"{field} must not be empty")
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        shown = [f"{owner.get('kind')}/{owner.get('name')}" for owner in controllers]
        yield invalid("metadata.ownerReferences", shown, "only one reference can have controller set to true")
