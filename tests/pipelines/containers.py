"""Container components with every placeholder, containerised Python, code that comes along, environments."""

import json
from pathlib import Path
from typing import Optional

import kfp
import yaml
from kfp import dsl

from tests.pipelines.artifacts import pythonic, read
from tests.pipelines.cases import Ended, checks, component

IMAGE = "beamhall-tests/tools:1"
"""In the catalog of the service that the cases run on; its path has ``kfp_config.ini`` and ``tools.py``."""


@dsl.container_component
def show(
    text: str,
    number: int,
    ratio: float,
    flag: bool,
    items: list,
    fields: dict,
    data: dsl.Input[dsl.Dataset],
    made: dsl.Output[dsl.Model],
    told: dsl.OutputPath(str),
    size: dsl.OutputPath(int),
):
    write = 'mkdir -p "$(dirname "$2")" && printf %s "$1" > "$2" && printf 7 > "$3"'
    program = write + ' && made="$0" && shift 3 && printf "%s|" "$@" > "$made"'
    return dsl.ContainerSpec(
        image="python:3.11",
        command=["sh", "-c", program],
        args=[
            made.path, text, told, size, number, ratio, flag, items, fields, data.uri, data.path,
            data.metadata["letters"], made.uri, f"--text={text}/{number}", dsl.ConcatPlaceholder(["<", number, ">"]),
        ],
    )  # fmt: skip


@dsl.pipeline(name="placeholders")
def placeholders(text: str = "a 'b' \"c\" $HOME"):
    data = pythonic(text="hello")
    made = show(
        text=text, number=3, ratio=0.5, flag=True, items=[1, "x"], fields={"k": [1.0]}, data=data.output,
    )  # fmt: skip
    read(of=made.outputs["made"])


@checks(placeholders)
def _(run: Ended) -> None:
    text = "a 'b' \"c\" $HOME"
    uri = run.artifact("/pythonic", "Output")["uri"]
    made = run.artifact("/show", "made")["uri"]
    given = ["3", "0.5", "true", '[1,"x"]', '{"k":[1]}', uri, uri, "5", made, f"--text={text}/3", "<3>"]
    found = run.output("/read").split("|")[:-1]
    assert found == given
    assert run.outputs("/show") == {"told": text, "size": 7}


@dsl.container_component
def perhaps(told: dsl.OutputPath(list), name: Optional[str] = None, other: Optional[int] = None):
    program = "import json,os,sys; os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)"
    program += "; json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"
    with_mark = dsl.IfPresentPlaceholder("name", then=dsl.ConcatPlaceholder([name, "!"]), else_="-")
    return dsl.ContainerSpec(
        image="python:3.11",
        command=["python3", "-c", program, told],
        args=[
            "begin",
            dsl.IfPresentPlaceholder("name", then=["--name", name], else_=["--nameless"]),
            dsl.IfPresentPlaceholder("other", then=["--other", dsl.ConcatPlaceholder(["(", other, ")"])]),
            dsl.ConcatPlaceholder(["x=", with_mark]),
            "end",
        ],
    )  # fmt: skip


@dsl.pipeline(name="present-or-not")
def present_or_not(name: Optional[str] = None, other: Optional[int] = None):
    perhaps(name=name, other=other)
    perhaps()
    perhaps(name="", other=0)


@checks(present_or_not)
def _(run: Ended) -> None:
    nothing = ["begin", "--nameless", "x=-", "end"]
    assert run.output("/perhaps", "told") == run.output("/perhaps-2", "told") == nothing
    assert run.output("/perhaps-3", "told") == ["begin", "--name", "", "--other", "(0)", "x=!", "end"]


@checks(present_or_not, "SUCCEEDED", "present", name="n", other=4)
def _(run: Ended) -> None:
    assert run.output("/perhaps", "told") == ["begin", "--name", "n", "--other", "(4)", "x=n!", "end"]


@component
def known(
    name: str, job_id: str, resource: str, task: str, task_id: str, root: str, created: str, scheduled: str, whole: str
) -> dict:
    return dict(locals())


@dsl.pipeline(name="placeholders-of-the-job")
def placeholders_of_the_job():
    known(
        name=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        job_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        resource=dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER,
        task=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
        task_id=dsl.PIPELINE_TASK_ID_PLACEHOLDER,
        root=dsl.PIPELINE_ROOT_PLACEHOLDER,
        created=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
        scheduled=dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER,
        whole=f"<{dsl.PIPELINE_TASK_NAME_PLACEHOLDER}>",
    )


