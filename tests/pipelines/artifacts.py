"""Artifacts: of every type, made in every way, named, moved, listed, imported."""

import json
from typing import Dict, List, NamedTuple

from kfp import dsl

from tests.pipelines.cases import Ended, checks, component


@component
def train(model: dsl.Output[dsl.Model], data: dsl.Output[dsl.Dataset], rate: float = 0.5):
    model.framework = "handmade"
    model.metadata["rate"] = rate
    model.metadata["shape"] = {"layers": [3, 2], "name": "é"}
    with open(model.path, "w") as file:
        file.write("weights")
    import os

    os.makedirs(data.path)
    for name in ("a.csv", "b.csv"):
        with open(os.path.join(data.path, name), "w") as file:
            file.write(f"of {name}")


@component
def use(model: dsl.Input[dsl.Model], data: dsl.Input[dsl.Dataset]) -> Dict:
    import os

    return {
        "framework": model.framework,
        "metadata": model.metadata,
        "weights": open(model.path).read(),
        "files": sorted(os.listdir(data.path)),
        "name": model.name,
        "is_there": os.path.exists(model.uri),
    }


@dsl.pipeline(name="trained")
def trained() -> NamedTuple("Made", [("model", dsl.Model), ("found", Dict)]):
    from collections import namedtuple

    made = train()
    used = use(model=made.outputs["model"], data=made.outputs["data"])
    return namedtuple("Made", "model found")(made.outputs["model"], used.output)


@checks(trained)
def _(run: Ended) -> None:
    metadata = {"framework": "handmade", "rate": 0.5, "shape": {"layers": [3, 2], "name": "é"}}
    found = run.output("", "found")
    assert (found["framework"], found["weights"], found["files"]) == ("handmade", "weights", ["a.csv", "b.csv"])
    assert {key: found["metadata"][key] for key in metadata} == metadata
    model = run.artifact("/train", "model")
    assert (model["type"], model["name"]) == ("Model", "model")
    assert {key: model["metadata"][key] for key in metadata} == metadata
    assert run.content("/train", "model") == "weights"
    assert run.content("/train", "data", "b.csv") == "of b.csv"
    assert run.artifacts("", "model")[0]["artifact_id"] == model["artifact_id"]
    assert run.artifacts("/use", "model", "inputs")[0]["artifact_id"] == model["artifact_id"]


@component
def report(
    metrics: dsl.Output[dsl.Metrics],
    classes: dsl.Output[dsl.ClassificationMetrics],
    page: dsl.Output[dsl.HTML],
    text: dsl.Output[dsl.Markdown],
):
    metrics.log_metric("accuracy", 0.75)
    metrics.log_metric("rows", 4)
    classes.log_roc_curve([0.0, 0.5, 1.0], [0.0, 0.75, 1.0], [0.9, 0.5, 0.1])
    classes.log_confusion_matrix(["cat", "dog"], [[3, 1], [0, 4]])
    with open(page.path, "w") as file:
        file.write("<b>bold</b>")
    with open(text.path, "w") as file:
        file.write("# title")


@dsl.pipeline(name="reported")
def reported():
    report()


@checks(reported)
def _(run: Ended) -> None:
    numbers = {each["name"]: each for each in run.tasks["/report"]["outputs"]["artifacts"][0:0]}
    metrics = run.artifacts("/report", "metrics")
    values = run.http.get("/artifact_tasks", params={"task_ids": run.tasks["/report"]["task_id"], "page_size": 100})
    for link in values.json()["artifact_tasks"]:
        found = run.http.get(f"/artifacts/{link['artifact_id']}").json()
        numbers[found["name"]] = found
    assert (numbers["accuracy"]["number_value"], numbers["rows"]["number_value"]) == (0.75, 4)
    assert "uri" not in numbers["accuracy"]
    assert metrics
    classes = run.artifact("/report", "classes")
    assert classes["type"] == "ClassificationMetric"
    matrix = classes["metadata"]["confusionMatrix"]
    assert [each["displayName"] for each in matrix["annotationSpecs"]] == ["cat", "dog"]
    assert [row["row"] for row in matrix["rows"]] == [[3, 1], [0, 4]]
    curve = classes["metadata"]["confidenceMetrics"]
    assert [each["recall"] for each in curve] == [0, 0.75, 1]
    assert run.content("/report", "page") == "<b>bold</b>"
    assert run.content("/report", "text") == "# title"


@component
def pythonic(text: str) -> dsl.Dataset:
    made = dsl.Dataset(uri=dsl.get_uri("words"), metadata={"letters": len(text)})
    with open(made.path, "w") as file:
        file.write(text)
    return made


@component
def pythonic_many() -> NamedTuple("Made", [("words", dsl.Dataset), ("model", dsl.Model), ("n", int)]):
    from collections import namedtuple

    words = dsl.Dataset(uri=dsl.get_uri("w"))
    model = dsl.Model(uri=dsl.get_uri("m"), metadata={"deep": True})
    for made in (words, model):
        with open(made.path, "w") as file:
            file.write(made.schema_title)
    return namedtuple("Made", "words model n")(words, model, 3)


@component
def read(of: dsl.Input[dsl.Artifact]) -> str:
    return open(of.path).read()


