"""Parameters of a run as users type them, ``-p lr=0.1`` or a file of them, become values of the declared types."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from beamhall.pipelines.spec.ir import Definitions, ParameterSpec, ParameterType
from beamhall.pipelines.spec.types import parsed, run_parameter_problems


def run_parameters(definitions: Definitions, texts: Iterable[str], file: Path | None) -> Mapping[str, Any]:
    """Give the parameters of a run.

    Args:
        definitions: The inputs of the pipeline.
        texts: ``NAME=VALUE`` each; the value of a string is taken as it is, others are JSON.
        file: YAML or JSON with more of them; what ``texts`` says wins.

    Raises:
        ClickException: One is of another form, is unknown, has another type, or is missing.
    """
    given = dict(_from_file(file)) if file else {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"-p {text}: write NAME=VALUE, such as -p lr=0.1")
        given[name] = _value(name, value, definitions.parameters.get(name))
    if problems := run_parameter_problems(definitions, given):
        known = ", ".join(_described(name, spec) for name, spec in definitions.parameters.items()) or "none"
        raise click.ClickException("; ".join(f"{each.message}" for each in problems) + f". The parameters are: {known}")
    return given


def _value(name: str, text: str, spec: ParameterSpec | None) -> Any:
    if spec is None or spec.parameter_type is ParameterType.STRING:
        return text
    try:
        return parsed(text, spec.parameter_type)
    except ValueError as err:
        raise click.ClickException(f"-p {name}={text}: {err}") from err


def _described(name: str, spec: ParameterSpec) -> str:
    return f"{name} ({spec.parameter_type}{'' if spec.is_required else ', optional'})"


def _from_file(file: Path) -> Mapping[str, Any]:
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise click.ClickException(f"{file} is neither YAML nor JSON: {err}") from err
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise click.ClickException(f"{file} must hold parameters as NAME: VALUE")
    return content
