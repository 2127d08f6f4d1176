"""Pods as real processes, from the object to the final status."""

import asyncio
import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from beamhall.client.protocol import LogOptions
from beamhall.embedded.agent.directory import PodDirectory
from beamhall.embedded.agent.logs import PodLogs
from beamhall.kernel.errors import BadRequest, InternalError
from beamhall.kernel.kinds import (
    CONFIG_MAP,
    LEASE,
    NODE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SECRET,
    SERVICE,
)
from tests.unit.embedded.agent.conftest import pod_of, running


async def log_of(agent, pod, **options):
    async with PodLogs(agent).open(pod, LogOptions(**options)) as blocks:
        return b"".join([block async for block in blocks]).decode()


def main_of(pod):
    return pod["status"]["containerStatuses"][0]


def conditions_of(pod):
    return {c["type"]: c["status"] for c in pod["status"]["conditions"]}


def is_alive(pid):
    try:
        with Path(f"/proc/{pid}/stat").open() as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_pod_runs_and_succeeds(agent, cluster):
    await cluster.create(POD, pod_of("one", "echo hello; echo $FROM_IMAGE"))
    pod = await cluster.phase("one", "Succeeded", "Failed")
    assert pod["status"]["phase"] == "Succeeded"
    terminated = main_of(pod)["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (0, "Completed")
    assert main_of(pod)["containerID"].startswith("beamhall://")
    assert pod["status"]["podIP"].startswith("127.")
    assert conditions_of(pod)["Ready"] == "False"
    assert conditions_of(pod)["Initialized"] == "True"
    assert await log_of(agent, pod) == "hello\n1\n"
    await cluster.until(lambda: cluster.events("one", "Started"))
    assert {e["reason"] for e in cluster.events("one")} == {"Pulled", "Created", "Started"}


async def test_a_final_status_is_written_once(agent, cluster):
    await cluster.create(POD, pod_of("one", "exit 3"))
    pod = await cluster.phase("one", "Failed")
    assert (
        main_of(pod)["state"]["terminated"] | {"exitCode": 3, "reason": "Error"} == main_of(pod)["state"]["terminated"]
    )
    await cluster.patch(POD, "one", "default", {"metadata": {"labels": {"a": "b"}}})
    await cluster.create(POD, pod_of("two", "true"))
    await cluster.phase("two", "Succeeded")
    final = [
        p for kind, name, p in cluster.patches if kind == POD and name == "one" and p.get("status", {}).get("phase")
    ]
    assert [p["status"]["phase"] for p in final][-1] == "Failed"
    assert sum(p["status"]["phase"] == "Failed" for p in final) == 1
    assert cluster.pod("one")["status"] == pod["status"]


async def test_init_containers_run_in_order_before_the_others(agent, cluster):
    spec = pod_of("one", "cat $HOME/order", policy="Never")
    spec["spec"]["initContainers"] = [
        {"name": name, "image": "python", "command": ["sh", "-c", f"echo {name} >> $HOME/order"]} for name in ("a", "b")
    ]
    await cluster.create(POD, spec)
    pod = await cluster.phase("one", "Succeeded", "Failed")
    assert await log_of(agent, pod) == "a\nb\n"
    assert [s["ready"] for s in pod["status"]["initContainerStatuses"]] == [True, True]


async def test_a_failing_init_container_fails_the_pod(agent, cluster):
    spec = pod_of("one", "echo never")
    spec["spec"]["initContainers"] = [{"name": "a", "image": "python", "command": ["false"]}]
    await cluster.create(POD, spec)
    pod = await cluster.phase("one", "Failed")
    assert main_of(pod)["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert conditions_of(pod)["Initialized"] == "False"
    with pytest.raises(BadRequest, match='container "main" in pod "one" is waiting to start: PodInitializing'):
        await log_of(agent, pod)


async def test_a_failing_container_is_restarted_until_it_succeeds(agent, cluster):
    script = "echo try >> $HOME/tries; test $(wc -l < $HOME/tries) -ge 3"
    await cluster.create(POD, pod_of("one", f"echo run; {script}", policy="OnFailure"))
    await cluster.until(lambda: cluster.events("one", "BackOff"))
    pod = await cluster.phase("one", "Succeeded", "Failed")
    assert pod["status"]["phase"] == "Succeeded"
    assert main_of(pod)["restartCount"] == 2
    assert main_of(pod)["lastState"]["terminated"]["exitCode"] == 1
    assert await log_of(agent, pod, previous=True) == "run\n"
    assert sorted(p.name for p in agent.worker_of(pod["metadata"]["uid"]).own.path.joinpath("main").glob("[0-9]")) == [
        "1",
        "2",
    ]


async def test_a_deleted_pod_ends_gracefully_and_its_directory_goes(agent, cluster):
    script = "trap 'echo bye >> $HOME/../bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    created = await cluster.create(POD, pod_of("one", script))
    pod = await cluster.phase("one", "Running")
    await _until_logged(agent, pod, "ready")
    assert conditions_of(pod)["Ready"] == "True"
    directory = agent.worker_of(created["metadata"]["uid"]).own.path
    await cluster.delete(POD, "one", "default")
    await cluster.until(lambda: cluster.pod("one") is None)
    last = [p for kind, _, p in cluster.patches if kind == POD][-1]
    assert last["status"]["phase"] == "Succeeded"
    await _until(lambda: not directory.exists())


async def test_a_pod_that_ignores_sigterm_is_killed_with_its_children(agent, cluster):
    script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$$$; sleep 600' & wait; sleep 600"
    await cluster.create(POD, pod_of("one", script))
    pod = await cluster.phase("one", "Running")
    child = int(await _until_logged(agent, pod, "\n"))
    assert is_alive(child)
    await cluster.delete(POD, "one", "default", grace_period_s=1)
    await cluster.until(lambda: cluster.pod("one") is None)
    assert not is_alive(child)
    last = [p for kind, _, p in cluster.patches if kind == POD][-1]
    assert last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


async def test_a_force_deleted_pod_is_killed(agent, cluster):
    await cluster.create(POD, pod_of("one", "trap '' TERM; echo $$$$; while :; do sleep 0.05; done"))
    pod = await cluster.phase("one", "Running")
    child = int(await _until_logged(agent, pod, "\n"))
    await cluster.delete(POD, "one", "default", grace_period_s=0)
    await _until(lambda: agent.worker_of(pod["metadata"]["uid"]) is None)
    assert not is_alive(child)


async def test_a_pod_is_adopted_and_never_started_twice(cluster, catalog, settings, tmp_path):
    async with running(cluster, catalog, tmp_path, settings) as first:
        script = "echo start; while [ ! -e $HOME/go ]; do sleep 0.05; done; echo end; exit 4"
        await cluster.create(POD, pod_of("one", script))
        pod = await cluster.phase("one", "Running")
        home = first.worker_of(pod["metadata"]["uid"]).own.home
        address = pod["status"]["podIP"]
    async with running(cluster, catalog, tmp_path, settings) as second:
        assert second.n_running_pods == 1 or await _until(lambda: second.n_running_pods == 1)
        assert cluster.pod("one")["status"]["phase"] == "Running"
        (home / "go").touch()
        pod = await cluster.phase("one", "Failed", "Succeeded")
        assert main_of(pod)["state"]["terminated"]["exitCode"] == 4
        assert main_of(pod)["restartCount"] == 0
        assert pod["status"]["podIP"] == address
        assert await log_of(second, pod) == "start\nend\n"
        assert main_of(pod)["imageID"]


async def test_a_service_that_dies_at_any_moment_starts_nothing_twice(cluster, catalog, settings, tmp_path):
    names = [f"p{number}" for number in range(6)]
    script = "echo x >> $HOME/starts; sleep 0.2"
    for name in names:
        await cluster.create(POD, pod_of(name, script))
    for delay_s in (0.0, 0.002, 0.005, 0.008, 0.012, 0.02, 0.03):
        async with running(cluster, catalog, tmp_path, settings):
            await asyncio.sleep(delay_s)  # not to wait for something: the moment of death is what varies
    async with running(cluster, catalog, tmp_path, settings):
        for name in names:
            pod = await cluster.phase(name, "Succeeded", "Failed")
            assert pod["status"]["phase"] == "Succeeded"
            home = tmp_path / "pods" / pod["metadata"]["uid"] / ".home"
            assert (home / "starts").read_text() == "x\n"


async def test_what_ended_and_what_was_deleted_meanwhile_is_found_at_the_start(cluster, catalog, settings, tmp_path):
    async with running(cluster, catalog, tmp_path, settings) as first:
        await cluster.create(POD, pod_of("ends", "while [ ! -e $HOME/go ]; do sleep 0.05; done; exit 4"))
        await cluster.create(POD, pod_of("gone", "sleep 600 & echo $!; wait"))
        pod = await cluster.phase("ends", "Running")
        gone = await cluster.phase("gone", "Running")
        child = int(await _until_logged(first, gone, "\n"))
        worker = first.worker_of(pod["metadata"]["uid"])
    (worker.own.home / "go").touch()
    await _until((worker.own.path / "main/0/exit.json").exists)
    await cluster.delete(POD, "gone", "default", grace_period_s=0)
    async with running(cluster, catalog, tmp_path, settings) as second:
        pod = await cluster.phase("ends", "Failed")
        assert main_of(pod)["state"]["terminated"]["exitCode"] == 4
        await _until(lambda: second.worker_of(gone["metadata"]["uid"]) is None)
        assert not is_alive(child)
        assert not (tmp_path / "pods" / gone["metadata"]["uid"]).exists()


async def test_an_unknown_image_waits_and_heals(agent, cluster, catalog):
    await cluster.create(POD, pod_of("one", "true", image="strange:1"))
    pod = await cluster.until(
        lambda: (main_of(p) if (p := cluster.pod("one")).get("status") else {}).get("state", {}).get("waiting") and p
    )
    waiting = main_of(pod)["state"]["waiting"]
    assert waiting["reason"] in ("ErrImagePull", "ImagePullBackOff")
    assert "beamhall images add" in waiting["message"]
    assert pod["status"]["phase"] == "Pending"
    await cluster.until(lambda: cluster.events("one", "Failed"))
    catalog.known.add("strange")
    await cluster.phase("one", "Succeeded")


async def test_an_environment_that_is_made_shows_progress(agent, cluster, catalog):
    await cluster.create(POD, pod_of("one", "true", image="slow"))
    await cluster.until(lambda: [e for e in cluster.events("one", "Pulling") if "Installing" in e["message"]])
    assert main_of(cluster.pod("one"))["state"]["waiting"]["reason"] == "ContainerCreating"
    catalog.slow.set()
    await cluster.phase("one", "Succeeded")
    await cluster.until(lambda: cluster.events("one", "Pulled"))


async def test_an_environment_that_fails_is_told_and_made_again(agent, cluster, catalog, monkeypatch):
    failures = [InternalError("environment 'slow' could not be made at requirement 'nonsense==9'")] * 2

    async def prepare(image, progress):
        if failures:
            raise failures.pop()
        catalog.slow.set()
        return catalog.is_ready(image)

    monkeypatch.setattr(catalog, "prepare", prepare)
    await cluster.create(POD, pod_of("one", "true", image="slow"))
    await cluster.phase("one", "Succeeded")
    (event,) = await cluster.until(lambda: cluster.events("one", "Failed"))
    assert "nonsense==9" in event["message"]
    written = [p["status"] for kind, _, p in cluster.patches if kind == POD and "containerStatuses" in p["status"]]
    waiting = [s["containerStatuses"][0]["state"].get("waiting", {}).get("reason") for s in written]
    assert "ErrImagePull" in waiting
    assert "ImagePullBackOff" in waiting


async def test_deleting_a_pod_whose_environment_is_made_takes_no_time(agent, cluster):
    await cluster.create(POD, pod_of("one", "true", image="slow"))
    await cluster.until(lambda: cluster.events("one", "Pulling"))
    await cluster.delete(POD, "one", "default")
    await cluster.until(lambda: cluster.pod("one") is None)
    await _until(lambda: agent.n_running_pods == 0 and not agent._workers)


async def test_a_command_that_is_not_there_fails_with_128(agent, cluster):
    spec = pod_of("one", "")
    spec["spec"]["containers"][0]["command"] = ["no-such-program"]
    await cluster.create(POD, spec)
    pod = await cluster.phase("one", "Failed")
    terminated = main_of(pod)["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (128, "StartError")
    assert "no-such-program" in terminated["message"]
    assert await log_of(agent, pod) == ""


async def test_a_missing_config_map_is_waited_for(agent, cluster):
    spec = pod_of("one", "echo $A")
    reference = {"configMapKeyRef": {"name": "settings", "key": "a"}}
    spec["spec"]["containers"][0]["env"] = [{"name": "A", "valueFrom": reference}]
    await cluster.create(POD, spec)
    pod = await cluster.until(
        lambda: (p := cluster.pod("one")).get("status") and "waiting" in main_of(p)["state"] and p
    )
    assert main_of(pod)["state"]["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": 'configmap "settings" not found',
    }
    await cluster.create(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": {"a": "7"}})
    pod = await cluster.phase("one", "Succeeded")
    assert await log_of(agent, pod) == "7\n"


async def bound_claim(cluster):
    reference = {"name": "data", "namespace": "default", "uid": "claim"}
    spec = {"hostPath": {"path": "volumes/default/data"}, "claimRef": reference}
    await cluster.create(PERSISTENT_VOLUME, {"metadata": {"name": "v"}, "spec": spec})
    claim = {"metadata": {"name": "data", "uid": "claim"}, "spec": {"volumeName": "v"}}
    await cluster.create(PERSISTENT_VOLUME_CLAIM, claim)


async def test_volumes_are_shared_and_claims_survive(agent, cluster, tmp_path):
    await bound_claim(cluster)
    await cluster.create(SECRET, {"metadata": {"name": "s"}, "data": {"key": "c2VjcmV0"}})
    spec = pod_of("one", "cat /shared/x /secret/key > /data/sub/out; stat -Lc %a /secret/key")
    spec["spec"]["volumes"] = [
        {"name": "shared", "emptyDir": {}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "s", "secret": {"secretName": "s"}},
    ]
    mount = {"name": "shared", "mountPath": "/shared"}
    spec["spec"]["initContainers"] = [
        {"name": "a", "image": "python", "command": ["sh", "-c", "echo hi > /shared/x"], "volumeMounts": [mount]}
    ]
    spec["spec"]["containers"][0]["volumeMounts"] = [
        mount,
        {"name": "data", "mountPath": "/data/sub", "subPath": "inner"},
        {"name": "s", "mountPath": "/secret"},
    ]
    await cluster.create(POD, spec)
    pod = await cluster.phase("one", "Succeeded", "Failed")
    assert pod["status"]["phase"] == "Succeeded", (main_of(pod), await log_of(agent, pod))
    assert await log_of(agent, pod) == "600\n"
    await cluster.delete(POD, "one", "default", grace_period_s=0)
    await _until(lambda: not agent._workers)
    assert (tmp_path / "volumes/default/data/inner/out").read_text() == "hi\nsecret"


async def test_a_missing_claim_keeps_the_pod_pending(agent, cluster):
    spec = pod_of("one", "true")
    spec["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    await cluster.create(POD, spec)
    (event,) = await cluster.until(lambda: cluster.events("one", "FailedMount"))
    assert 'persistentvolumeclaim "data" not found' in event["message"]
    assert cluster.pod("one")["status"]["phase"] == "Pending"
    await bound_claim(cluster)
    await cluster.phase("one", "Succeeded")


async def test_a_deadline_ends_the_pod(agent, cluster):
    await cluster.create(POD, pod_of("one", "sleep 600", activeDeadlineSeconds=0.2))
    pod = await cluster.phase("one", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert main_of(pod)["state"]["terminated"]["exitCode"] == 143


async def test_gpus_are_given_exclusively_and_back(agent, cluster):
    for name in ("a", "b", "c"):
        spec = pod_of(name, "echo gpu=$CUDA_VISIBLE_DEVICES; while [ ! -e $HOME/go ]; do sleep 0.05; done")
        if name != "c":
            spec["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": 1}}
        await cluster.create(POD, spec)
    pods = [await cluster.phase(name, "Running") for name in ("a", "b", "c")]
    seen = [(await _until_logged(agent, pod, "\n")).strip() for pod in pods]
    assert sorted(seen[:2]) == ["gpu=0", "gpu=1"]
    assert seen[2] == "gpu="
    for pod in pods:
        (agent.worker_of(pod["metadata"]["uid"]).own.home / "go").touch()
        await cluster.phase(pod["metadata"]["name"], "Succeeded")
    spec = pod_of("d", "echo gpu=$CUDA_VISIBLE_DEVICES")
    spec["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": 2}}
    await cluster.create(POD, spec)
    pod = await cluster.phase("d", "Succeeded")
    assert await log_of(agent, pod) == "gpu=0,1\n"


async def test_service_names_resolve_in_a_pod(agent, cluster):
    await cluster.create(SERVICE, {"metadata": {"name": "ps-0"}, "spec": {"selector": {"role": "ps"}}})
    server = pod_of("server", "while [ ! -e $HOME/go ]; do sleep 0.05; done", node="")
    server["metadata"]["labels"] = {"role": "ps"}
    await cluster.create(POD, server)
    lookup = "import socket; print([socket.gethostbyname(n) for n in ('ps-0', 'ps-0.default.svc', 'client')])"
    client = pod_of("client", f'python3 -c "{lookup}"')
    await cluster.create(POD, client)
    pod = await cluster.phase("client", "Succeeded", "Failed")
    await cluster.patch(POD, "server", "default", {"spec": {"nodeName": "node"}})
    address = (await cluster.phase("server", "Running"))["status"]["podIP"]
    assert await log_of(agent, pod) == f"{[address, address, pod['status']['podIP']]}\n"


async def test_a_sidecar_ends_after_the_others(agent, cluster):
    spec = pod_of("one", "echo done")
    script = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
    spec["spec"]["initContainers"] = [
        {"name": "side", "image": "python", "command": ["sh", "-c", script], "restartPolicy": "Always"}
    ]
    await cluster.create(POD, spec)
    pod = await cluster.phase("one", "Succeeded", "Failed")
    assert pod["status"]["phase"] == "Succeeded"
    assert "terminated" in pod["status"]["initContainerStatuses"][0]["state"]


async def test_logs_can_be_followed(agent, cluster):
    script = "echo a; while [ ! -e $HOME/go ]; do sleep 0.02; done; echo b"
    await cluster.create(POD, pod_of("one", script))
    pod = await cluster.phase("one", "Running")
    home = agent.worker_of(pod["metadata"]["uid"]).own.home
    seen = b""
    async with asyncio.timeout(10), PodLogs(agent).open(pod, LogOptions(follow=True)) as blocks:
        async for block in blocks:
            seen += block
            (home / "go").touch()
    assert seen == b"a\nb\n"


async def test_stop_pods_ends_all_for_good(agent, cluster):
    for name in ("a", "b"):
        await cluster.create(POD, pod_of(name, "sleep 600", policy="Always"))
    for name in ("a", "b"):
        await cluster.phase(name, "Running")
    await agent.stop_pods()
    assert agent.n_running_pods == 0
    for name in ("a", "b"):
        assert cluster.pod(name)["status"]["phase"] == "Failed"
        assert cluster.pod(name)["status"]["reason"] == "Terminated"
    await cluster.create(POD, pod_of("late", "sleep 600"))
    await cluster.create(POD, pod_of("later", "sleep 600", node=""))
    await _until(lambda: "uid" in cluster.pod("late")["metadata"] and agent._unbound)
    assert agent.worker_of(cluster.pod("late")["metadata"]["uid"]) is None


async def test_a_pod_on_the_host_network_has_the_nodes_address(agent, cluster):
    await cluster.create(POD, pod_of("one", "true", hostNetwork=True))
    pod = await cluster.phase("one", "Succeeded")
    assert pod["status"]["podIP"] == pod["status"]["hostIP"] == "127.0.0.1"


async def test_the_node_is_registered(agent, cluster):
    node = await cluster.get(NODE, "node")
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node"
    assert node["status"]["capacity"]["nvidia.com/gpu"] == "2"
    assert node["status"]["capacity"]["cpu"] == str(len(os.sched_getaffinity(0)))
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"
    await cluster.until(lambda: (LEASE, "kube-node-lease", "node") in cluster.objects)


async def test_no_variable_of_the_service_reaches_a_pod(cluster, catalog, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("BEAMHALL_TOKEN", "hush")
    monkeypatch.setenv("https_proxy", "http://proxy:1")
    async with running(cluster, catalog, tmp_path, settings) as agent:
        await cluster.create(POD, pod_of("one", "env"))
        pod = await cluster.phase("one", "Succeeded")
        text = await log_of(agent, pod)
    assert "hush" not in text
    assert "https_proxy=http://proxy:1\n" in text


async def test_a_pod_whose_shim_was_killed_is_restarted_once(agent, cluster):
    await cluster.create(POD, pod_of("one", "echo $$$$; sleep 600", policy="Always"))
    pod = await cluster.phase("one", "Running")
    child = int(await _until_logged(agent, pod, "\n"))
    (run,) = agent.worker_of(pod["metadata"]["uid"]).runs_of("main")
    os.kill(run.sandbox.shim_pid, signal.SIGKILL)
    await cluster.until(lambda: main_of(cluster.pod("one"))["restartCount"] == 1)
    assert not is_alive(child)
    assert main_of(cluster.pod("one"))["lastState"]["terminated"]["exitCode"] == 137


async def test_the_end_of_the_log_can_be_the_message(agent, cluster):
    spec = pod_of("one", "echo first; echo cause >&2; exit 1")
    spec["spec"]["containers"][0]["terminationMessagePolicy"] = "FallbackToLogsOnError"
    await cluster.create(POD, spec)
    pod = await cluster.phase("one", "Failed")
    assert sorted(main_of(pod)["state"]["terminated"]["message"].split()) == ["cause", "first"]


@pytest.mark.parametrize(
    ("path", "policy", "script", "message"),
    [
        ("/dev/termination-log", "File", "echo why > /dev/termination-log; exit 1", "why\n"),
        ("/run/why/log", "File", "echo why > /run/why/log", "why\n"),
        ("/run/why/log", "FallbackToLogsOnError", "echo logged; echo why > /run/why/log; exit 1", "why\n"),
        ("/run/why/log", "FallbackToLogsOnError", "echo logged; exit 1", "logged"),
        ("/run/why/log", "File", "echo logged; exit 1", None),
        ("/run/why/log", "File", "head -c 9000 /dev/zero | tr '\\0' x > /run/why/log", "x" * 4096),
    ],
)
async def test_a_container_leaves_a_message(agent, cluster, path, policy, script, message):
    if not agent.sandboxes.capabilities.mounts.works:
        pytest.skip("no mounts on this machine")
    pod = pod_of("one", script)
    pod["spec"]["containers"][0] |= {"terminationMessagePath": path, "terminationMessagePolicy": policy}
    await cluster.create(POD, pod)
    pod = await cluster.phase("one", "Succeeded", "Failed")
    assert main_of(pod)["state"]["terminated"].get("message") == message
    assert not Path(path).exists()


async def test_the_messages_of_all_containers_share_their_room(agent, cluster):
    if not agent.sandboxes.capabilities.mounts.works:
        pytest.skip("no mounts on this machine")
    pod = pod_of("one", "head -c 9000 /dev/zero | tr '\\0' x > /run/why")
    main = pod["spec"]["containers"][0] | {"terminationMessagePath": "/run/why"}
    pod["spec"]["containers"] = [main | {"name": f"c{number}"} for number in range(4)]
    await cluster.create(POD, pod)
    pod = await cluster.phase("one", "Succeeded", "Failed")
    sizes = [len(status["state"]["terminated"]["message"]) for status in pod["status"]["containerStatuses"]]
    assert sizes == [3072] * 4


async def test_a_pod_can_have_names_of_its_own(agent, cluster):
    if not agent.sandboxes.capabilities.mounts.works:
        pytest.skip("no mounts on this machine")
    aliases = [{"ip": "10.1.2.3", "hostnames": ["foo.local", "foo"]}]
    script = "until grep -q other /etc/hosts; do sleep 0.05; done; grep foo /etc/hosts"
    await cluster.create(POD, pod_of("one", script, hostAliases=aliases))
    await cluster.phase("one", "Running")
    await cluster.create(POD, pod_of("other", "sleep 600"))
    pod = await cluster.phase("one", "Succeeded")
    assert await log_of(agent, pod) == "10.1.2.3\tfoo.local\tfoo\n"
    uid = (await cluster.phase("other", "Running"))["metadata"]["uid"]
    assert "foo" not in agent._tools.names.file("default", uid).read_text()


async def test_a_pod_sees_the_services_of_its_namespace(agent, cluster):
    service = {"metadata": {"name": "my-db", "namespace": "default"}}
    await cluster.create(SERVICE, service | {"spec": {"clusterIP": "127.1.2.3", "ports": [{"port": 5432}]}})
    await _until(lambda: agent._tools.names.addressed("default"))
    await cluster.create(POD, pod_of("one", "echo $MY_DB_SERVICE_HOST:$MY_DB_SERVICE_PORT"))
    pod = await cluster.phase("one", "Succeeded")
    assert await log_of(agent, pod) == "127.1.2.3:5432\n"
    await cluster.create(POD, pod_of("two", "env", enableServiceLinks=False))
    assert "MY_DB" not in await log_of(agent, await cluster.phase("two", "Succeeded"))


async def test_a_container_has_a_tmp_of_its_own(cluster, catalog, settings):
    with TemporaryDirectory(dir="/var/tmp") as directory:
        async with running(cluster, catalog, Path(directory), settings) as agent:
            if not agent.sandboxes.capabilities.mounts.works:
                pytest.skip("no private mounts on this machine")
            await cluster.create(POD, pod_of("one", "echo $TMPDIR; ls -A /tmp; touch /tmp/beamhall-own; ls /tmp"))
            pod = await cluster.phase("one", "Succeeded")
            assert await log_of(agent, pod) == "/tmp\nbeamhall-own\n"
            assert not Path("/tmp/beamhall-own").exists()


async def test_a_full_disk_makes_a_pod_wait_and_no_more(agent, cluster, monkeypatch):
    create, broken = PodDirectory.create, [OSError(28, "No space left on device", "/data")]

    def unsteady(self, snapshot):
        if broken:
            raise broken.pop()
        create(self, snapshot)

    monkeypatch.setattr(PodDirectory, "create", unsteady)
    monkeypatch.setattr("beamhall.embedded.agent.pods._DISK_RETRY_S", 0.01)
    await cluster.create(POD, pod_of("one", "true"))
    await cluster.phase("one", "Succeeded")
    (event,) = await cluster.until(lambda: cluster.events("one", "FailedSync"))
    assert "No space left on device" in event["message"]


async def _until(holds, timeout_s=10):
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.01)
    return True


async def _until_logged(agent, pod, text):
    seen = b""
    async with asyncio.timeout(10), PodLogs(agent).open(pod, LogOptions(follow=True)) as blocks:
        async for block in blocks:
            seen += block
            if text in seen.decode():
                return seen.decode()
    raise AssertionError(seen)