@checks(placeholders_of_the_job)
def _(run: Ended) -> None:
    found = run.output("/known")
    assert (found["job_id"], found["task"], found["whole"]) == (run.message["run_id"], "known", "<known>")
    assert found["name"] == "placeholders-of-the-job" or found["name"].startswith("placeholders-of-the-job-")
    assert found["task_id"] == run.tasks["/known"]["task_id"]
    assert found["root"].startswith("/")
    assert found["created"] == run.message["created_at"]
    assert found["scheduled"] == run.message["scheduled_at"]
    assert "placeholders-of-the-job" in found["resource"]


def shout(text: str) -> str:
    return text.upper() + "!"


@component(additional_funcs=[shout])
def uses_a_helper(text: str) -> str:
    return shout(text)


@component(embedded_artifact_path=str(Path(__file__).with_name("embedded")))
def reads_what_came_along(files: dsl.EmbeddedInput[dsl.Dataset]) -> str:
    import os

    return open(os.path.join(files.path, "words.txt")).read().strip()


@component(packages_to_install=["iniconfig==2.0.0"])
def uses_a_package() -> str:
    import importlib.metadata

    import iniconfig  # noqa: F401

    return importlib.metadata.version("iniconfig")


@component(use_venv=True, packages_to_install=["iniconfig==2.0.0"])
def uses_a_package_in_a_venv() -> str:
    import importlib.metadata

    return importlib.metadata.version("iniconfig")


@dsl.pipeline(name="code-that-comes-along")
def code_that_comes_along():
    uses_a_helper(text="hello")
    reads_what_came_along()
    uses_a_package()
    uses_a_package_in_a_venv()


@checks(code_that_comes_along)
def _(run: Ended) -> None:
    assert run.output("/uses-a-helper") == "HELLO!"
    assert run.output("/reads-what-came-along") == "came along"
    assert run.output("/uses-a-package") == run.output("/uses-a-package-in-a-venv") == "2.0.0"


@dsl.component(base_image=IMAGE, target_image=IMAGE)
def add_in_the_image(one: int, two: int) -> int:
    from tools import add

    return int(add(one, two))


@dsl.pipeline(name="containerised")
def containerised() -> int:
    return add_in_the_image(one=2, two=3).output


@checks(containerised)
def _(run: Ended) -> None:
    assert run.output() == 5


@dsl.container_component
def says_its_resources(told: dsl.OutputPath(str)):
    program = 'mkdir -p "$(dirname "$0")" && printf "%s %s" "$WORD" "$ULIMIT" > "$0"'
    return dsl.ContainerSpec(image="no-such-image-anywhere", command=["sh", "-c", program, told])


@dsl.pipeline(name="set-on-tasks")
def set_on_tasks(image: str = "python:3.11", cpu: str = "1", memory: str = "256Mi"):
    task = says_its_resources()
    task.set_container_image(image).set_cpu_limit(cpu).set_cpu_request("0.1").set_memory_limit(memory)
    task.set_memory_request("64Mi").set_env_variable("WORD", "set").set_display_name("Says what it has")


@checks(set_on_tasks)
def _(run: Ended) -> None:
    (path,) = [path for path in run.tasks if path]
    assert run.output(path, "told") == "set "
    assert run.tasks[path]["display_name"] == "Says what it has"


def prepare(data: Path, directory: Path) -> None:
    """Write down the code of the image, and the image in the catalog of a service.

    Args:
        data: Data directory of the service.
        directory: Where the code goes.
    """
    directory.mkdir(parents=True)
    (directory / "kfp_config.ini").write_text("[Components]\nadd_in_the_image = add.py\n")
    (directory / "tools.py").write_text("def add(one, two):\n    return one + two\n")
    source = [
        "from kfp import dsl\nfrom tools import add\n\n",
        f"@dsl.component(base_image={json.dumps(IMAGE)}, target_image={json.dumps(IMAGE)})",
        "def add_in_the_image(one: int, two: int) -> int:\n    return add(one, two)\n",
    ]
    (directory / "add.py").write_text("\n".join(source))
    images = {
        "environments": {"with-kfp": {"requirements": [f"kfp=={kfp.__version__}"]}},
        "images": [{"image": IMAGE, "environment": "with-kfp", "path": [str(directory)], "workdir": str(directory)}],
    }
    (data / "images.yaml").write_text(yaml.safe_dump(images))
