"""What a step that ended well gave: its outputs, from the files that it left behind. Read on in ``metrics``.

A value in the ExecutorOutput comes before the file of a parameter. Every declared parameter must have one; an artifact
may be nothing but its metadata. Nothing that a step writes is trusted: types are checked, and what it calls the place
of an artifact must be in the directory of its run, in that of one of its inputs, or in a store.

Source: kubeflow/pipelines ``backend/src/v2/component/launcher_v2.go``; ``pipeline_spec.proto``, ``ExecutorOutput``;
``kfp/dsl/executor.py``; reference "KFP", 2.3, 2.8 and 2.11.
"""

import json
import math
import posixpath
from collections.abc import Mapping, Sequence

import msgspec

from beamhall.pipelines.engine.decisions import Start
from beamhall.pipelines.engine.values import NO_OUTPUTS, ArtifactRef, Outputs
from beamhall.pipelines.spec.fields import shown
from beamhall.pipelines.spec.ir import ArtifactSpec, ParameterSpec
from beamhall.pipelines.spec.placeholders import WORKSPACE_METADATA, WORKSPACE_PATH
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.spec.types import TypeMismatch, normal, output, parsed
from beamhall.pipelines.steps.layout import OUTPUT_FILE
from beamhall.pipelines.steps.templates import task_name
from beamhall.pipelines.steps.values import BadOutput, Step

MAX_ARTIFACTS = 10_000
"""How many artifacts a step may give as one output."""

MAX_TEXT = 2_000
"""How many characters the name or the URI of an artifact may have."""

MAX_DEPTH = 100
"""How deeply values may be nested."""

_SESSION_METADATA = "store_session_info"
_RESERVED = (_SESSION_METADATA, WORKSPACE_METADATA)


def outputs_of(start: Start, step: Step, read: Mapping[str, bytes | None]) -> Outputs:
    """Give the outputs of a step that ended well.

    Args:
        start: Its task.
        step: The attempt that ended.
        read: What each of ``step.result_files`` holds; None, or absent, if there is no such file.

    Returns:
        All declared outputs, parameters of their declared types. Artifacts have no ids.

    Raises:
        BadOutput: One is missing or wrong; the message says which, and in which file.
    """
    definitions = start.component.output_definitions
    if not definitions.parameters and not definitions.artifacts:
        return NO_OUTPUTS
    reading = _Reading(start, step)
    try:
        return reading.outputs(read)
    except RecursionError:
        raise reading.bad(f"{reading.file} is nested too deeply") from None


