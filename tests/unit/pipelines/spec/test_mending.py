"""What SDKs compile wrong about loops in other groups is mended; what is wrong otherwise stays wrong."""

from typing import Any

import pytest

from beamhall.pipelines.spec.checking import checked_pipeline
from beamhall.pipelines.spec.reading import BadSpecification
from tests.unit.pipelines.dags import leaf

X, Y = "pipelinechannel--xs-loop-item", "pipelinechannel--ys-loop-item"


def use(component: str, **parameters: Any) -> Any:
    given = {key.replace("__", "--").replace("_", "-"): source for key, source in parameters.items()}
    return {"componentRef": {"name": component}, "inputs": {"parameters": given}}


def looping(component: str, item: str, items: str, **parameters: Any) -> Any:
    made = use(component, **parameters)
    return {**made, "parameterIterator": {"items": {"inputParameter": items}, "itemInput": item}}


def group(tasks: Any, **inputs: str) -> Any:
    named = {key.replace("__", "--").replace("_", "-"): {"parameterType": kind} for key, kind in inputs.items()}
    return {"dag": {"tasks": tasks}, "inputDefinitions": {"parameters": named}}


def document(root: Any, **components: Any) -> Any:
    return {
        "pipelineInfo": {"name": "p"},
        "schemaVersion": "2.1.0",
        "deploymentSpec": {"executors": {"exec": {"container": {"image": "i"}}}},
        "components": {"leaf": leaf(), **components},
        "root": root,
    }


def given(name: str) -> Any:
    return {"componentInputParameter": name}


def nested() -> Any:
    """As kfp 2.17 compiles an f-string of the items of two nested loops over pipeline parameters."""
    text = {"runtimeValue": {"constant": f"{{{{$.inputs.parameters['{X}']}}}}{{{{$.inputs.parameters['{Y}']}}}}"}}
    task = use("leaf", pipelinechannel__xs_loop_item=given(X), pipelinechannel__ys_loop_item=given(Y), y=text)
    inner = looping("inner", Y, "pipelinechannel--ys", pipelinechannel__ys=given("pipelinechannel--ys"))
    lost = given("ys-loop-item")
    outer = looping(
        "outer", X, "pipelinechannel--xs", pipelinechannel__xs=given("xs"), pipelinechannel__ys_loop_item=lost
    )
    return document(
        group({"outer": outer}, xs="LIST", ys="LIST"),
        outer=group(
            {"inner": inner}, pipelinechannel__xs="LIST", pipelinechannel__xs_loop_item="NUMBER_INTEGER",
            pipelinechannel__ys_loop_item="STRING",
        ),
        inner=group({"task": task}, pipelinechannel__ys="LIST", pipelinechannel__ys_loop_item="STRING"),
    )  # fmt: skip


def test_what_a_loop_needs_is_handed_down_to_it() -> None:
    pipeline = checked_pipeline(nested())
    components = pipeline.spec.components
    assert pipeline.root.dag is not None
    outer = pipeline.root.dag.tasks["outer"].inputs.parameters
    assert {key: one.component_input_parameter for key, one in outer.items()} == {
        "pipelinechannel--xs": "xs", "pipelinechannel--ys": "ys",
    }  # fmt: skip
    declared = {name: list(components[name].input_definitions.parameters) for name in ("outer", "inner")}
    assert declared["outer"] == ["pipelinechannel--xs", X, "pipelinechannel--ys"]
    assert declared["inner"] == ["pipelinechannel--ys", Y, X]
    kinds = {str(components[name].input_definitions.parameters[X].parameter_type) for name in ("outer", "inner")}
    assert kinds == {"NUMBER_INTEGER"}
    inner = components["outer"].dag
    assert inner is not None
    assert inner.tasks["inner"].inputs.parameters[X].component_input_parameter == X


def test_what_nobody_has_is_handed_to_nobody() -> None:
    """As every kfp since 2.0 compiles a field of a loop's item where the loop is in another group."""
    item = "pipelinechannel--loop-item-param-4"
    field = {"componentInputParameter": "loop-item-param-4", "parameterExpressionSelector": 'parseJson(s)["b"]'}
    loop = {**use("body"), "parameterIterator": {"items": {"raw": '[{"b": "x"}]'}, "itemInput": item}}
    found = checked_pipeline(
        document(
            group({"group": use("group", pipelinechannel__loop_item_param_4_subvar_b=field)}),
            group=group({"loop": loop}, pipelinechannel__loop_item_param_4_subvar_b="STRING"),
            body=group({"task": use("leaf", y=given(item))}, pipelinechannel__loop_item_param_4="STRUCT"),
        )
    )
    assert found.root.dag is not None
    assert not found.root.dag.tasks["group"].inputs.parameters
    assert not found.spec.components["group"].input_definitions.parameters


def test_what_cannot_be_mended_is_told_as_it_was_written() -> None:
    broken = nested()
    del broken["root"]["inputDefinitions"]["parameters"]["ys"]
    with pytest.raises(BadSpecification, match="components\\['outer'\\] has no input parameter 'pipelinechannel--ys'"):
        checked_pipeline(broken)
    plain = document(group({"task": use("leaf", y=given("nobody"))}))
    with pytest.raises(BadSpecification, match="root has no input parameter 'nobody'"):
        checked_pipeline(plain)


def test_components_that_contain_each_other_are_refused_all_the_same() -> None:
    lost = {"pipelinechannel__x": given("pipelinechannel--x")}
    with pytest.raises(BadSpecification):
        checked_pipeline(
            document(
                group({"a": use("a")}),
                a=group({"b": use("b", **lost)}, pipelinechannel__other="STRING"),
                b=group({"a": use("a", **lost)}, pipelinechannel__x="STRING"),
            )
        )
