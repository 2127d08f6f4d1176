"""Steps of pipelines as Pods: what they install is installed for them, and what runs components is warm."""

import json
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from beamhall.catalog.catalog import Catalog
from beamhall.catalog.errors import EnvironmentFailed
from beamhall.catalog.installs import Install
from beamhall.kernel.kinds import POD
from beamhall.kernel.names import STEP_ROOT_ANNOTATION
from tests.unit.embedded.agent.conftest import FakeCatalog, pod_of, running
from tests.unit.embedded.agent.test_agent import log_of, main_of
from tests.unit.embedded.agent.test_components import ENSURE, GO_ON, PIP, PROGRAM

TINY = ENSURE + PIP + "'tiny'" + GO_ON


def step(name, *argv, script=TINY, **spec):
    pod = pod_of(name, "", image="python:3.11", **spec)
    pod["spec"]["containers"][0]["command"] = ["sh", "-c", script, *argv]
    return pod


class Installing(FakeCatalog):
    """Has ``tiny`` on top of what there is, and nothing else."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def with_installs(self, image, installs):
        return SimpleNamespace(reference=image.reference, path=(), installs=tuple(installs))

    def is_ready(self, image):
        return None if getattr(image, "installs", ()) else super().is_ready(image)

    async def prepare(self, image, progress):
        self.asked.append(image.installs)
        if any("absent" in r for install in image.installs for r in install.requirements):
            raise EnvironmentFailed("python with absent", "absent", "there are no versions of absent")
        return super().is_ready(image)


@pytest.fixture
async def catalog():
    return Installing()


async def test_what_a_step_installs_is_there_and_its_pip_is_not_run(agent, cluster, catalog):
    await cluster.create(POD, step("one", "sh", "-c", 'echo "$0: $1"', "ran", "$(X)"))
    pod = await cluster.phase("one", "Succeeded", "Failed")
    assert await log_of(agent, pod) == "ran: $(X)\n"
    assert catalog.asked == [(Install(("tiny",)),)]


async def test_a_step_whose_packages_cannot_be_had_fails_as_with_pip(agent, cluster):
    await cluster.create(POD, step("one", "echo", "ran", script=ENSURE + PIP + "'absent'" + GO_ON))
    pod = await cluster.phase("one", "Succeeded", "Failed")
    assert main_of(pod)["state"]["terminated"]["exitCode"] == 1
    assert "at requirement 'absent': there are no versions" in await log_of(agent, pod)


def with_pip(directory, script="pip install tiny"):
    """Make a step that runs a pip of its own."""
    (directory / "own").mkdir()
    program = directory / "own" / "pip"
    program.write_text('#!/bin/sh\necho "own pip $*"\n')
    program.chmod(0o755)
    pod = step("one", "echo", "ran", script=script + GO_ON)
    pod["spec"]["containers"][0]["env"] = [{"name": "PATH", "value": f"{program.parent}:/usr/bin:/bin"}]
    return pod


async def test_it_can_be_turned_off(cluster, catalog, settings, tmp_path):
    async with running(cluster, catalog, tmp_path, replace(settings, step_environments=False)) as agent:
        await cluster.create(POD, with_pip(tmp_path))
        pod = await cluster.phase("one", "Succeeded", "Failed")
        assert await log_of(agent, pod) == "own pip install tiny\nran\n"
    assert catalog.asked == []


@pytest.mark.parametrize(
    ("script", "asked"),
    [
        ("pip install tiny", True),
        ("pip install tiny @ https://host.invalid/tiny.zip", False),
        ("pip install --index-url https://index.invalid tiny", False),
    ],
)
async def test_for_who_is_confined_only_the_usual_packages_are_installed(
    agent, cluster, catalog, tmp_path, script, asked
):
    pod = with_pip(tmp_path, script)
    pod["spec"]["containers"][0]["securityContext"] = {"allowPrivilegeEscalation": False}
    await cluster.create(POD, pod)
    pod = await cluster.phase("one", "Succeeded", "Failed")
    assert await log_of(agent, pod) == ("" if asked else f"own {script}\n") + "ran\n"
    assert bool(catalog.asked) is asked


@pytest.mark.skipif(os.getuid() != 0, reason="only root has users of its own")
async def test_a_step_of_another_user_leaves_its_results_in_the_data_directory(cluster, catalog, settings, tmp_path):
    results = tmp_path / "artifacts/p/run/one/0"
    (results / "parameters").mkdir(parents=True)
    (tmp_path / "token").write_text("secret")
    script = f"id -u > {results}/parameters/who; cd {tmp_path}; cat artifacts/other; cat token; touch artifacts/x"
    (tmp_path / "artifacts/other").write_text("of another step\n")
    async with running(cluster, catalog, tmp_path, settings) as agent:
        pod = step("one", script=script)
        pod["metadata"]["annotations"] = {STEP_ROOT_ANNOTATION: str(results)}
        pod["spec"]["containers"][0]["securityContext"] = {"runAsUser": 4321, "capabilities": {"drop": ["ALL"]}}
        await cluster.create(POD, pod)
        pod = await cluster.phase("one", "Succeeded", "Failed")
        log = await log_of(agent, pod)
    assert (results / "parameters/who").read_text() == "4321\n"
    assert "of another step" in log
    assert "secret" not in log
    assert not (tmp_path / "artifacts/x").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root has users of its own")
async def test_nothing_but_files_of_steps_is_given_to_another_user(cluster, catalog, settings, tmp_path):
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/away").symlink_to(tmp_path)
    async with running(cluster, catalog, tmp_path, settings):
        for number, root in enumerate(("artifacts/away/stolen", "stolen", "artifacts/../stolen", "artifacts")):
            pod = step(f"pod-{number}", script="true")
            pod["metadata"]["annotations"] = {STEP_ROOT_ANNOTATION: f"{tmp_path}/{root}"}
            pod["spec"]["containers"][0]["securityContext"] = {"runAsUser": 4321}
            await cluster.create(POD, pod)
            await cluster.phase(f"pod-{number}", "Succeeded", "Failed")
    assert not (tmp_path / "stolen").exists()
    assert (tmp_path / "artifacts").stat().st_uid == 0


SOURCE = """
import kfp
from kfp import dsl
from kfp.dsl import *

