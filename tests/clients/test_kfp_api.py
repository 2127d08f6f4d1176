"""The KFP API as Kubeflow's own clients use it: ``kfp.Client``, the ``kfp`` command and ``PipelinesClient``.

Most steps have an image that there is none of, so that nothing is run; what becomes of runs is told elsewhere.
"""

import datetime
import json
import os
import signal
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.service import ServiceProcess, wait_for

kfp = pytest.importorskip("kfp")

import kfp_server_api  # noqa: E402
from kfp import dsl  # noqa: E402
from kfp.compiler import Compiler  # noqa: E402
from kfp.kubeflow_client.api.pipelines_client import PipelinesClient  # noqa: E402
from kfp.kubeflow_client.backends.kubernetes import KubernetesBackendConfig  # noqa: E402

GOING_ON = {"PENDING", "RUNNING", "FAILED"}
ENDING = {"CANCELING", "CANCELED", "FAILED"}


def _show(text: str):
    return dsl.ContainerSpec(image="no-such-image", command=["echo"], args=[text])


show = dsl.container_component(_show)


def _hello(text: str = "hello", count: int = 1):
    show(text=text)


hello = dsl.pipeline(name="hello")(_hello)


def _run(script: str):
    return dsl.ContainerSpec(image="python:3.11", command=["sh", "-c"], args=[script])


run = dsl.container_component(_run)


def _two_steps(script: str):
    first = run(script="echo first")
    run(script=script).after(first)