class _Reading:
    """The outputs of one step that are being read."""

    def __init__(self, start: Start, step: Step) -> None:
        self.task = task_name(start.path)
        self.start = start
        self.step = step
        self.definitions = start.component.output_definitions
        self.file = f"{step.root}/{OUTPUT_FILE}"

    def bad(self, what: str) -> BadOutput:
        return BadOutput(f"task {self.task!r}: {what}")

    def outputs(self, read: Mapping[str, bytes | None]) -> Outputs:
        told = self._told(read.get(self.file))
        values, artifacts = self._object(told, "parameterValues"), self._object(told, "artifacts")
        files = dict(zip(self.definitions.parameters, self.step.result_files[1:], strict=False))
        return Outputs(
            {
                name: self._parameter(name, spec, values.get(name), read.get(files[name]), files[name])
                for name, spec in self.definitions.parameters.items()
            },
            {name: self._artifacts(name, spec, artifacts) for name, spec in self.definitions.artifacts.items()},
        )

    def _told(self, content: bytes | None) -> Mapping[str, Json]:
        """Read the ExecutorOutput. Numbers that JSON does not have become text, as protocol buffers write them."""
        if not content or not content.strip():
            return {}
        try:
            found = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = self._read_leniently(content)
        if not isinstance(found, dict):
            raise self.bad(f"{self.file} must hold an object, holds {shown(found)}")
        return found

    def _read_leniently(self, content: bytes) -> Json:
        """Read what Python's ``json`` writes and JSON is not: NaN and the infinities."""
        try:
            found = json.loads(content, parse_constant=str)
            msgspec.json.encode(found)  # halves of surrogate pairs can be read, and never written again
        except ValueError as error:
            raise self.bad(f"{self.file} is not JSON: {error}") from None
        return found

    def _object(self, told: Mapping[str, Json], key: str) -> Mapping[str, Json]:
        found = told.get(key)
        if found is not None and not isinstance(found, dict):
            raise self.bad(f"{key} in {self.file} must be an object, is {shown(found)}")
        return found or {}

    def _parameter(self, name: str, spec: ParameterSpec, value: Json, content: bytes | None, file: str) -> Json:
        try:
            if value is not None:
                return output(_kept(value), spec.parameter_type)
            if content is not None:
                return _kept(parsed(content.decode(), spec.parameter_type))
        except TypeMismatch as error:
            where = self.file if value is not None else file
            raise self.bad(f"output parameter {name!r} {error}; it was read from {where}") from None
        except UnicodeDecodeError:
            raise self.bad(f"output parameter {name!r} is not UTF-8; it was read from {file}") from None
        raise self.bad(f"output parameter {name!r} is missing: the step wrote neither {file} nor a value for it"
                       f" in {self.file}")  # fmt: skip

    def _artifacts(self, name: str, spec: ArtifactSpec, told: Mapping[str, Json]) -> Sequence[ArtifactRef]:
        planned = self._planned(name, spec)
        entry = told.get(name)
        if entry is None:
            return () if spec.is_artifact_list else (planned,)
        given = entry.get("artifacts") if isinstance(entry, dict) else None
        if given is None:
            given = []
        if not isinstance(given, list) or not isinstance(entry, dict) or len(given) > MAX_ARTIFACTS:
            raise self.bad(f"output artifact {name!r} in {self.file} must be a list of at most {MAX_ARTIFACTS}")
        if spec.is_artifact_list:
            return tuple(self._artifact(name, planned, one) for one in given)
        return (self._artifact(name, planned, given[0]),) if given else (planned,)

    def _planned(self, name: str, spec: ArtifactSpec) -> ArtifactRef:
        """Give an output artifact as the step was told of it."""
        told = self.step.executor_input["outputs"]["artifacts"][name]["artifacts"][0]
        return ArtifactRef(name=name, type=spec.artifact_type, uri=told["uri"], metadata=told["metadata"])

    def _artifact(self, output_name: str, planned: ArtifactRef, told: Json) -> ArtifactRef:
        if not isinstance(told, dict):
            raise self.bad(f"output artifact {output_name!r} in {self.file} must be an object, is {shown(told)}")
        name = self._text(output_name, told, "name") or planned.name
        metadata = told.get("metadata")
        if metadata is not None and not isinstance(metadata, dict):
            raise self.bad(f"metadata of output artifact {output_name!r} must be an object, is {shown(metadata)}")
        uri = self._place(output_name, planned, told)
        kept = _kept(planned.metadata if metadata is None else metadata)
        source = self._input_at(uri)
        for key in _RESERVED:
            kept.pop(key, None)
        if source is not None and source.metadata.get(WORKSPACE_METADATA) is True:
            kept[WORKSPACE_METADATA] = True
        return ArtifactRef(name=name, type=planned.type, uri=uri, metadata=kept)

    def _text(self, output_name: str, told: Mapping[str, Json], key: str) -> str:
        found = told.get(key)
        if found is None:
            return ""
        if not isinstance(found, str) or len(found) > MAX_TEXT or "\0" in found:
            problem = f"must be text of at most {MAX_TEXT} characters, is {shown(found)}"
            raise self.bad(f"{key} of output artifact {output_name!r} {problem}")
        return found

    def _place(self, output_name: str, planned: ArtifactRef, told: Mapping[str, Json]) -> str:
        """Say where the bytes of an artifact are."""
        custom = self._text(output_name, told, "custom_path") or self._text(output_name, told, "customPath")
        if custom and self.step.transfers is None:
            if not self._is_ours(custom):
                message = f"its custom path {custom!r} is outside of the run's directory, where nobody else can read it"
                raise self.bad(f"output artifact {output_name!r}: {message}; write to .path")
            return posixpath.normpath(custom)
        uri = self._text(output_name, told, "uri")
        if not uri or uri == planned.uri:
            return planned.uri
        if "://" in uri and not uri.startswith("file://"):
            return uri
        if not self._is_ours(uri.removeprefix("file://")):
            message = f"its URI {uri!r} is outside of the run's directory; use .path, or dsl.get_uri() for a new one"
            raise self.bad(f"output artifact {output_name!r}: {message}")
        return posixpath.normpath(uri.removeprefix("file://"))

    def _is_ours(self, path: str) -> bool:
        """Tell whether a step may say that an artifact is at a path of this machine."""
        if not path.startswith("/"):
            return False
        path = posixpath.normpath(path)
        run_root = self.step.run_root
        allowed = [run_root.removeprefix("file://")] if run_root.startswith(("/", "file://")) else []
        allowed += [ref.uri.removeprefix("file://") for refs in self.start.inputs.artifacts.values() for ref in refs]
        if self.step.needs_workspace:
            allowed.append(WORKSPACE_PATH)
        return any(
            path == posixpath.normpath(one) or path.startswith(f"{posixpath.normpath(one)}/")
            for one in allowed
            if one.startswith("/")
        )

    def _input_at(self, uri: str) -> ArtifactRef | None:
        for refs in self.start.inputs.artifacts.values():
            for ref in refs:
                if ref.uri == uri:
                    return ref
        return None


def _kept(value: Json, depth: int = 0) -> Json:
    """Give a value as it can be stored: whole numbers as such, numbers that JSON does not have as their names.

    Raises:
        RecursionError: It is nested more deeply than protocol buffers allow, and everybody who reads it can bear.
    """
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, float):
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return normal(value)
    if isinstance(value, dict):
        return {key: _kept(member, depth + 1) for key, member in value.items()}
    return [_kept(item, depth + 1) for item in value] if isinstance(value, list) else value
