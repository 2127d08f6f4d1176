"""What a cluster gives to steps: secrets, volumes, claims, fields of Pods, limits, time, a workspace."""

import os
from typing import Any, Optional

import httpx2
from kfp import dsl, kubernetes

from tests.pipelines.branches import say
from tests.pipelines.cases import Ended, checks, component

SECRET, CONFIG = "test-secret", "test-config"


def prepare(http: httpx2.Client) -> None:
    """Make what the pipelines need, in namespace ``default``.

    Args:
        http: Speaks to the Kubernetes API of the service.
    """
    bodies: dict[str, Any] = {
        "secrets": {"metadata": {"name": SECRET}, "stringData": {"user": "anna", "password": "p w"}},
        "configmaps": {"metadata": {"name": CONFIG}, "data": {"colour": "red", "size": "3"}},
    }
    for plural, body in bodies.items():
        answer = http.post(f"/api/v1/namespaces/default/{plural}", json=body)
        assert answer.status_code == 201, answer.text


@component
def look(names: list, files: list) -> dict:
    import os

    found = {name: os.environ.get(name) for name in names}
    return {**found, **{file: open(file).read() if os.path.exists(file) else None for file in files}}


@dsl.pipeline(name="secrets-and-config")
def secrets_and_config(secret: str = SECRET, none: Optional[str] = None):
    task = look(
        names=["USER_NAME", "COLOUR", "GONE", "POD", "RUN", "NODE"],
        files=["/secrets/password", "/config/size", "/gone/x"],
    )
    kubernetes.use_secret_as_env(task, SECRET, {"user": "USER_NAME"})
    kubernetes.use_secret_as_volume(task, secret, "/secrets")
    kubernetes.use_config_map_as_env(task, CONFIG, {"colour": "COLOUR"})
    kubernetes.use_config_map_as_volume(task, CONFIG, "/config")
    kubernetes.use_secret_as_env(task, "no-such-secret", {"x": "GONE"}, optional=True)
    kubernetes.use_secret_as_volume(task, "no-such-secret", "/gone", optional=True)
    kubernetes.use_field_path_as_env(task, "POD", "metadata.name")
    kubernetes.use_field_path_as_env(task, "RUN", "metadata.labels['pipeline/runid']")
    kubernetes.use_field_path_as_env(task, "NODE", "spec.nodeName")
    named = look(names=["PASSWORD"], files=[])
    kubernetes.use_secret_as_env(named, say(text=SECRET).output, {"password": "PASSWORD"})
    without = look(names=["NOTHING"], files=[])
    kubernetes.use_secret_as_env(without, none, {"password": "NOTHING"}, optional=True)


@checks(secrets_and_config)
def _(run: Ended) -> None:
    found = run.output("/look")
    assert found.pop("NODE")
    assert found == {
        "USER_NAME": "anna", "COLOUR": "red", "GONE": None, "POD": run.tasks["/look"]["pods"][0]["name"],
        "RUN": run.message["run_id"], "/secrets/password": "p w", "/config/size": "3", "/gone/x": None,
    }  # fmt: skip
    assert run.output("/look-2") == {"PASSWORD": "p w"}
    assert run.output("/look-3") == {"NOTHING": None}


@component
def append(directory: str, text: str) -> str:
    import os

    os.makedirs(directory, exist_ok=True)
    with open(f"{directory}/text", "a+") as file:
        file.write(text)
        file.seek(0)
        return file.read()


@dsl.pipeline(name="claims")
def claims():
    made = kubernetes.CreatePVC(
        access_modes=["ReadWriteMany"], size="1Mi", pvc_name_suffix="-kept", storage_class_name=""
    )
    first = append(directory="/data", text="one ")
    kubernetes.mount_pvc(first, made.outputs["name"], "/data")
    second = append(directory="/other/place", text="two").after(first)
    kubernetes.mount_pvc(second, made.outputs["name"], "/other/place")
    below = append(directory="/sub", text="three").after(second)
    kubernetes.mount_pvc(below, made.outputs["name"], "/sub", sub_path="below")
    kubernetes.DeletePVC(pvc_name=made.outputs["name"]).after(below)


@checks(claims)
def _(run: Ended) -> None:
    assert [run.output(path) for path in ("/append", "/append-2", "/append-3")] == ["one ", "one two", "three"]
    name = run.output("/createpvc", "name")
    assert name.endswith("-kept")
    assert not run.tasks["/createpvc"].get("pods")
    url = str(run.http.base_url).split("/apis/")[0] + f"/k8s/api/v1/namespaces/default/persistentvolumeclaims/{name}"
    assert run.http.get(url).status_code == 404


@dsl.pipeline(
    name="workspace",
    pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Mi")),
)
def workspace() -> str:
    first = append(directory=dsl.WORKSPACE_PATH_PLACEHOLDER, text="one ")
    return append(directory=f"{dsl.WORKSPACE_PATH_PLACEHOLDER}", text="two").after(first).output


