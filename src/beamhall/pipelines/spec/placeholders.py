"""Placeholders in texts: ``{{$.inputs.parameters['n']}}`` and the like, and the structs ``Concat`` and ``IfPresent``.

They may stand in commands, arguments, environment, images, resources, names, and anywhere in constants. What replaces
one is never looked through again, so a value cannot smuggle in another. A placeholder that nobody knows stays as it is.

Source: reference "KFP", section 2.7; ``pipeline_spec.proto``, ``ExecutorInput``.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.spec.types import json_text, text_of

JOB_FIELDS = (
    "pipeline_job_name",
    "pipeline_job_resource_name",
    "pipeline_job_uuid",
    "pipeline_task_name",
    "pipeline_task_uuid",
    "pipeline_root",
    "pipeline_job_create_time_utc",
    "pipeline_job_schedule_time_utc",
    "workspace_path",
)
"""Placeholders without further parts: ``{{$.pipeline_job_name}}``."""

WORKSPACE_PATH = "/kfp-workspace"

WORKSPACE_METADATA = "_kfp_workspace"
"""Metadata of an artifact whose bytes are in the workspace of its run, which is where the SDK then looks for them."""

_NO_JOB: Mapping[str, str] = {}

_PLACEHOLDER = re.compile(r"""\{\{\$((?:\.[A-Za-z_]+|\['[^']*'\]|\["[^"]*"\]|\[[0-9]{1,3}\])*)\}\}""")
_PIECE = re.compile(r"""\.([A-Za-z_]+)|\['([^']*)'\]|\["([^"]*)"\]|\[([0-9]+)\]""")
_STRUCT = re.compile(r"""\s*\{\s*"(?:Concat|IfPresent)"\s*:""")
_MOUNTS = {"gs://": "/gcs/", "s3://": "/s3/", "minio://": "/minio/"}


def local_path(artifact: Mapping[str, Json]) -> str:
    """Give the path by which a step reaches an artifact: a URI without a known scheme is the path itself.

    Source: ``kfp/dsl/types/artifact_types.py``, ``Artifact.path``.
    """
    path = _path_of(str(artifact.get("uri") or ""))
    if (artifact.get("metadata") or {}).get(WORKSPACE_METADATA) is True:
        return f"{WORKSPACE_PATH}/.artifacts/{path.lstrip('/')}"
    return path


def _path_of(uri: str) -> str:
    for scheme, mount in _MOUNTS.items():
        if uri.startswith(scheme):
            return mount + uri[len(scheme) :]
    if uri.startswith("oci://"):
        return f"/oci/{uri[6:].replace('/', '_')}/models"
    return uri.removeprefix("file://")


_Pieces = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """What placeholders are replaced by.

    Attributes:
        executor_input: The ExecutorInput in JSON (camelCase): parameter values, artifacts, output files.
        job: Values of ``JOB_FIELDS``; those that are missing stay as they are, but for the workspace's path.
        path_of: Gives the path of an artifact.
    """

    executor_input: Mapping[str, Any]
    job: Mapping[str, str] = field(default_factory=dict)
    path_of: Callable[[Mapping[str, Json]], str] = local_path

    def artifacts(self, side: str, name: str) -> Sequence[Mapping[str, Json]]:
        """Give the artifacts of an input or output (``inputs``, ``outputs``); none if there are none."""
        found = (self._of(side, "artifacts").get(name) or {}).get("artifacts") or ()
        return tuple(found)

    def parameters(self) -> Mapping[str, Json]:
        """Give the values of the input parameters."""
        return self._of("inputs", "parameterValues")

    def output_file(self, name: str) -> str:
        """Give the file that an output parameter is written to, empty if there is no such output."""
        return str((self._of("outputs", "parameters").get(name) or {}).get("outputFile") or "")

    def metadata_file(self) -> str:
        """Give the file that the ExecutorOutput is written to."""
        return str((self.executor_input.get("outputs") or {}).get("outputFile") or "")

    def has_input(self, name: str) -> bool:
        """Tell whether an input, parameter or artifact, has a value."""
        return self.parameters().get(name) is not None or bool(self.artifacts("inputs", name))

    def _of(self, side: str, kind: str) -> Mapping[str, Any]:
        return (self.executor_input.get(side) or {}).get(kind) or {}


def fill(text: str, context: Context) -> str:
    """Replace the placeholders of a text. An input without a value is replaced by nothing."""
    return _replaced_in(text, lambda pieces: _value_of(pieces, context))


def fill_value(value: Json, context: Context) -> Json:
    """Replace the placeholders in all texts of a value, names included. Never changes the value itself."""
    return _replaced(value, lambda pieces: _value_of(pieces, context))


def fill_constant(value: Json, parameters: Mapping[str, Json], job: Mapping[str, str] = _NO_JOB) -> Json:
    """Replace, in a constant of a task, what comes from other parameters of the task, and job fields that are given.

    Other placeholders stay.
    """

    def value_of(pieces: _Pieces) -> str | None:
        if len(pieces) == 1:
            return job.get(pieces[0])
        is_parameter = len(pieces) == 3 and pieces[:2] == ("inputs", "parameters")
        return text_of(parameters.get(pieces[2])) if is_parameter else None

    return _replaced(value, value_of)


def has_placeholders(value: Json) -> bool:
    """Tell whether a value may have placeholders in its texts."""
    if isinstance(value, str):
        return "{{$" in value
    if isinstance(value, Mapping):
        return any(has_placeholders(key) or has_placeholders(member) for key, member in value.items())
    return isinstance(value, list | tuple) and any(has_placeholders(item) for item in value)


def fill_arguments(arguments: Sequence[str], context: Context) -> list[str]:
    """Make an argv of a container's ``command`` or ``args``: one text may become none, or several."""
    return [made for argument in arguments for made in _made_of(_struct_of(argument), context)]


def fill_text(text: str, context: Context) -> str:
    """Replace placeholders, structs too, in what stays one text: an image, a value of the environment, a quantity."""
    return "".join(_made_of(_struct_of(text), context))


def references(value: Json) -> Iterator[_Pieces]:
    """Give the parts of each placeholder in a value: ``("inputs", "parameters", "n")``; of structs too."""
    if isinstance(value, str):
        struct = _struct_of(value)
        if not isinstance(struct, str):
            yield from references(struct)
            return
        for match in _PLACEHOLDER.finditer(value):
            yield _pieces(match.group(1))
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from references(key)
            yield from references(member)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)


def _replaced(value: Json, value_of: Callable[[_Pieces], str | None]) -> Json:
    if isinstance(value, str):
        return _replaced_in(value, value_of)
    if isinstance(value, Mapping):
        return {_replaced_in(key, value_of): _replaced(member, value_of) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, value_of) for item in value]
    return value


def _replaced_in(text: str, value_of: Callable[[_Pieces], str | None]) -> str:
    if "{{$" not in text:
        return text

    def replaced(match: re.Match[str]) -> str:
        found = value_of(_pieces(match.group(1)))
        return match.group() if found is None else found

    return _PLACEHOLDER.sub(replaced, text)


def _pieces(path: str) -> _Pieces:
    return tuple("".join(piece) for piece in _PIECE.findall(path))


def _struct_of(text: str) -> Json:
    """Give the struct that a text is, or the text."""
    if _STRUCT.match(text) is None:
        return text
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
    return found if isinstance(found, dict) and len(found) == 1 else text


def _made_of(value: Json, context: Context) -> list[str]:
    """Evaluate a text, a struct, or a list of those."""
    if isinstance(value, str):
        return [fill(value, context)]
    if isinstance(value, list):
        return [made for item in value for made in _made_of(item, context)]
    if isinstance(value, dict) and set(value) == {"Concat"} and isinstance(value["Concat"], list):
        return ["".join(_made_of(value["Concat"], context))]
    if isinstance(value, dict) and set(value) == {"IfPresent"} and isinstance(value["IfPresent"], dict):
        branches = value["IfPresent"]
        is_present = context.has_input(str(branches.get("InputName")))
        return _made_of(branches.get("Then" if is_present else "Else", []), context)
    return [] if value is None else [text_of(fill_value(value, context))]


def _value_of(pieces: _Pieces, context: Context) -> str | None:
    """Give the text of a placeholder; None if nobody knows it."""
    if len(pieces) >= 2 and pieces[-2] == "json_escape":
        inner = _value_of(pieces[:-2], context)
        return None if inner is None else _escaped(inner, int(pieces[-1]) if pieces[-1].isdigit() else 1)
    match pieces:
        case ():
            return json_text(context.executor_input)
        case ("inputs", "parameters", name):
            return text_of(context.parameters().get(name))
        case ("outputs", "parameters", name, "output_file"):
            return context.output_file(name) or None
        case ("outputs", "output_file") | ("outputMetadataUri",):
            return context.metadata_file() or None
        case ("inputs" | "outputs" as side, "artifacts", name, *rest):
            return _artifact_text(context, context.artifacts(side, name), tuple(rest))
        case ("workspace_path",):
            return context.job.get("workspace_path", WORKSPACE_PATH)
        case (name,) if name in JOB_FIELDS:
            return context.job.get(name)
    return None


def _artifact_text(context: Context, artifacts: Sequence[Mapping[str, Json]], rest: tuple[str, ...]) -> str | None:
    first: Mapping[str, Json] = artifacts[0] if artifacts else {}
    match rest:
        case ():
            return json_text(list(artifacts))
        case ("path",):
            return context.path_of(first) if first else ""
        case ("uri" | "name" as key,):
            return text_of(first.get(key))
        case ("metadata" | "properties" | "custom_properties",):
            return json_text(first.get("metadata") or {})
        case ("metadata" | "properties" | "custom_properties", key):
            return text_of((first.get("metadata") or {}).get(key))
    return None


def _escaped(text: str, times: int) -> str:
    for _ in range(min(times, 8)):
        text = json.dumps(text, ensure_ascii=False)[1:-1]
    return text
