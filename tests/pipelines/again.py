"""Pipelines that are run more than once, or ended from outside."""

from kfp import dsl

from tests.pipelines.cases import component
from tests.pipelines.exits import hear


@component
def stamp(text: str) -> str:
    """Give what no second call gives."""
    import uuid

    return f"{text} {uuid.uuid4()}"


@component
def stamp_file(text: str, into: dsl.Output[dsl.Dataset]) -> str:
    import uuid

    with open(into.path, "w") as file:
        file.write(text)
    return str(uuid.uuid4())


@component
def stamp_of(data: dsl.Input[dsl.Dataset]) -> str:
    import uuid

    return f"{open(data.path).read()} {uuid.uuid4()}"


@dsl.pipeline(name="cached")
def cached(text: str):
    stamp(text=text)
    made = stamp_file(text=text)
    stamp_of(data=made.outputs["into"])
    stamp(text=text).set_caching_options(False)
    stamp(text=f"{text}").set_caching_options(True, cache_key="our own")


@dsl.pipeline(name="placed")
def placed() -> dsl.Dataset:
    return stamp_file(text="placed").outputs["into"]


@dsl.pipeline(name="imported-again")
def imported_again(place: str, reimport: str = "no"):
    first = dsl.importer(artifact_uri=place, artifact_class=dsl.Dataset, reimport=False, metadata={"k": "v"})
    anew = dsl.importer(artifact_uri=place, artifact_class=dsl.Dataset, reimport=True, metadata={"k": "v"})
    anew.after(first)  # of those that are known, the oldest is taken


@component
def sleep_for_ever(place: str):
    import time

    open(f"{place}/sleeping", "w").close()
    time.sleep(600)


@dsl.pipeline(name="ended-from-outside")
def ended_from_outside(place: str):
    with dsl.ExitHandler(hear(note="all the same")):
        sleeping = sleep_for_ever(place=place)
        stamp(text="never").after(sleeping)


@component
def fail():
    raise ValueError("gone soon")


@dsl.pipeline(name="gone-soon", pipeline_config=dsl.PipelineConfig(ttl_seconds_after_failure=1))
def gone_soon():
    fail()
