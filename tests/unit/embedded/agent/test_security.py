"""Security contexts: what is asked for and what is done, as tables, and on real processes."""

import os
import tempfile
from pathlib import Path

import pytest

from beamhall.embedded.agent.environment import ConfigError
from beamhall.embedded.agent.sandbox import UNCONFINED, Confinement, Identity
from beamhall.embedded.agent.security import Service, fs_group, security_of, unmet_message
from beamhall.kernel.kinds import CONFIG_MAP, POD
from tests.unit.embedded.agent.builders import pod
from tests.unit.embedded.agent.conftest import pod_of, running
from tests.unit.embedded.agent.test_agent import log_of, main_of
from tests.unit.embedded.agent.test_podvolumes import config_map

ROOT = Service(0, 0, frozenset({0}), True)
USER = Service(1000, 1000, frozenset({1000, 100}), False)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give containers other users")

CASES = {  # of the Pod, of the container, the service, confinement, unmet
    "nothing": ({}, {}, ROOT, UNCONFINED, ()),
    "the service's own user": ({"runAsUser": 0}, {}, ROOT, UNCONFINED, ()),
    "a user": ({"runAsUser": 1}, {}, ROOT, Confinement(Identity(1, 0)), ()),
    "the container's wins": (
        {"runAsUser": 1, "runAsGroup": 2}, {"runAsUser": 3}, ROOT, Confinement(Identity(3, 2)), (),
    ),
    "groups": (
        {"fsGroup": 7, "supplementalGroups": [5, 7]}, {}, ROOT, Confinement(Identity(0, 0, (5, 7))), (),
    ),
    "no privileges": ({}, {"allowPrivilegeEscalation": False}, ROOT, Confinement(no_new_privileges=True), ()),
    "read-only": ({}, {"readOnlyRootFilesystem": True}, ROOT, Confinement(read_only_root=True), ()),
    "capabilities": (
        {}, {"capabilities": {"drop": ["CAP_CHOWN", "NET_RAW"]}}, ROOT, Confinement(dropped=(0, 13)), (),
    ),
    "all but one": (
        {}, {"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}, ROOT, Confinement(dropped=tuple(range(1, 41))), (),
    ),
    "a user's service": (
        {"runAsUser": 1, "runAsGroup": 100, "fsGroup": 100, "supplementalGroups": [4]},
        {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}, USER, UNCONFINED,
        ("readOnlyRootFilesystem (see beamhall doctor)", "runAsUser 1", "runAsGroup 100", "supplementalGroups 4",
         "capabilities NET_ADMIN"),
    ),
    "what it is anyway": ({"runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": True}, {}, USER, UNCONFINED, ()),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_security_of(case):
    of_pod, own, service, confinement, unmet = case
    subject = pod(securityContext=of_pod)
    found = security_of(subject, {"name": "main", "securityContext": own}, service)
    assert (found.confinement, found.unmet) == (confinement, unmet)
    assert bool(unmet_message("main", found, service.uid)) == bool(unmet)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"runAsNonRoot": True}, r"container has runAsNonRoot and image will run as root \(pod: \"p_ns\(u\)\""),
        ({"runAsNonRoot": True, "runAsUser": 0}, "container's runAsUser breaks non-root policy"),
    ],
)
def test_root_is_refused_where_it_must_not_be(context, message):
    with pytest.raises(ConfigError, match=message):
        security_of(pod(), {"name": "main", "securityContext": context}, ROOT)
    assert security_of(pod(), {"name": "main", "securityContext": context | {"runAsUser": 5}}, ROOT)


def test_the_group_of_volumes():
    subject = pod(securityContext={"fsGroup": 7})
    assert (fs_group(subject, 0), fs_group(subject, 1000), fs_group(pod(), 0)) == (7, None, None)


@needs_root
async def test_a_container_runs_as_another_user(cluster, catalog, settings):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:  # closed to others, as the data directory is
        async with running(cluster, catalog, Path(directory), settings) as agent:
            if not agent.sandboxes.capabilities.mounts.works:
                pytest.skip("no mounts on this machine")
            await cluster.create(CONFIG_MAP, config_map("m", a="1"))
            context = {"runAsUser": 4321, "runAsGroup": 4322, "fsGroup": 4323, "runAsNonRoot": True}
            script = (
                "id -u; id -g; id -G; echo out > /dev/stdout; touch $HOME/x here /tmp/t /data/new;"
                f" stat -c %g /data/new; cat /etc/m/a; stat -c %g:%a -L /etc/m/a;"
                f" ls {directory}; kill -0 $PPID && echo may kill its parent"
            )
            volumes = [{"name": "e", "emptyDir": {}}, {"name": "m", "configMap": {"name": "m", "defaultMode": 0o400}}]
            spec = pod_of("one", script, securityContext=context, volumes=volumes)
            spec["spec"]["containers"][0]["volumeMounts"] = [
                {"name": "e", "mountPath": "/data"},
                {"name": "m", "mountPath": "/etc/m"},
            ]
            await cluster.create(POD, spec)
            pod = await cluster.phase("one", "Succeeded", "Failed")
            lines = (await log_of(agent, pod)).split("\n")
            assert lines[:5] == ["4321", "4322", "4322 4323", "out", "4323"]
            assert lines[5:7] == ["14323:440", "pods"]
            assert "may kill its parent" not in lines


@needs_root
async def test_dropped_capabilities_are_gone(agent, cluster):
    spec = pod_of("one", "grep -E 'CapEff|NoNewPrivs' /proc/self/status")
    spec["spec"]["containers"][0]["securityContext"] = {
        "capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": False,
    }  # fmt: skip
    await cluster.create(POD, spec)
    text = await log_of(agent, await cluster.phase("one", "Succeeded", "Failed"))
    assert text.split() == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1"]


async def test_a_read_only_root_leaves_the_scratch_and_the_volumes(agent, cluster, tmp_path):
    if not agent.sandboxes.capabilities.mounts.works:
        pytest.skip("no mounts on this machine")
    script = (
        "touch $HOME/x here $TMPDIR/t /data/d && echo scratch; echo x > /dev/null && echo null;"
        f" touch {tmp_path}/outside 2>/dev/null || touch /var/tmp/beamhall-outside 2>/dev/null || echo read-only"
    )
    spec = pod_of("one", script, volumes=[{"name": "e", "emptyDir": {}}])
    spec["spec"]["containers"][0] |= {
        "securityContext": {"readOnlyRootFilesystem": True}, "volumeMounts": [{"name": "e", "mountPath": "/data"}],
    }  # fmt: skip
    await cluster.create(POD, spec)
    pod = await cluster.phase("one", "Succeeded", "Failed")
    assert await log_of(agent, pod) == "scratch\nnull\nread-only\n"
    assert not (tmp_path / "outside").exists()


@needs_root
async def test_a_container_that_must_not_be_root_waits(agent, cluster):
    await cluster.create(POD, pod_of("one", "true", securityContext={"runAsNonRoot": True}))
    (event, *_) = await cluster.until(lambda: cluster.events("one", "Failed"))
    assert event["message"].startswith("Error: container has runAsNonRoot and image will run as root")
    pod = cluster.pod("one")
    assert main_of(pod)["state"]["waiting"]["reason"] == "CreateContainerConfigError"
