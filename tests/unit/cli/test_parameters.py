"""Parameters of a run as users type them."""

from pathlib import Path

import click
import pytest

from beamhall.cli.parameters import run_parameters
from beamhall.pipelines.spec.ir import Definitions, ParameterSpec, ParameterType

DEFINITIONS = Definitions(
    parameters={
        "lr": ParameterSpec(parameter_type=ParameterType.NUMBER_DOUBLE),
        "epochs": ParameterSpec(parameter_type=ParameterType.NUMBER_INTEGER, default_value=3),
        "name": ParameterSpec(parameter_type=ParameterType.STRING, default_value=""),
        "sizes": ParameterSpec(parameter_type=ParameterType.LIST, is_optional=True),
        "fast": ParameterSpec(parameter_type=ParameterType.BOOLEAN, default_value=False),
    }
)


def test_values_get_the_declared_types() -> None:
    texts = ("lr=0.1", "epochs=5", "name=1=2", "sizes=[1, 2]", "fast=true")
    given = run_parameters(DEFINITIONS, texts, None)
    assert given == {"lr": 0.1, "epochs": 5, "name": "1=2", "sizes": [1, 2], "fast": True}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ((), "lr is not optional"),
        (("lr",), "write NAME=VALUE"),
        (("lr=fast",), "-p lr=fast: must be"),
        (("lr=1", "epochs=1.5"), "-p epochs=1.5: must be"),
        (("lr=1", "epoch=1"), r"not required by pipeline: epoch .*epochs \(NUMBER_INTEGER, optional\)"),
    ],
)
def test_what_does_not_fit_is_said_with_what_would(texts: tuple[str, ...], said: str) -> None:
    with pytest.raises(click.ClickException, match=said):
        run_parameters(DEFINITIONS, texts, None)


def test_a_file_of_parameters_gives_way_to_those_that_are_typed(tmp_path: Path) -> None:
    file = tmp_path / "tonight.yaml"
    file.write_text("lr: 0.5\nsizes: [3]\n")
    assert run_parameters(DEFINITIONS, ("lr=2",), file) == {"lr": 2, "sizes": [3]}
    for content in ("[1, 2]", "lr: [", "1: 2"):
        file.write_text(content)
        with pytest.raises(click.ClickException, match=r"tonight\.yaml"):
            run_parameters(DEFINITIONS, (), file)