@dsl.pipeline(name="pythonic-artifacts")
def pythonic_artifacts():
    read(of=pythonic(text="hello").output)
    many = pythonic_many()
    read(of=many.outputs["model"])


@checks(pythonic_artifacts)
def _(run: Ended) -> None:
    assert run.outputs("/read") == {"Output": "hello"}
    assert run.output("/read-2") == "system.Model"
    assert run.artifact("/pythonic", "Output")["metadata"]["letters"] == 5
    assert run.output("/pythonic-many", "n") == 3
    assert run.content("/pythonic-many", "words") == "system.Dataset"


@component
def elsewhere(place: str, made: dsl.Output[dsl.Dataset], model: dsl.Output[dsl.Model]):
    made.custom_path = f"{place}/made.txt"
    with open(made.custom_path, "w") as file:
        file.write("kept")
    model.path = dsl.get_uri("model.bin")
    with open(model.path, "w") as file:
        file.write("weights")


@dsl.pipeline(name="other-paths")
def other_paths(place: str):
    made = elsewhere(place=place)
    read(of=made.outputs["made"])
    read(of=made.outputs["model"])


@checks(other_paths, place="{shared}")
def _(run: Ended) -> None:
    assert (run.output("/read"), run.output("/read-2")) == ("kept", "weights")
    assert run.content("/elsewhere", "made") == "kept"
    assert run.artifact("/elsewhere", "model")["uri"].endswith("/elsewhere/0/model.bin")


@component
def join(parts: dsl.Input[List[dsl.Dataset]]) -> str:
    return "+".join(open(part.path).read() for part in parts)


@dsl.pipeline(name="lists-of-artifacts")
def lists_of_artifacts(words: List[str] = ["a", "b", "c"]) -> str:
    with dsl.ParallelFor(words) as word:
        made = pythonic(text=word)
    return join(parts=dsl.Collected(made.output)).output


@checks(lists_of_artifacts)
def _(run: Ended) -> None:
    assert run.output() == "a+b+c"
    assert len(run.artifacts("/join", "parts", "inputs")) == 3


@dsl.pipeline(name="passes-artifacts")
def passes_artifacts(data: dsl.Input[dsl.Dataset]) -> dsl.Dataset:
    read(of=data)
    return pythonic(text=read(of=data).output).output


@dsl.pipeline(name="artifacts-through-pipelines")
def artifacts_through_pipelines() -> str:
    inside = passes_artifacts(data=pythonic(text="deep").output)
    return read(of=passes_artifacts(data=inside.output).output).output


@checks(artifacts_through_pipelines)
def _(run: Ended) -> None:
    assert run.output() == "deep"


@component
def optional_artifact(data: dsl.Input[dsl.Dataset] = None) -> str:
    return "nothing" if data is None else open(data.path).read()


@dsl.pipeline(name="optional-artifacts")
def optional_artifacts(data: dsl.Input[dsl.Dataset] = None):
    optional_artifact()
    optional_artifact(data=data)


@dsl.pipeline(name="with-optional-artifacts")
def with_optional_artifacts():
    optional_artifacts()
    optional_artifacts(data=pythonic(text="given").output)


@checks(with_optional_artifacts)
def _(run: Ended) -> None:
    assert run.output("/optional-artifacts/optional-artifact-2") == "nothing"
    assert run.output("/optional-artifacts-2/optional-artifact-2") == "given"


@component
def place_of(data: dsl.Input[dsl.Dataset]) -> str:
    return data.uri


@component
def describe(data: dsl.Input[dsl.Dataset]) -> dict:
    return {"uri": data.uri, "metadata": data.metadata, "text": open(data.path).read()}


@dsl.pipeline(name="imported")
def imported(text: str = "once"):
    made = pythonic(text=text)
    place = place_of(data=made.output).output
    again = dsl.importer(
        artifact_uri=place, artifact_class=dsl.Dataset, reimport=False,
        metadata={"origin": place, "fixed": {"n": 1}, "list": [1, "two"]},
    )  # fmt: skip
    describe(data=again.output)


@checks(imported)
def _(run: Ended) -> None:
    place = run.output("/place-of")
    found = run.output("/describe")
    assert (found["uri"], found["text"]) == (place, "once")
    expected = {"origin": place, "fixed": {"n": 1}, "list": [1, "two"]}
    assert {key: found["metadata"][key] for key in expected} == expected
    assert json.loads(json.dumps(run.artifact("/importer", "artifact")))["uri"] == place


@component
def places(texts: List[str]) -> List[str]:
    import os

    made = []
    for n, text in enumerate(texts):
        uri = dsl.get_uri(f"part-{n}")
        os.makedirs(os.path.dirname(uri), exist_ok=True)
        with open(uri, "w") as file:
            file.write(text)
        made.append(uri)
    return made


@dsl.pipeline(name="imported-in-a-loop")
def imported_in_a_loop(texts: List[str] = ["x", "y"]):
    with dsl.ParallelFor(places(texts=texts).output) as place:
        each = dsl.importer(artifact_uri=place, artifact_class=dsl.Dataset, reimport=True)
        read(of=each.output)


@checks(imported_in_a_loop)
def _(run: Ended) -> None:
    assert run.all("/read") == ["x", "y"]
