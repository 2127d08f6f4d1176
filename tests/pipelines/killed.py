"""Pipelines for a service that is killed: every step writes down that it ran, and how often."""

from typing import Any, List

from kfp import dsl

from tests.pipelines.cases import component


@component
def step(place: str, name: str, fails: int = 0, pause_s: float = 0.1) -> str:
    """Write down that this began, and that it ended; fail so many times before that."""
    import os
    import time

    def write(word: str) -> int:
        with open(os.path.join(place, name), "a+") as file:
            file.write(f"{word}\n")
            file.seek(0)
            return file.read().count("begin")

    tries = write("begin")
    time.sleep(pause_s)
    assert tries > fails, f"{name} fails"
    write("end")
    return name


@component
def stamp() -> str:
    """Give what no second call gives."""
    import uuid

    return str(uuid.uuid4())


@component
def write(text: str, into: dsl.Output[dsl.Dataset]):
    with open(into.path, "w") as file:
        file.write(text)


@component
def join(parts: dsl.Input[List[dsl.Dataset]]) -> str:
    return "+".join(open(part.path).read() for part in parts)


@component
def hear(place: str, status: dsl.PipelineTaskFinalStatus) -> str:
    with open(f"{place}/hear", "a") as file:
        file.write("begin\nend\n")
    return str(status.state)


def _step(place: str, name: str, **more: Any) -> Any:
    return step(place=place, name=name, **more).set_caching_options(False)


@dsl.pipeline(name="parts")
def parts(place: str) -> List[dsl.Dataset]:
    with dsl.ParallelFor([0, 1, 2, 3], parallelism=3) as number:
        each = _step(place, f"each-{number}")
        with dsl.If(number > 0):
            made = write(text=each.output).set_caching_options(False)
        with dsl.If(number == 3):
            _step(place, "three")
    return dsl.Collected(made.outputs["into"])


@dsl.pipeline(name="killed")
def killed(place: str) -> str:
    """Ends as failed, always in the same way: what fails comes last."""
    kept = stamp()
    first = _step(place, "first")
    again = _step(place, "again", fails=2).set_retry(3, backoff_duration="0s").after(first)
    found = parts(place=place).after(first)
    joined = join(parts=found.output).set_caching_options(False)
    last = _step(place, "last").after(joined, again, kept)
    with dsl.ExitHandler(hear(place=place).set_caching_options(False)):
        inside = _step(place, "inside").after(last)
        _step(place, "fails", fails=9).set_retry(1, backoff_duration="0s").after(inside)
    return joined.output