@checks(workspace)
def _(run: Ended) -> None:
    assert run.output() == "one two"


@component
def pod_of(names: list) -> dict:
    import os

    return {name: os.environ.get(name) for name in names}


@dsl.pipeline(name="pods-as-asked")
def pods_as_asked():
    task = pod_of(names=["LABEL", "ANNOTATION", "CPU", "SET", "PLAIN"])
    kubernetes.add_pod_label(task, "team", "vision")
    kubernetes.add_pod_annotation(task, "why", "a test")
    kubernetes.use_field_path_as_env(task, "LABEL", "metadata.labels['team']")
    kubernetes.use_field_path_as_env(task, "ANNOTATION", "metadata.annotations['why']")
    task.set_env_variable("SET", "a=b c")
    kubernetes.add_toleration(task, key="gpu", operator="Exists", effect="NoSchedule")
    kubernetes.add_node_selector(task, "kubernetes.io/os", "linux")
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    kubernetes.empty_dir_mount(task, "scratch", "/scratch")
    task.set_cpu_limit("500m").set_memory_limit("200M")


@checks(pods_as_asked)
def _(run: Ended) -> None:
    found = run.output("/pod-of")
    assert (found["LABEL"], found["ANNOTATION"], found["SET"]) == ("vision", "a test", "a=b c")


@component
def sleep(seconds: int):
    import time

    time.sleep(seconds)


@dsl.pipeline(name="step-in-time")
def step_in_time():
    kubernetes.set_timeout(sleep(seconds=300), 1)


@checks(step_in_time, "FAILED")
def _(run: Ended) -> None:
    assert "1 s" in run.error or "deadline" in run.error.lower(), run.error


@dsl.pipeline(name="run-in-time", pipeline_config=dsl.PipelineConfig(active_deadline_seconds=3))
def run_in_time():
    with dsl.ExitHandler(say(text="the end")):
        sleep(seconds=300)


@checks(run_in_time, "FAILED")
def _(run: Ended) -> None:
    assert "3 s" in run.error, run.error
    assert run.state("/say") == "SUCCEEDED"


@component
def eat(megabytes: int) -> int:
    return len(bytearray(megabytes * 2**20))


@dsl.pipeline(name="dynamic-resources")
def dynamic_resources(cpu: str = "0.3"):
    task = eat(megabytes=4)
    task.set_cpu_limit(cpu).set_memory_limit(say(text="256Mi").output)


@checks(dynamic_resources)
def _(run: Ended) -> None:
    assert run.output("/eat") == 4 * 2**20


@dsl.pipeline(name="missing-secret")
def missing_secret():
    task = look(names=["X"], files=[])
    kubernetes.use_secret_as_env(task, "no-such-secret", {"x": "X"})
    kubernetes.set_timeout(task, 6)


@checks(missing_secret, "FAILED")
def _(run: Ended) -> None:
    assert "no-such-secret" in run.error, run.error
    assert "after 6 s" in run.error


@dsl.component(
    base_image="python:3.11",
    task_config_passthroughs=[
        dsl.TaskConfigField.RESOURCES,
        dsl.TaskConfigField.KUBERNETES_NODE_SELECTOR,
        dsl.TaskConfigPassthrough(field=dsl.TaskConfigField.ENV, apply_to_task=True),
    ],
)
def told_config(unused: str, config: dsl.TaskConfig = None) -> dict:
    import os

    return {
        "resources": config.resources, "env": config.env, "node_selector": config.node_selector,
        "word": os.environ.get("WORD"),
    }  # fmt: skip


@dsl.pipeline(name="task-config")
def task_config():
    task = told_config(unused="x")
    task.set_cpu_limit("700m").set_env_variable("WORD", "set")
    kubernetes.add_node_selector(task, "kubernetes.io/os", "linux")


@checks(task_config)
def _(run: Ended) -> None:
    found = run.output("/told-config")
    assert found["resources"]["limits"]["cpu"] == "700m"
    assert found["node_selector"] == {"kubernetes.io/os": "linux"}
    assert {"name": "WORD", "value": "set"} in found["env"]
    assert found["word"] == "set"


@component
def write(text: str, data: dsl.Output[dsl.Dataset]):
    with open(data.path, "w") as file:
        file.write(text)


@component
def who_reads(data: dsl.Input[dsl.Dataset]) -> dict:
    import os

    return {"user": os.getuid(), "text": open(data.path).read()}


@dsl.pipeline(name="as-another-user")
def as_another_user() -> dict:
    written = write(text="by another")
    kubernetes.set_security_context(written, run_as_user=1234, run_as_group=2345, run_as_non_root=True)
    read = who_reads(data=written.outputs["data"])
    kubernetes.set_security_context(read, run_as_user=4321)
    return read.output


@checks(as_another_user)
def _(run: Ended) -> None:
    """A service that is not root's runs all as itself."""
    expected = 4321 if os.getuid() == 0 else os.getuid()
    assert run.output() == {"user": expected, "text": "by another"}