def add(a: int, b: int) -> int:
    import os, sys
    print("kfp", kfp.__version__, os.environ["_KFP_RUNTIME"], __file__.endswith("ephemeral_component.py"))
    if b == 0:
        raise ValueError("b is zero")
    return a + b
"""
KFP = PIP + "'kfp==2.14.3' '--no-deps' 'typing-extensions>=3.7.4,<5; python_version<\"3.9\"'"


def component(name, directory, **values):
    results = {"Output": {"outputFile": f"{directory}/{name}.Output"}}
    outputs = {"outputFile": f"{directory}/{name}.json", "parameters": results}
    given = {"inputs": {"parameterValues": values}, "outputs": outputs}
    arguments = ["--executor_input", json.dumps(given), "--function_to_execute", "add"]
    return step(name, "sh", "-ec", PROGRAM, SOURCE, *arguments, script=ENSURE + KFP + GO_ON)


@pytest.mark.heavy
async def test_a_component_of_the_sdk_runs_the_same_warm_and_not(cluster, settings, tmp_path):
    catalog, logs = Catalog.load(tmp_path), {}
    for is_warm in (True, False):
        async with running(cluster, catalog, tmp_path, replace(settings, warm_start=is_warm)) as agent:
            name = "warm" if is_warm else "fresh"
            for number, values in enumerate(({"a": 1, "b": 2}, {"a": 1, "b": 0})):
                await cluster.create(POD, component(f"{name}-{number}", tmp_path, **values))
                pod = await cluster.phase(f"{name}-{number}", "Succeeded", "Failed", timeout_s=90)
                logs[is_warm, number] = (
                    main_of(pod)["state"]["terminated"]["exitCode"],
                    (await log_of(agent, pod)).replace(name, "N"),
                )
            uid = pod["metadata"]["uid"]
            shims = [json.loads(p.read_text()) for p in (tmp_path / "pods" / uid).rglob("shim")]
            assert [shim["warm"] for shim in shims] == [is_warm]
        assert json.loads((tmp_path / f"{name}-0.json").read_text()) == {"parameterValues": {"Output": 3}}
    for number, code in ((0, 0), (1, 1)):
        assert logs[True, number][0] == logs[False, number][0] == code
        ours, plain = (
            [line for line in logs[w, number][1].splitlines() if "KFP Executor" not in line and "/pods/" not in line]
            for w in (True, False)
        )
        assert ours == plain
    assert "kfp 2.14.3 true True" in logs[True, 0][1]
    assert "ValueError: b is zero" in logs[True, 1][1]
