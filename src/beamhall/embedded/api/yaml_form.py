"""YAML bodies and answers. Apart, because importing PyYAML costs time that most processes need not spend."""

from typing import Any

import msgspec
import yaml

from beamhall.kernel.errors import BadRequest


class _Loader(yaml.CSafeLoader):
    """Reads YAML as Kubernetes does: what looks like a time is text. ``duplicates`` says which keys it met twice."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001,FBT002  PyYAML's
        """Make a mapping; the last of two values for one key stands."""
        seen = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                self.duplicates.append(f'line {key.start_mark.line + 1}: key "{key.value}" already set in map')
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


_DEPTH_LIMIT = 500
_SMALLEST_DEEP_BYTES = 2 * _DEPTH_LIMIT


def _check_shape(body: bytes) -> None:
    """Refuse what would hurt the process: nesting that overruns the C parser's stack, aliases that multiply.

    Raises:
        BadRequest: It is nested too deep, or has aliases.
    """
    if len(body) < _SMALLEST_DEEP_BYTES and b"*" not in body:
        return
    depth = 0
    for event in yaml.parse(body, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEPTH_LIMIT:
                raise BadRequest(f"the YAML of the request is nested more than {_DEPTH_LIMIT} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            raise BadRequest(
                f"the YAML of the request has an alias (*{event.anchor}): write the value out, or send JSON"
            )


def load(body: bytes, duplicates: list[str] | None = None) -> Any:
    """Read one YAML document, and add to ``duplicates`` what it says twice, in the words of a strict decoder.

    Raises:
        BadRequest: It is malformed, holds several documents, or something that JSON has no form for.
    """
    try:
        _check_shape(body)
        loader = _Loader(body)
        try:
            value = loader.get_single_data()
        finally:
            loader.dispose()
        if loader.duplicates and duplicates is not None:
            duplicates.append(f"yaml: unmarshal errors: {', '.join(loader.duplicates)}")
        return msgspec.json.decode(msgspec.json.encode(value))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadRequest(f"the YAML of the request is malformed: {_place(error)}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequest(f"the YAML of the request cannot be written as JSON: {error}") from error


def _place(error: Exception) -> str:
    """Say what is wrong and where, in one line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    return f"{getattr(error, 'problem', None) or 'it cannot be read'} (line {mark.line + 1}, column {mark.column + 1})"


def dump(value: Any) -> bytes:
    """Write a value as YAML."""
    return yaml.dump(value, Dumper=yaml.CSafeDumper, encoding="utf-8", sort_keys=True, allow_unicode=True)
