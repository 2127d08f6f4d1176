"""From a started task to a ``Step``. ``Steps`` is made once a run, and keeps what does not depend on inputs.

Placeholders are filled in one after another, each from what is settled: constants of the task, then environment,
resources and the platform's configuration, which may be handed to the component, then command and arguments.
Read on in ``executor_input``, ``pods``, ``claims`` and ``importing``; what a step left behind is read by ``results``.

Source: kubeflow/pipelines ``backend/src/v2/driver/container.go``; reference "KFP", 2.7 to 2.10.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.history.records import task_id
from beamhall.pipelines.engine.decisions import Start
from beamhall.pipelines.engine.values import Outputs
from beamhall.pipelines.spec.placeholders import Context, fill_value, local_path
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.steps.claims import CREATE_IMAGE, DELETE_IMAGE, claim_of, deleted_claim_of
from beamhall.pipelines.steps.executor_input import inputs_of
from beamhall.pipelines.steps.facts import RunFacts
from beamhall.pipelines.steps.fingerprints import Fingerprints
from beamhall.pipelines.steps.importing import import_of
from beamhall.pipelines.steps.layout import PARAMETERS
from beamhall.pipelines.steps.naming import pod_name
from beamhall.pipelines.steps.platform.applying import apply_platform
from beamhall.pipelines.steps.platform.draft import Draft
from beamhall.pipelines.steps.pods import add_workspace, begin_container, finish_container, pod_of
from beamhall.pipelines.steps.results import outputs_of
from beamhall.pipelines.steps.templates import Template
from beamhall.pipelines.steps.transfers import apply_pause, apply_transfers, is_local, is_paused, transfers_of
from beamhall.pipelines.steps.values import BadStep, Step, Transfers


def step_of(start: Start, facts: RunFacts, attempt: int) -> Step:
    """Give one attempt of a started task; see ``Steps.step_of``, which is quicker for many."""
    return Steps(facts).step_of(start, attempt)


class Steps:
    """The steps of one run.

    Args:
        facts: What they share. Its pipeline must be the one that the starts are of.
    """

    def __init__(self, facts: RunFacts) -> None:
        self.facts = facts
        self.job = facts.job
        self._templates: dict[int, Template] = {}
        self._fingerprints = Fingerprints(facts)

    def step_of(self, start: Start, attempt: int) -> Step:
        """Give one attempt of a started task.

        Args:
            start: What was decided.
            attempt: Which attempt, from 0, never the same twice in a run: it names the Pod and the directory.

        Raises:
            BadStep: What a user gave cannot be made into a step. It would not help to try again.
        """
        making = _Making(self, start, attempt)
        if start.executor.importer is not None:
            return making.importing()
        container = start.executor.container
        assert container is not None
        if container.image in (CREATE_IMAGE, DELETE_IMAGE):
            return making.claiming(container.image)
        return making.running()

    def outputs_of(self, start: Start, step: Step, read: Mapping[str, bytes | None]) -> Outputs:
        """Give what a step that ended well gave; see ``results.outputs_of``."""
        return outputs_of(start, step, read)

    def fingerprint_of(self, start: Start) -> str:
        """Give what an earlier result of a task is found by (``fingerprints``); empty if there is nothing to find."""
        return self._fingerprints.of(start, self.template_of(start))

    def template_of(self, start: Start) -> Template:
        """Give what the steps of a task have in common."""
        found = self._templates.get(id(start.task))
        if found is None or found.task is not start.task:
            found = self._templates[id(start.task)] = Template(start, self.facts)
        return found


class _Making:
    """One step that is being made."""

    def __init__(self, steps: Steps, start: Start, attempt: int) -> None:
        self.facts = steps.facts
        self.start = start
        self.attempt = attempt
        self.template = steps.template_of(start)
        self.root = self.facts.root_of(start.path, attempt)
        uuid = task_id(self.facts.run_id, start.path)
        self.job = {**steps.job, "pipeline_task_name": self.template.name, "pipeline_task_uuid": uuid}
        self.outputs = self.template.outputs.json(self.root)
        self.parameters = self._parameters()
        if self.template.outputs.has_placeholders:
            self.outputs["artifacts"] = fill_value(self.outputs["artifacts"], self._context(self.parameters))

    def _parameters(self) -> Mapping[str, Json]:
        """Give all parameters that placeholders may name; constants may hold fields of the job and of artifacts."""
        given = self.start.inputs.parameters
        if not self.template.templated:
            return given
        context = self._context(given)
        made = {name: fill_value(constant, context) for name, constant in self.template.templated.items()}
        return {**given, **{name: value for name, value in made.items() if name in given}}

    def _input(self, parameters: Mapping[str, Json]) -> dict[str, Json]:
        return {"inputs": inputs_of(parameters, self.start.inputs.artifacts), "outputs": self.outputs}

    def _context(self, parameters: Mapping[str, Json]) -> Context:
        return Context(self._input(parameters), self.job)

    def _declared(self) -> dict[str, Json]:
        """Give the parameters that the component knows; the others are for placeholders alone."""
        declared = self.template.declared
        return {name: value for name, value in self.parameters.items() if name in declared}

    def _step(self, name: str, executor_input: Mapping[str, Json], **what: Any) -> Step:
        return Step(name=name, root=self.root, run_root=self.facts.root, executor_input=executor_input, **what)

    def importing(self) -> Step:
        """Give the step of an importer."""
        context = self._context(self.parameters)
        found = import_of(self.start, self.template.name, context, self.facts)
        name = pod_name(self.facts.pipeline.name, self.facts.run_id, self.start.path, self.attempt)
        needs = bool(found.workspace_path)
        return self._step(name, self._input(self._declared()), imported=found, needs_workspace=needs)

    def claiming(self, image: str) -> Step:
        """Give the step of a claim that is to be made, or deleted."""
        executor_input = self._input(self._declared())
        if image == DELETE_IMAGE:
            name = deleted_claim_of(self.template.name, self.parameters)
            return self._step(name, executor_input, deleted_claim=name)
        claim = claim_of(self.template.name, self.start.path, self.parameters, self.facts)
        return self._step(claim["metadata"]["name"], executor_input, claim=claim)

    def running(self) -> Step:
        """Give the step of a container."""
        template, facts = self.template, self.facts
        container = template.container
        assert container is not None
        values = {**template.constants, **self.start.inputs.platform}
        draft = Draft(template.name, values, template.passes)
        context = self._context(self.parameters)
        begin_container(container, draft, context)
        if template.config is not None:
            apply_platform(template.config, draft, context)
        executor_input = self._input(self._declared())
        if template.task_configs:
            handed = dict.fromkeys(template.task_configs, draft.handed)
            executor_input["inputs"]["parameterValues"] |= handed
            context = self._context({**self.parameters, **handed})
        elif len(self.parameters) == len(executor_input["inputs"]["parameterValues"]):
            context = Context(executor_input, self.job)
        needs_workspace = self._uses_workspace()
        if needs_workspace:
            add_workspace(facts.workspace_claim, draft)
        transfers = transfers_of(self.root, self.start.inputs.artifacts, is_moved=template.mentions_custom_path)
        is_held = bool(facts.launcher and container.command) and is_paused(draft)
        launcher = tuple(facts.launcher) if transfers is not None or is_held else ()
        if launcher:
            apply_transfers(transfers or Transfers((), ()), draft, facts.launcher_env)
        if is_held:
            apply_pause(draft)
        finish_container(container, draft, context, launcher)
        name = pod_name(facts.pipeline.name, facts.run_id, self.start.path, self.attempt)
        return self._step(
            name,
            executor_input,
            pod=pod_of(draft, facts, self.start.path, name, self.attempt),
            result_files=template.outputs.files(self.root),
            directories=self._directories(),
            deadline_s=draft.spec.get("activeDeadlineSeconds", 0),
            needs_workspace=needs_workspace,
            transfers=transfers if launcher else None,
        )

    def _directories(self) -> Sequence[str]:
        if not is_local(self.root):
            return ()
        path = local_path({"uri": self.root})
        return (f"{path}/{PARAMETERS}" if self.template.outputs.parameters else path,)

    def _uses_workspace(self) -> bool:
        if self.facts.workspace_claim:
            return self.template.uses_workspace(self.start.inputs)
        if self.template.demands_workspace:
            raise BadStep(
                f"task {self.template.name!r} uses the workspace, but the pipeline has none: give it"
                " dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size='1Gi'))"
            )
        return False
