"""What a case is: a pipeline, what it is given, and a check of the values that it ends with.

A module of cases defines a pipeline and then, with ``@checks(pipeline, argument=value)``, the function that is called
with the run when it has ended. All cases of all modules run at the same time, on one service.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx2
from kfp import dsl

component = partial(dsl.component, base_image="python:3.11")
"""As the SDK's decorator, with an image that it does not warn of."""

ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")


@dataclass(frozen=True)
class Ended:
    """A run that has ended, as the API tells of it.

    Attributes:
        http: Reaches the service.
        message: The run.
        tasks: Its tasks by path, as ``/for-loop-1[3]/train``; the root's is empty.
    """

    http: httpx2.Client
    message: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, Any]]

    @property
    def error(self) -> str:
        """Why it failed."""
        return str(self.message.get("error", {}).get("message", ""))

    def state(self, path: str) -> str:
        """Give the state of a task; empty: it never was."""
        return str(self.tasks.get(path, {}).get("state", ""))

    def states(self, *paths: str) -> Sequence[str]:
        """Give the states of tasks."""
        return [self.state(path) for path in paths]

    def inputs(self, path: str) -> Mapping[str, Any]:
        """Give what parameters a task got."""
        return {each["name"]: each.get("value") for each in self.tasks[path].get("inputs", {}).get("parameters", ())}

    def outputs(self, path: str = "") -> Mapping[str, Any]:
        """Give the parameters that a task made; the pipeline's own, where none is named."""
        return {each["name"]: each.get("value") for each in self.tasks[path].get("outputs", {}).get("parameters", ())}

    def output(self, path: str = "", key: str = "Output") -> Any:
        """Give one parameter that a task made."""
        return self.outputs(path)[key]

    def all(self, end: str, key: str = "Output") -> Sequence[Any]:
        """Give an output of all tasks whose path ends so, in the order of their iterations."""
        found = sorted(path for path, task in self.tasks.items() if path.endswith(end) and task["state"] == "SUCCEEDED")
        return [self.output(path, key) for path in found]

    def artifacts(self, path: str, key: str, side: str = "outputs") -> Sequence[Mapping[str, Any]]:
        """Give the artifacts that a task made, or used, under a name."""
        found = self.tasks[path].get(side, {}).get("artifacts", ())
        return [each["value"] for each in found if each["parameter_name"] == key]

    def artifact(self, path: str, key: str, side: str = "outputs") -> Mapping[str, Any]:
        """Give the only artifact under a name, whole."""
        (found,) = self.artifacts(path, key, side)
        return self._get(f"/artifacts/{found['artifact_id']}")

    def content(self, path: str, key: str, within: str = "") -> str:
        """Give what is in the only artifact that a task made under a name."""
        key = self.artifact(path, key)["artifact_id"]
        answer = self.http.get(f"/artifacts/{key}:download", params={"path": within} if within else {})
        assert answer.status_code == 200, answer.text
        return answer.text

    def log(self, path: str) -> str:
        """Give what a step printed."""
        key = self.tasks[path]["task_id"]
        answer = self.http.get(f"/runs/{self.message['run_id']}/tasks/{key}/log")
        assert answer.status_code == 200, answer.text
        return answer.text

    def times(self, path: str) -> tuple[str, str]:
        """Give when a task began and ended."""
        return self.tasks[path]["start_time"], self.tasks[path]["end_time"]

    def _get(self, path: str) -> Mapping[str, Any]:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        found: Mapping[str, Any] = answer.json()
        return found


@dataclass(frozen=True)
class Case:
    """A pipeline and what must become of it.

    Attributes:
        name: Of the case; unique.
        pipeline: As the SDK's decorator gives it.
        arguments: What it is given; ``{shared}`` in a text is a directory of the case's own.
        state: How it must end.
        check: Called with the run.
        caching: Whether results of other runs may be used.
    """

    name: str
    pipeline: Any
    arguments: Mapping[str, Any]
    state: str
    check: Callable[[Ended], None] = field(compare=False)
    caching: bool = False


CASES: dict[str, Case] = {}
"""All cases, by name; importing a module of cases adds its own."""


def checks(
    pipeline: Any, state: str = "SUCCEEDED", name: str = "", /, **arguments: Any
) -> Callable[[Callable[[Ended], None]], Callable[[Ended], None]]:
    """Make a case of a pipeline, of the function that this decorates, and of what the pipeline is given."""

    def add(check: Callable[[Ended], None]) -> Callable[[Ended], None]:
        case = Case(name or pipeline.name, pipeline, arguments, state, check)
        assert case.name not in CASES, f"two cases are called {case.name}"
        CASES[case.name] = case
        return check

    return add
