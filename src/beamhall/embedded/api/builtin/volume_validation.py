"""What the volumes of a Pod may be: unique names, exactly one source each, and what each source needs.

That required fields are there is ``requirements``' business. Source: Kubernetes API reference, Volume v1 core.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamhall.embedded.api.builtin.causes import duplicate, forbidden, in_range, invalid, matching, one_of, required
from beamhall.embedded.api.builtin.resource_validation import validate_amount
from beamhall.kernel import names
from beamhall.kernel.errors import Cause

_HOST_PATH_TYPES = (
    "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice",
)  # fmt: skip
_NEEDS = (("configMap", "name"), ("secret", "secretName"))


def validate_volumes(volumes: Sequence[Mapping[str, Any]], path: str) -> Iterator[Cause]:
    """Check the volumes of a Pod's spec at ``path``."""
    seen = set()
    for number, volume in enumerate(volumes):
        here, name = f"{path}[{number}]", volume.get("name")
        if name:
            yield from matching(f"{here}.name", name, names.label_problem(name))
            if name in seen:
                yield duplicate(f"{here}.name", name)
            seen.add(name)
        sources = [source for source, value in volume.items() if source != "name" and value is not None]
        if not sources:
            yield required(here, "must specify a volume type")
        for source in sources[1:]:
            yield forbidden(f"{here}.{source}", "may not specify more than 1 volume type")
        if sources:
            yield from _validate_source(sources[0], volume[sources[0]], f"{here}.{sources[0]}")


def _validate_source(kind: str, source: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for name, field in _NEEDS:
        if kind == name and not source.get(field):
            yield required(f"{path}.{field}")
    if kind == "hostPath":
        yield from one_of(f"{path}.type", source.get("type"), _HOST_PATH_TYPES)
        yield from _validate_no_dots(source.get("path") or "", f"{path}.path")
    elif kind == "emptyDir" and source.get("sizeLimit") is not None:
        yield from validate_amount(source["sizeLimit"], f"{path}.sizeLimit")
    elif kind == "projected":
        for number, part in enumerate(source.get("sources") or ()):
            yield from _validate_projection(part, f"{path}.sources[{number}]")
    yield from in_range(f"{path}.defaultMode", source.get("defaultMode"), 0, 0o777)
    yield from _validate_items(source.get("items") or (), f"{path}.items")


def _validate_projection(part: Mapping[str, Any], path: str) -> Iterator[Cause]:
    kinds = [kind for kind, value in part.items() if value is not None]
    if not kinds:
        yield required(path, "must specify a projection type")
    for kind in kinds[1:]:
        yield forbidden(f"{path}.{kind}", "may not specify more than 1 volume type per source")
    for kind in kinds[:1]:
        if kind in ("configMap", "secret") and not part[kind].get("name"):
            yield required(f"{path}.{kind}.name")
        yield from _validate_items(part[kind].get("items") or (), f"{path}.{kind}.items")


def _validate_items(items: Sequence[Mapping[str, Any]], path: str) -> Iterator[Cause]:
    for number, item in enumerate(items):
        here = f"{path}[{number}]"
        yield from validate_relative_path(item.get("path") or "", f"{here}.path")
        yield from in_range(f"{here}.mode", item.get("mode"), 0, 0o777)


def validate_relative_path(text: str, path: str) -> Iterator[Cause]:
    """Check that a path stays inside the directory that it is relative to."""
    if text.startswith("/"):
        yield invalid(path, text, "must be a relative path")
    yield from _validate_no_dots(text, path)


def _validate_no_dots(text: str, path: str) -> Iterator[Cause]:
    if ".." in text.split("/"):
        yield invalid(path, text, "must not contain '..'")
