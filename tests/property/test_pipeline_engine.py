"""Random pipelines, in random order, crashed and canceled anywhere, against a naive interpreter."""

import random
from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from beamhall.pipelines.engine.decisions import State
from beamhall.pipelines.engine.events import Options, Row
from beamhall.pipelines.engine.retrying import stale
from beamhall.pipelines.engine.rows import parent_of
from beamhall.pipelines.spec.ir import Pipeline
from beamhall.pipelines.spec.reading import read_pipeline
from tests.models.pipeline_runs import Interpreter, Play, chaotic

Document = dict[str, Any]
STRING, LIST = {"parameterType": "STRING"}, {"parameterType": "LIST"}
ARTIFACT = {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
INPUTS: Document = {
    "parameters": {
        "x": {**STRING, "isOptional": True},
        "y": {**STRING, "isOptional": True, "defaultValue": "1"},
        "status": {"parameterType": "TASK_FINAL_STATUS", "isOptional": True},
    },
    "artifacts": {"art": {**ARTIFACT, "isOptional": True}},
}
NEEDY: Document = {
    "parameters": {**INPUTS["parameters"], "x": STRING},
    "artifacts": {"art": ARTIFACT},
}
OUTPUTS: Document = {
    "parameters": {"out": {"parameterType": "NUMBER_INTEGER"}, "xs": LIST},
    "artifacts": {"art": ARTIFACT},
}
LEAF: Document = {"executorLabel": "exec", "inputDefinitions": INPUTS, "outputDefinitions": OUTPUTS}


class Maker:
    """Draws a pipeline."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.components: Document = {"comp-leaf": LEAF, "comp-needy": {**LEAF, "inputDefinitions": NEEDY}}

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def pipeline(self) -> Pipeline:
        root = self.dag(2)
        return read_pipeline(
            {
                "pipelineInfo": {"name": "p"},
                "schemaVersion": "2.1.0",
                "deploymentSpec": {"executors": {"exec": {"container": {"image": "i"}}}},
                "components": self.components,
                "root": root,
            }
        )

    def component(self, depth: int) -> str:
        if depth == 0 or self.pick(True, True, False):
            return str(self.pick("comp-leaf", "comp-leaf", "comp-needy"))
        body = self.dag(depth - 1)
        name = f"comp-dag-{len(self.components)}"
        self.components[name] = body
        return name

    def dag(self, depth: int) -> Document:
        tasks: Document = {}
        for number in range(self.draw(st.integers(1, 4))):
            task = self.task(tasks, depth)
            tasks[self.pick(f"t{number}", f"exit-handler-{number}", f"condition-branches-{number}")] = task
        names = list(tasks)
        selectors = self.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        one = self.pick("out", "xs")
        first = [{"producerSubtask": name, "outputParameterKey": one} for name in selectors]
        source = (
            {"valueFromParameter": first[0]} if len(first) == 1 else {"valueFromOneof": {"parameterSelectors": first}}
        )
        outputs = {
            "parameters": {
                "out": source,
                "xs": {"valueFromParameter": {"producerSubtask": names[0], "outputParameterKey": "xs"}},
            },
            "artifacts": {
                "art": {"artifactSelectors": [{"producerSubtask": n, "outputArtifactKey": "art"} for n in selectors]}
            },
        }
        return {
            "inputDefinitions": self.pick(INPUTS, INPUTS, NEEDY) if depth < 2 else INPUTS,
            "outputDefinitions": OUTPUTS,
            "dag": {"tasks": tasks, "outputs": outputs},
        }

    def task(self, before: Document, depth: int) -> Document:
        component = self.component(depth)
        parameters: Document = {}
        for name in ("x", "y"):
            if self.pick(True, True, False):
                parameters[name] = self.parameter(before)
        artifacts: Document = {}
        if self.pick(True, False):
            artifacts["art"] = self.artifact(before)
        task: Document = {
            "componentRef": {"name": component},
            "inputs": {"parameters": parameters, "artifacts": artifacts},
        }
        if before:
            task["dependentTasks"] = self.draw(st.lists(st.sampled_from(list(before)), max_size=2, unique=True))
            if self.pick(True, False, False):
                task["triggerPolicy"] = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
                if self.pick(True, False):
                    parameters["status"] = {"taskFinalStatus": {"producerTask": self.pick(*before)}}
        if self.pick(True, False, False):
            condition = self.pick(
                "inputs.parameter_values['y'] == '1'", "!(inputs.parameter_values['y'] == '1')",
                "int(inputs.parameter_values['x']) >= 1",
            )  # fmt: skip
            task.setdefault("triggerPolicy", {})["condition"] = condition
        if self.pick(True, False, False) and "condition" not in task.get("triggerPolicy", {}):
            self.loop(task, before)
        return task

    def loop(self, task: Document, before: Document) -> None:
        if self.pick(True, False):
            task["iteratorPolicy"] = {"parallelismLimit": self.draw(st.integers(1, 3))}
        if before and self.pick(True, False, False):
            task["inputs"]["artifacts"]["arts"] = self.artifact(before)
            task["artifactIterator"] = {"items": {"inputArtifact": "arts"}, "itemInput": "art"}
            task["inputs"]["artifacts"].pop("art", None)
            return
        task["inputs"]["parameters"].pop("x", None)
        if before and self.pick(True, False):
            output = {"producerTask": self.pick(*before), "outputParameterKey": "xs"}
            task["inputs"]["parameters"]["items"] = {"taskOutputParameter": output}
            items = {"inputParameter": "items"}
        else:
            items = {"raw": self.pick("[]", "[1]", '["1", {"a": [2]}]', "[3, 2, 1, 0]")}
        task["parameterIterator"] = {"items": items, "itemInput": "x"}

    def parameter(self, before: Document) -> Document:
        choices: list[Document] = [
            {"runtimeValue": {"constant": 1.0}},
            {"runtimeValue": {"constant": {"k": "{{$.inputs.parameters['y']}}"}}},
            {"componentInputParameter": self.pick("x", "y")},
        ]
        for name in before:
            choices.append(
                {"taskOutputParameter": {"producerTask": name, "outputParameterKey": self.pick("out", "xs")}}
            )
        return dict(self.pick(*choices))

    def artifact(self, before: Document) -> Document:
        choices: list[Document] = [{"componentInputArtifact": "art"}]
        for name in before:
            choices += [{"taskOutputArtifact": {"producerTask": name, "outputArtifactKey": "art"}}] * 2
        return dict(self.pick(*choices))


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    return Maker(draw).pipeline()


SEEDS = st.integers(0, 2**16)
WINDOWS = st.sampled_from([1, 2, 256])
BUDGET = settings(max_examples=60, deadline=None)


def bare(inputs: Any) -> Any:
    """Give inputs in JSON; of final statuses only the state, which is all that the interpreter says."""
    found = msgspec.to_builtins(inputs)
    status = found.get("parameters", {}).get("status")
    if status is not None:
        found["parameters"]["status"] = status["state"]
    return found


def played(pipeline: Pipeline, seed: int, window: int, *, fail_fast: bool = False) -> Play:
    return Play(pipeline, chaotic(seed), options=Options(fail_fast=fail_fast, loop_window=window))


def expected(pipeline: Pipeline, seed: int) -> Interpreter:
    found = Interpreter(pipeline, chaotic(seed))
    found.run({})
    return found


def assert_same(play: Play, wanted: Interpreter) -> None:
    assert play.states() == {path: str(row.state) for path, row in wanted.rows.items()}
    assert {p: bare(i) for p, i in play.inputs.items()} == {p: bare(i) for p, i in wanted.inputs.items()}
    assert play.end is not None
    assert play.end.state is wanted.rows[""].state
    for path, outputs in play.outputs().items():
        right = wanted.rows[path].outputs
        assert outputs is not None
        assert right is not None
        for mine, theirs in ((outputs.parameters, right.parameters), (outputs.artifacts, right.artifacts)):
            assert {key: list(v) if isinstance(v, tuple) else v for key, v in mine.items()} == {
                key: theirs[key] for key in mine
            }
            if not is_loop(play, path):
                assert mine.keys() == theirs.keys()


def is_loop(play: Play, path: str) -> bool:
    return any(note.path == path and note.kind == "LOOP" for note in play.notes)


@BUDGET
@given(pipelines(), SEEDS, WINDOWS)
def test_any_order_ends_as_the_interpreter_says(pipeline: Pipeline, seed: int, window: int) -> None:
    play = played(pipeline, seed, window).begin().to_end(random.Random(seed))
    assert_same(play, expected(pipeline, seed))
    assert max(Counter(play.started).values(), default=1) == 1


@BUDGET
@given(pipelines(), SEEDS, WINDOWS)
def test_a_crash_anywhere_changes_nothing(pipeline: Pipeline, seed: int, window: int) -> None:
    rng = random.Random(seed)
    play = played(pipeline, seed, window)
    first = play.machine.begin()
    play.take(first, lost=rng.randint(0, len(first)))
    play.crash()
    while play.pending:
        lost = rng.choice([0, 0, 1, 2, 100])
        path = rng.choice(sorted(play.pending))
        if not lost:
            play.finish(path)
            continue
        event = play.behave(path, play.inputs[path])
        play.pending.pop(path)
        play.rows[path] = Row(path, event.state, event.outputs, event.error)
        decisions = play.machine.handle(event)
        play.take(decisions, lost=min(lost, len(decisions)))
        play.crash()
    if play.end is None:
        play.crash()
    assert_same(play, expected(pipeline, seed))


@BUDGET
@given(pipelines(), SEEDS, WINDOWS, st.integers(0, 8), st.booleans())
def test_cancel_anywhere_ends(pipeline: Pipeline, seed: int, window: int, steps: int, crashes: bool) -> None:
    rng = random.Random(seed)
    play = played(pipeline, seed, window).begin()
    for _ in range(steps):
        if play.pending:
            play.finish(rng.choice(sorted(play.pending)))
    if play.machine.has_ended:
        return
    before = set(play.started)
    play.cancel()
    if crashes and not play.machine.has_ended:
        play.crash()
    play.to_end(rng)
    for path in set(play.started) - before:
        assert is_of_exit_task(pipeline, path), path
    assert all(row.state.is_final for row in play.rows.values())


def is_of_exit_task(pipeline: Pipeline, path: str) -> bool:
    """Tell whether a path is an exit task or inside of one."""
    component, parts = pipeline.root, path.split("/")[1:]
    for part in parts:
        assert component.dag is not None
        task = component.dag.tasks[part.split("[")[0]]
        follows = any(name.startswith("exit-handler-") for name in task.dependent_tasks)
        tells = any(source.task_final_status for source in task.inputs.parameters.values())
        if task.runs_after_failure and (follows or tells):
            return True
        component = pipeline.component_of(task)
    return False


@BUDGET
@given(pipelines(), SEEDS, WINDOWS)
def test_fail_fast_starts_less_and_fails_too(pipeline: Pipeline, seed: int, window: int) -> None:
    play = played(pipeline, seed, window, fail_fast=True).begin().to_end(random.Random(seed))
    wanted = expected(pipeline, seed)
    assert play.end is not None
    if wanted.rows[""].state is State.SUCCEEDED:
        assert_same(play, wanted)
    else:
        assert play.end.state in (State.FAILED, State.CANCELED)


@BUDGET
@given(pipelines(), SEEDS, WINDOWS, st.booleans())
def test_a_retry_ends_as_if_nothing_had_failed(pipeline: Pipeline, seed: int, window: int, fail_fast: bool) -> None:
    play = played(pipeline, seed, window, fail_fast=fail_fast).begin().to_end(random.Random(seed))
    assert play.end is not None
    if play.end.state is State.SUCCEEDED:
        return
    gone = stale(pipeline, list(play.rows.values()))
    assert len(gone) == len(set(gone))
    for path in gone:
        del play.rows[path]
    kept = {path for path, row in play.rows.items() if row.state.is_final}
    assert all(play.rows[path].state is State.SUCCEEDED or parent_of(path) not in gone for path in kept)
    play.started, play.behave = [], chaotic(seed, failing=0)
    play.options = Options(fail_fast=False, loop_window=window)
    play.crash()
    play.to_end(random.Random(seed + 1))
    assert not kept & set(play.started)
    again = Interpreter(pipeline, lambda path, inputs: chaotic(seed, failing=0)(path, inputs))
    again.run({})
    assert_same_states(play, again)


def assert_same_states(play: Play, wanted: Interpreter) -> None:
    assert play.states() == {path: str(row.state) for path, row in wanted.rows.items()}
