"""What the result of a task is found by when the same is asked for again: in any run of the same pipeline.

As upstream: image and command line as they are written, the values of parameters, the names of input artifacts, names
and types of outputs. Besides, so that nothing old is taken for new: the URIs of input artifacts (here a new execution
has a new one) and the environment. Nothing is looked for where a task has effects that its outputs do not hold: claims,
the workspace, importers.

Source: kubeflow/pipelines ``backend/src/v2/cacheutils/cache.go``, ``backend/src/v2/driver/cache.go``; reference "KFP",
2.9.
"""

import hashlib
from typing import Any

import msgspec

from beamhall.pipelines.engine.decisions import Start
from beamhall.pipelines.spec.executors import Container
from beamhall.pipelines.spec.ir import Component
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.steps.claims import CREATE_IMAGE, DELETE_IMAGE
from beamhall.pipelines.steps.executor_input import type_json
from beamhall.pipelines.steps.facts import RunFacts
from beamhall.pipelines.steps.templates import Template


class Fingerprints:
    """The fingerprints of one run's tasks.

    Args:
        facts: What is known of the run.
    """

    def __init__(self, facts: RunFacts) -> None:
        self._facts = facts
        self._begun: dict[int, tuple[Template, Any]] = {}

    def of(self, start: Start, template: Template) -> str:
        """Give the fingerprint of a task, as 64 hexadecimal digits; empty if it is never to be taken from the cache.

        The pipeline's name is part of it; the namespace is not.
        """
        options, container = start.task.caching_options, template.container
        if not self._facts.caching or not options.enable_cache or container is None:
            return ""
        if container.image in (CREATE_IMAGE, DELETE_IMAGE):
            return ""
        if self._facts.workspace_claim and template.uses_workspace(start.inputs):
            return ""
        if options.cache_key:
            told = "\0".join((self._facts.pipeline.name, start.task.component_ref.name, options.cache_key))
            return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()
        if template.config is not None and template.config.pvc_mount:
            return ""
        known = self._begun.get(id(template))
        if known is None:
            known = self._begun[id(template)] = template, hashlib.sha256(self._constant_part(template, container))
        made = known[1].copy()
        platform = start.inputs.platform if template.task_configs else {}
        made.update(_json((start.inputs.parameters, _artifacts(start), platform)))
        return str(made.hexdigest())

    def _constant_part(self, template: Template, container: Container) -> bytes:
        return _json(
            {
                "pipeline": self._facts.pipeline.name,
                "outputs": _outputs(template.component),
                "image": container.image,
                "cmdArgs": [*container.command, *container.args],
                "env": [(one.name, one.value) for one in container.env],
                "handed": template.config if template.task_configs else None,
            }
        )


def _artifacts(start: Start) -> Json:
    return {name: [(ref.name, ref.uri) for ref in refs] for name, refs in start.inputs.artifacts.items()}


def _outputs(component: Component) -> Json:
    definitions = component.output_definitions
    return {
        "parameters": {name: str(spec.parameter_type) for name, spec in definitions.parameters.items()},
        "artifacts": {
            name: (type_json(spec.artifact_type), spec.metadata) for name, spec in definitions.artifacts.items()
        },
    }


def _json(value: Json) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
