"""From decoded documents to a ``Pipeline``: what shape they have, which version, what nobody serves.

Whether the parts of a pipeline fit together is told by ``checking``. Bytes and archives are ``pipelines.packages``.

Source: reference "KFP", sections 1.3 (both forms of a specification) and 2.1.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from beamhall.kernel.errors import BadRequest, Cause
from beamhall.pipelines.spec.fields import Findings, read_part, shown
from beamhall.pipelines.spec.ir import Pipeline, PipelineSpec
from beamhall.pipelines.spec.platform import KubernetesConfig, PipelineConfig, PlatformSpec
from beamhall.pipelines.spec.sources import Json

SCHEMA_VERSION = "2.1.0"

MAX_TASKS = 20_000
"""How many tasks the DAGs of a specification may have together; loops over many items have no such limit."""

_TOLD = 5
_PAIR = {"pipeline_spec": 0, "pipelineSpec": 0, "platform_spec": 1, "platformSpec": 1}
_JOB = frozenset({"name", "displayName", "display_name", "labels", "runtimeConfig", "runtime_config"})


class BadSpecification(BadRequest):
    """A specification cannot be served.

    Args:
        problems: What is wrong, each with its path; at least one.
    """

    def __init__(self, problems: Sequence[Cause]) -> None:
        told = "; ".join(f"{one.field}: {one.message}" if one.field else one.message for one in problems[:_TOLD])
        rest = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        super().__init__(f"invalid pipeline: {told}{rest}", causes=problems)


def read_pipeline(documents: Json) -> Pipeline:
    """Read a pipeline.

    Args:
        documents: A specification; an object with ``pipeline_spec`` and ``platform_spec`` (camelCase too); or the
            documents of a package as a list: a specification, and perhaps a platform specification.

    Returns:
        The pipeline. Its shape is right; whether it makes sense is for ``checking.problems``.

    Raises:
        BadSpecification: Something is wrong; every cause names the path of a field.
    """
    spec_document, platform_document = parts_of(documents)
    findings = Findings()
    spec = read_part(PipelineSpec, spec_document, "", findings)
    _check_version(spec.schema_version, findings)
    _refuse_executors(spec, findings)
    kubernetes, config = _read_platforms(platform_document, spec, findings)
    if findings.problems:
        raise BadSpecification(findings.problems)
    return Pipeline(spec=spec, kubernetes=kubernetes, config=config, warnings=tuple(findings.warnings))


def parts_of(documents: Json) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """Give the specification and the platform specification (None: there is none), however they came.

    Raises:
        BadSpecification: They are something else, or have more than ``MAX_TASKS`` tasks.
    """
    spec, platform = _parted(documents)
    _limit_tasks(spec)
    return spec, platform


def _parted(documents: Json) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    if not isinstance(documents, list | tuple):
        return _parted_pair(documents)
    found = [one for one in documents if one is not None]
    if not found:
        _refuse("", "there is no document: a pipeline specification is needed")
    if len(found) == 1:
        return _parted_pair(found[0])
    platforms = [one for one in found if isinstance(one, Mapping) and "platforms" in one]
    specs = [one for one in found if one not in platforms]
    if len(specs) != 1 or len(platforms) != 1:
        _refuse("", f"there are {len(found)} documents: one pipeline specification and one with 'platforms' are needed")
    return _mapping(specs[0]), platforms[0]


def _parted_pair(document: Json) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    document = _mapping(document)
    if not any(key in document for key, number in _PAIR.items() if number == 0):
        return document, None
    parts: list[Any] = [None, None]
    for key, value in document.items():
        if key in _PAIR:
            parts[_PAIR[key]] = value
        elif key not in _JOB:
            _refuse(str(key), f"unknown field {key!r} beside a pipeline specification")
    spec, platform = parts
    if platform is not None and not isinstance(platform, Mapping):
        _refuse("platform_spec", f"must be an object, is {shown(platform)}")
    return _mapping(spec), platform or None


def _mapping(document: Json) -> Mapping[str, Any]:
    if isinstance(document, Mapping):
        if "apiVersion" in document and "kind" in document:
            what = f"{document['apiVersion']} {document['kind']}"
            _refuse("", f"this is {what}, not a pipeline specification; compile the pipeline with the KFP SDK 2.x")
        return document
    return _refuse("", f"a pipeline specification must be an object, is {shown(document)}")


def _refuse(path: str, message: str) -> NoReturn:
    raise BadSpecification([Cause("FieldValueInvalid", message, path)])


def _limit_tasks(document: Mapping[str, Any]) -> None:
    """Count the tasks before anything is built of them."""
    components = document.get("components")
    n_tasks = 0
    for one in (document.get("root"), *(components.values() if isinstance(components, Mapping) else ())):
        dag = one.get("dag") if isinstance(one, Mapping) else None
        tasks = dag.get("tasks") if isinstance(dag, Mapping) else None
        n_tasks += len(tasks) if isinstance(tasks, Mapping) else 0
    if n_tasks > MAX_TASKS:
        _refuse("root.dag.tasks", f"there are {n_tasks} tasks; a specification may have {MAX_TASKS}: use a loop")


def _check_version(version: str, findings: Findings) -> None:
    if any(one.field == "schemaVersion" for one in findings.problems):
        return
    if not version:
        findings.wrong("schemaVersion", f"must be given: {SCHEMA_VERSION}", "FieldValueRequired")
    elif version != SCHEMA_VERSION:
        message = f"must be {SCHEMA_VERSION}, is {version!r}; compile the pipeline with the KFP SDK 2.x"
        findings.wrong("schemaVersion", message, "FieldValueNotSupported")


def _refuse_executors(spec: PipelineSpec, findings: Findings) -> None:
    for label, executor in spec.deployment_spec.executors.items():
        for name, value in (("resolver", executor.resolver), ("customJob", executor.custom_job)):
            if value is not None:
                path = f"deploymentSpec.executors[{label!r}].{name}"
                message = "is not served: only Vertex AI executes it; use a container or an importer"
                findings.wrong(path, message, "FieldValueNotSupported")
        if executor.container is not None and executor.container.lifecycle:
            path = f"deploymentSpec.executors[{label!r}].container.lifecycle"
            findings.warn(path, "hooks are not run: only Vertex AI does")
    for name, component in spec.components.items():
        if component.single_platform_specs:
            findings.warn(f"components[{name!r}].singlePlatformSpecs", "is passed over: use a platform specification")


def _read_platforms(
    document: Mapping[str, Any] | None, spec: PipelineSpec, findings: Findings
) -> tuple[Mapping[str, KubernetesConfig], PipelineConfig]:
    """Read what is asked of Kubernetes. What nobody knows there is a warning: SDKs are newer than services."""
    findings.are_unknown_fields_problems = False
    platforms = read_part(PlatformSpec, document, "", findings).platforms
    for name in platforms:
        if name != "kubernetes":
            findings.warn(f"platforms[{name!r}]", "is passed over: only 'kubernetes' is served")
    if "kubernetes" not in platforms:
        return {}, PipelineConfig()
    path = "platforms['kubernetes'].deploymentSpec.executors"
    found = {}
    for label, config in platforms["kubernetes"].deployment_spec.executors.items():
        here = f"{path}[{label!r}]"
        if label not in spec.deployment_spec.executors:
            findings.warn(here, f"is passed over: there is no executor {label!r}")
        found[label] = read_part(KubernetesConfig, config, here, findings)
    return found, platforms["kubernetes"].pipeline_config
