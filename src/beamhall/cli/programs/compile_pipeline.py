"""Compiles the pipeline of a Python file by the ``kfp`` SDK of the Python that runs this.

Arguments: the file, the name of the pipeline (empty: the only one), where the package is written. Ends with 3 where the
user can mend what is wrong; the last line on standard error says what. Imports nothing of Beamhall.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MENDABLE = 3


class Unsuitable(Exception):
    """What is wrong with the file, in words."""


def load(file: Path) -> Any:
    """Import the file under its own name, so that its ``if __name__ == "__main__"`` does nothing."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise Unsuitable(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as err:
        raise Unsuitable(where(err, file)) from err
    return module


def where(error: BaseException, file: Path) -> str:
    """Say an error of the user's code with the line that it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    at = f", line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
    if isinstance(error, SyntaxError) and error.lineno:
        at = f", line {error.lineno}: {(error.text or '').strip()}"
    return f"{file}{at}: {type(error).__name__}: {error}"


def pipelines_of(module: Any) -> Mapping[str, Any]:
    """Give the pipelines that a module defines and does not use in others; without any, its components."""
    base = importlib.import_module("kfp.dsl.base_component").BaseComponent
    graph = importlib.import_module("kfp.dsl.graph_component").GraphComponent
    found = {name: value for name, value in vars(module).items() if isinstance(value, base)}
    graphs = {name: value for name, value in found.items() if isinstance(value, graph)}
    own = {
        name: value for name, value in graphs.items() if value.pipeline_func.__module__ == module.__name__
    } or graphs or found  # fmt: skip
    used = {part for value in own.values() for part in value.pipeline_spec.components}
    return {name: value for name, value in own.items() if f"comp-{value.name}" not in used} or own


def chosen(pipelines: Mapping[str, Any], wanted: str, file: Path) -> Any:
    """Choose by the name of the function or of the pipeline; without a name there must be one."""
    if wanted:
        pipelines = {name: value for name, value in pipelines.items() if wanted in (name, value.name)}
    if len(pipelines) == 1:
        return next(iter(pipelines.values()))
    if not pipelines:
        what = f"pipeline {wanted!r}" if wanted else "function with @dsl.pipeline"
        raise Unsuitable(f"there is no {what} in {file}")
    raise Unsuitable(f"{file} has the pipelines {', '.join(sorted(pipelines))}: choose one with --pipeline")


def main(file: Path, wanted: str, package: str) -> None:
    """Compile; see the module."""
    sys.path.insert(0, str(file.parent))
    pipeline = chosen(pipelines_of(load(file)), wanted, file)
    importlib.import_module("kfp.compiler").Compiler().compile(pipeline, package)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3])
    except Unsuitable as error:
        print(str(error).replace("\n", " "), file=sys.stderr)  # noqa: T201
        sys.exit(MENDABLE)
