"""From the file that a user names to a package, by the real SDK."""

from pathlib import Path

import pytest

from beamhall.cli.packaging import NotCompiled, package_of
from beamhall.kernel.errors import BadRequest

ONE = """
from kfp import dsl


@dsl.component
def add(a: int, b: int) -> int:
    return a + b


@dsl.pipeline(name="inner")
def inner(x: int) -> int:
    return add(a=x, b=1).output


@dsl.pipeline(name="sums")
def sums(x: int = 2) -> int:
    return inner(x=add(a=x, b=3).output).output
"""
TWO = """

@dsl.pipeline(name="other")
def another():
    add(a=1, b=2)
"""


def written(directory: Path, text: str) -> Path:
    file = directory / "train.py"
    file.write_text(text)
    return file


def test_a_python_file_with_one_pipeline_that_others_are_part_of(tmp_path: Path) -> None:
    package = package_of(written(tmp_path, ONE))
    assert package.pipeline.name == "sums"
    assert list(package.pipeline.root.input_definitions.parameters) == ["x"]


def test_a_pipeline_is_chosen_by_its_name_or_that_of_its_function(tmp_path: Path) -> None:
    file = written(tmp_path, ONE + TWO)
    assert package_of(file, name="other").pipeline.name == "other"
    assert package_of(file, name="another").pipeline.name == "other"
    with pytest.raises(NotCompiled, match="has the pipelines another, sums: choose one with --pipeline"):
        package_of(file)
    with pytest.raises(NotCompiled, match="there is no pipeline 'absent'"):
        package_of(file, name="absent")


def test_a_component_alone_is_a_pipeline_too(tmp_path: Path) -> None:
    text = ONE[: ONE.index("@dsl.pipeline")]
    assert package_of(written(tmp_path, text)).pipeline.name == "add"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import absent_module", r"train.py, line 1: import absent_module: ModuleNotFoundError"),
        ("x = 1\ndef f(:", r"train.py, line 2: def f\(:: SyntaxError"),
        ("x = 1", "there is no function with @dsl.pipeline"),
        (ONE.replace("b=3)", "c=3)"), "train.py, line 17: return inner.*TypeError.*unexpected keyword"),
    ],
)
def test_errors_of_the_users_code_are_said_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(NotCompiled, match=said):
        package_of(written(tmp_path, text))


def test_a_package_is_read_and_checked_here(tmp_path: Path) -> None:
    package = package_of(written(tmp_path, ONE))
    file = tmp_path / "sums.yaml"
    file.write_bytes(package.content)
    assert package_of(file).documents == package.documents
    file.write_bytes(package.content.replace(b"comp-add", b"comp-absent", 1))
    with pytest.raises(BadRequest, match="comp-add"):
        package_of(file)


def test_without_caching_every_task_of_every_dag_runs(tmp_path: Path) -> None:
    sent = package_of(written(tmp_path, ONE)).as_sent(is_cached=False)
    assert isinstance(sent, dict)
    tasks = [
        task
        for component in (sent["root"], *sent["components"].values())
        for task in component.get("dag", {}).get("tasks", {}).values()
    ]
    assert len(tasks) == 3
    assert [task["cachingOptions"] for task in tasks] == [{}, {}, {}]
    assert sent["deploymentSpec"]