two_steps = dsl.pipeline(name="two-steps")(_two_steps)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service for all tests of this module."""
    service = ServiceProcess(tmp_path_factory.mktemp("kfp") / "data", "--stop-pods")
    service.data.mkdir()
    service.start()
    yield service
    service.stop()
    for pid in service.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients keep a context below the home directory; nothing is there of whoever runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))


@pytest.fixture
def client(served: ServiceProcess) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return kfp.Client(host=served.url, existing_token=served.token)


@pytest.fixture
def package(tmp_path: Path) -> str:
    """A compiled pipeline."""
    path = str(tmp_path / "hello.yaml")
    Compiler().compile(hello, path)
    return path


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return str(request.node.name).replace("_", "-").removeprefix("test-")[:60]


def refused(call: Callable[[], Any]) -> tuple[int, str]:
    """Give the status and the message that a call is refused with."""
    with pytest.raises(kfp_server_api.ApiException) as caught:
        call()
    found = json.loads(caught.value.body)
    return caught.value.status, found.get("message") or found["error_message"]


def test_tags(client: Any, package: str, name: str) -> None:
    tags = {"team": "vision"}
    uploads = kfp_server_api.PipelineUploadServiceApi(client.pipelines.api_client)
    made = uploads.upload_pipeline(package, name=name, tags=json.dumps(tags))
    assert made.tags == tags
    assert [each.pipeline_id for each in client.list_pipelines(filter=equals("tags.team", "vision")).pipelines] == [
        made.pipeline_id
    ]
    (version,) = client.list_pipeline_versions(made.pipeline_id).pipeline_versions
    for tags in ({"stage": "test"}, {}):
        body = kfp_server_api.V2beta1PipelineVersion(tags=tags)
        changed = client.pipelines.pipeline_service_update_pipeline_version(
            made.pipeline_id, version.pipeline_version_id, body
        )
        assert (changed.tags or {}, changed.display_name) == (tags, name)


def equals(key: str, value: str) -> str:
    return json.dumps({"predicates": [{"operation": 1, "key": key, "stringValue": value}]})


def test_health(client: Any) -> None:
    assert client.get_kfp_healthz().multi_user is None


def test_experiments(client: Any, name: str) -> None:
    made = client.create_experiment(name, description="what for")
    key = made.experiment_id
    assert (made.display_name, made.description, made.storage_state) == (name, "what for", "AVAILABLE")
    assert isinstance(made.created_at, datetime.datetime)
    assert client.create_experiment(name).experiment_id == key
    assert client.get_experiment(experiment_name=name).experiment_id == key
    assert client.get_experiment(experiment_id=key).display_name == name
    listed = client.list_experiments(filter=equals("display_name", name), sort_by="created_at desc", page_size=5)
    assert ([each.experiment_id for each in listed.experiments], listed.total_size) == ([key], 1)
    client.archive_experiment(key)
    assert client.get_experiment(experiment_id=key).storage_state == "ARCHIVED"
    client.unarchive_experiment(key)
    assert client.get_experiment(experiment_id=key).storage_state == "AVAILABLE"
    client.delete_experiment(key)
    assert refused(lambda: client.get_experiment(experiment_id=key))[0] == 404


def test_pipelines_and_versions(client: Any, package: str, name: str) -> None:
    made = client.upload_pipeline(package, pipeline_name=name, description="what for")
    key = made.pipeline_id
    assert (made.name, made.display_name, made.description) == (name, name, "what for")
    assert client.get_pipeline_id(name) == key
    assert client.get_pipeline_id("nothing of this name") is None
    assert client.get_pipeline(key).display_name == name
    (first,) = client.list_pipeline_versions(key).pipeline_versions
    assert first.display_name == name
    second = client.upload_pipeline_version(package, pipeline_version_name="second", pipeline_id=key)
    assert second.pipeline_spec["pipelineInfo"] == {"name": "hello"}
    third = client.upload_pipeline_version_from_pipeline_func(hello, pipeline_version_name="third", pipeline_name=name)
    assert client.get_pipeline_version(key, third.pipeline_version_id).display_name == "third"
    newest = client.list_pipeline_versions(key, sort_by="created_at desc", page_size=2)
    assert [each.display_name for each in newest.pipeline_versions] == ["third", "second"]
    rest = client.list_pipeline_versions(key, page_token=newest.next_page_token)
    assert [each.display_name for each in rest.pipeline_versions] == [name]
    status, message = refused(lambda: client.upload_pipeline(package, pipeline_name=name))
    assert (status, message[:26]) == (409, "Failed to upload pipeline:")
    assert refused(lambda: client.upload_pipeline_version(package, "second", pipeline_id=key))[0] == 409
    assert key in [each.pipeline_id for each in client.list_pipelines(page_size=100).pipelines]
    status, message = refused(lambda: client.delete_pipeline(key))
    assert (status, "has 3 versions" in message) == (400, True)
    for version in (first, second, third):
        client.delete_pipeline_version(key, version.pipeline_version_id)
    client.delete_pipeline(key)
    assert refused(lambda: client.get_pipeline(key))[0] == 404


@pytest.mark.parametrize("ending", [".zip", ".tar.gz", ".tgz", ".yml", ".json"])
def test_packages_of_every_format(client: Any, package: str, name: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"package{ending}"
    if ending == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(package, "pipeline.yaml")
    elif ending == ".json":
        path.write_text(json.dumps(yaml.safe_load(Path(package).read_text())))
    elif ending == ".yml":
        path.write_bytes(Path(package).read_bytes())
    else:
        with tarfile.open(path, "w:gz") as tar:
            tar.add(package, "pipeline.yaml")
    made = client.upload_pipeline(str(path), pipeline_name=name)
    (version,) = client.list_pipeline_versions(made.pipeline_id).pipeline_versions
    assert version.pipeline_spec["pipelineInfo"] == {"name": "hello"}


def test_runs_of_packages(client: Any, package: str, name: str, served: ServiceProcess) -> None:
    root = str(served.data / "artifacts" / "mine")
    made = client.create_run_from_pipeline_package(
        package, arguments={"text": "hi"}, experiment_name=name, enable_caching=False, pipeline_root=root,
        service_account="robot",
    )  # fmt: skip
    run = client.get_run(made.run_id)
    assert run.display_name.startswith("hello.yaml ")
    assert (run.runtime_config.parameters, run.runtime_config.pipeline_root) == ({"text": "hi"}, root)
    assert (run.service_account, run.state in GOING_ON) == ("robot", True)
    assert run.pipeline_spec["root"]["dag"]["tasks"]["show"]["cachingOptions"] == {}
    assert run.state_history[0].state == "PENDING"
    assert isinstance(run.created_at, datetime.datetime)
    other = client.create_run_from_pipeline_func(hello, arguments={}, run_name=name)
    assert client.get_experiment(experiment_id=client.get_run(other.run_id).experiment_id).display_name == "Default"
    listed = client.list_runs(experiment_id=run.experiment_id)
    assert [each.run_id for each in listed.runs] == [made.run_id]
    listed = client.list_runs(filter=equals("display_name", name), sort_by="created_at desc")
    assert [each.run_id for each in listed.runs] == [other.run_id]


def test_runs_of_versions(client: Any, package: str, name: str) -> None:
    pipeline = client.upload_pipeline(package, pipeline_name=name)
    version = client.upload_pipeline_version(package, "second", pipeline_id=pipeline.pipeline_id)
    experiment = client.create_experiment(name)
    run = client.run_pipeline(
        experiment.experiment_id, name, pipeline_id=pipeline.pipeline_id, version_id=version.pipeline_version_id,
        params={"count": 3},
    )  # fmt: skip
    reference = client.get_run(run.run_id).pipeline_version_reference
    assert (reference.pipeline_id, reference.pipeline_version_id) == (pipeline.pipeline_id, version.pipeline_version_id)
    newest = kfp_server_api.V2beta1PipelineVersionReference(pipeline_id=pipeline.pipeline_id)
    body = kfp_server_api.V2beta1Run(display_name="newest", pipeline_version_reference=newest)
    made = client.runs.run_service_create_run(body)
    assert made.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id


def test_what_is_done_to_a_run(client: Any, package: str, name: str) -> None:
    experiment = client.create_experiment(name)
    key = client.create_run_from_pipeline_package(package, experiment_id=experiment.experiment_id).run_id
    client.archive_run(key)
    assert client.get_run(key).storage_state == "ARCHIVED"
    client.archive_experiment(experiment.experiment_id)
    assert refused(lambda: client.unarchive_run(key))[0] == 400
    client.unarchive_experiment(experiment.experiment_id)
    client.unarchive_run(key)
    assert client.get_run(key).storage_state == "AVAILABLE"
    client.terminate_run(key)
    assert client.get_run(key).state in ENDING
    status, message = refused(lambda: client.terminate_run(key))
    assert (status, "cannot be terminated: it is" in message) == (400, True)
    client.delete_run(key)
    assert refused(lambda: client.get_run(key))[0] == 404
    assert refused(lambda: client.runs.run_service_retry_run(key))[0] == 404


def test_a_failed_run_is_tried_again_and_a_long_one_is_ended(client: Any, name: str, tmp_path: Path) -> None:
    def start(script: str) -> str:
        arguments = {"script": script}
        made = client.create_run_from_pipeline_func(two_steps, arguments, run_name=name, enable_caching=False)
        return str(made.run_id)

    def ended(key: str) -> Any:
        found = client.wait_for_run_completion(key, timeout=100, sleep_duration=0.2)
        details = found.run_details.task_details
        assert sorted(each.display_name for each in details) == ["root", "run", "run-2"]
        return found, {each.display_name: each for each in details}

    marker = tmp_path / "marker"
    key = start(f"test -e {marker}")
    failed, tasks = ended(key)
    assert (failed.state, tasks["run"].state, tasks["run-2"].state) == ("FAILED", "SUCCEEDED", "FAILED")
    assert "run-2" in failed.error.message
    assert tasks["run"].parent_task_id == tasks["root"].task_id
    marker.touch()
    client.runs.run_service_retry_run(key)
    assert client.get_run(key).state != "FAILED"
    again, tasks_again = ended(key)
    assert (again.state, again.error) == ("SUCCEEDED", None)
    assert tasks_again["run"].pod_name == tasks["run"].pod_name  # what succeeded was kept
    assert tasks_again["run-2"].pod_name != tasks["run-2"].pod_name
    key = start("sleep 300")
    wait_for("the first step", lambda: client.get_run(key).state == "RUNNING")
    client.terminate_run(key)
    assert ended(key)[0].state == "FAILED"  # what clients of 2.17 take for an end


def test_recurring_runs(client: Any, package: str, name: str) -> None:
    experiment = client.create_experiment(name)
    made = client.create_recurring_run(
        experiment.experiment_id, name, cron_expression="0 0 4 * * *", pipeline_package_path=package, enabled=False,
        params={"text": "nightly"},
    )  # fmt: skip
    key = made.recurring_run_id
    assert (made.status, made.trigger.cron_schedule.cron) == ("DISABLED", "0 0 4 * * *")
    client.enable_recurring_run(key)
    assert client.get_recurring_run(key).status == "ENABLED"
    listed = client.list_recurring_runs(experiment_id=experiment.experiment_id)
    assert [each.recurring_run_id for each in listed.recurring_runs] == [key]
    client.disable_recurring_run(key)
    client.delete_recurring_run(key)
    assert refused(lambda: client.get_recurring_run(key))[0] == 404


def test_what_is_wrong_is_told(client: Any, package: str, name: str, tmp_path: Path) -> None:
    for arguments, part in (
        ({"count": "many"}, "input parameter count requires type double or integer"),
        ({"colour": "red"}, "not required by pipeline: colour"),
    ):
        status, message = refused(partial(client.create_run_from_pipeline_package, package, arguments, run_name=name))
        assert (status, part in message) == (400, True), message
    large = tmp_path / "large.yaml"
    large.write_bytes(b"# " + b"x" * 40 * 2**20)
    status, message = refused(lambda: client.upload_pipeline(str(large), pipeline_name=name))
    assert (status, message) == (413, "Failed to upload pipeline: the file is larger than 32 MiB")
    assert client.get_pipeline_id(name) is None
    old = tmp_path / "old.yaml"
    old.write_text(Path(package).read_text().replace("schemaVersion: 2.1.0", "schemaVersion: 2.0.0"))
    status, message = refused(lambda: client.upload_pipeline(str(old), pipeline_name=name))
    assert (status, "schemaVersion: must be 2.1.0" in message) == (400, True)


def test_without_a_token_nothing_is_served(served: ServiceProcess) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        stranger = kfp.Client(host=served.url, existing_token="wrong", namespace="default")
    with pytest.raises(kfp_server_api.ApiException) as caught:
        stranger.list_runs()
    assert caught.value.status == 401


def test_the_dashboards_prefix(served: ServiceProcess, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        client = kfp.Client(host=f"{served.url}/pipeline", existing_token=served.token)
    assert client.create_experiment(name).display_name == name


def test_a_kubeconfig_is_enough(served: ServiceProcess, name: str) -> None:
    program = f"import kfp; print(kfp.Client().create_experiment({name!r}).display_name)"
    environment = {**os.environ, "KUBECONFIG": str(served.kubeconfig)}  # the libraries look when they are loaded
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.split()[-1:] == [name], done.stderr


@pytest.fixture
def pipelines(served: ServiceProcess) -> PipelinesClient:
    return PipelinesClient(
        KubernetesBackendConfig(base_url=served.url, user_token=served.token, namespace="default")
    )  # fmt: skip


def test_the_client_of_names(pipelines: PipelinesClient, package: str, name: str) -> None:
    first = pipelines.upload_pipeline(hello, name=name, version="first", description="what for")
    assert pipelines.get_pipeline_version(name, "first").pipeline_version_id == first.pipeline_version_id
    pipelines.upload_pipeline(package, name=name, version="second")
    assert len(pipelines.list_pipeline_versions(name).pipeline_versions) == 2
    assert pipelines.get_pipeline(name).pipeline_id == first.pipeline_id
    pipelines.create_experiment(name)
    assert pipelines.create_experiment(name).experiment_id == pipelines.get_experiment(name).experiment_id
    runs = [
        pipelines.run(name, params={"text": "hi"}, experiment=name),
        pipelines.run(name, version="first", name="named"),
        pipelines.run(package),
        pipelines.run(hello, experiment=name),
        pipelines.run(first),
    ]
    second = pipelines.get_pipeline_version(name, "second").pipeline_version_id
    assert runs[0].pipeline_version_reference.pipeline_version_id == second
    assert runs[1].pipeline_version_reference.pipeline_version_id == first.pipeline_version_id
    assert pipelines.get_run(runs[1].run_id).display_name == "named"
    found = pipelines.list_runs(pipeline=name, experiment=name).runs
    assert [each.run_id for each in found] == [runs[0].run_id]
    assert not pipelines.list_runs(status="succeeded", experiment=name).runs
    with pytest.raises(ValueError, match="multiple versions"):
        pipelines.delete_pipeline(name)
    pipelines.delete_pipeline(name, version="second")
    pipelines.delete_pipeline(name, force=True)
    with pytest.raises(ValueError, match="Pipeline not found"):
        pipelines.get_pipeline(name)
    pipelines.delete_experiment(name)


def test_the_command(served: ServiceProcess, package: str, name: str) -> None:
    def kfp_prints(*args: str) -> Any:
        kfp_command = str(Path(sys.executable).with_name("kfp"))
        command = [kfp_command, "--endpoint", served.url, "--existing-token", served.token, "--output", "json", *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr[-2000:]}"
        begin = next((at for at, letter in enumerate(done.stdout) if letter in "{["), None)
        return None if begin is None else json.JSONDecoder().raw_decode(done.stdout, begin)[0]

    pipeline = kfp_prints("pipeline", "create", "-p", name, package)["pipeline_id"]
    version = kfp_prints("pipeline", "create-version", "-p", pipeline, "-v", "second", package)["pipeline_version_id"]
    assert {each["display_name"] for each in kfp_prints("pipeline", "list-versions", pipeline)} == {name, "second"}
    made = kfp_prints("run", "create", "-e", name, "-r", name, "-p", pipeline, "-v", version, "text=hi")
    assert (made["display_name"], made["runtime_config"]["parameters"]) == (name, {"text": "hi"})
    key = made["run_id"]
    assert kfp_prints("run", "get", key)["run_id"] == key
    (experiment,) = kfp_prints("experiment", "list", "--filter", equals("display_name", name))
    assert [each["run_id"] for each in kfp_prints("run", "list", "-e", experiment["experiment_id"])] == [key]
    assert kfp_prints("run", "archive", key)["storage_state"] == "ARCHIVED"
