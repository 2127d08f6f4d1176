"""MPIJob in both of its versions: the Pods, what the launcher is given, when it starts, and when the job ends."""

import re
from typing import Any

import pytest

from beamhall.kernel.kinds import CONFIG_MAP, POD_GROUP, ROLE, ROLE_BINDING, SERVICE, SERVICE_ACCOUNT
from beamhall.kernel.objects import Key
from beamhall.training.frameworks.mpijob import MPIJob
from beamhall.training.frameworks.mpijobv2beta1 import MPIJobV2Beta1
from beamhall.training.frameworks.xgboostjob import XGBoostJob
from beamhall.training.job import Framework
from beamhall.training.validation import validate
from tests.planning import said
from tests.unit.training.jobs import Run, job_of

V1, V2 = MPIJob(), MPIJobV2Beta1()
_REPLICAS = {"Launcher": 1, "Worker": 2}
_DEFAULTS = {  # what the definition fills in
    "slotsPerWorker": 1,
    "launcherCreationPolicy": "AtStartup",
    "mpiImplementation": "OpenMPI",
    "runLauncherAsWorker": False,
    "sshAuthMountPath": "/root/.ssh",
}


def _v2(replicas: dict[str, int] | None = None, **spec: Any) -> dict[str, Any]:
    return job_of(V2, replicas or _REPLICAS, **{**_DEFAULTS, **spec})


def _file(run: Run, name: str) -> str:
    text: str = run.world.objects[Key(CONFIG_MAP, "ns", "j-config")]["data"][name]
    return text


def _template(*command: str, **more: Any) -> dict[str, Any]:
    container = {"name": "any", "image": "i", **({"command": list(command)} if command else {}), **more}
    return {"spec": {"containers": [container]}}


def test_pods_of_v1() -> None:
    run = Run(job_of(V1, _REPLICAS, template=_template(), slotsPerWorker=2), V1)
    assert run.pods == ["j-launcher", "j-worker-0", "j-worker-1"]
    launcher, worker = run.pod("j-launcher"), run.pod("j-worker-1")
    assert launcher["metadata"]["labels"] == {
        "training.kubeflow.org/operator-name": "mpijob-controller",
        "training.kubeflow.org/job-name": "j",
        "training.kubeflow.org/replica-type": "launcher",
        "training.kubeflow.org/replica-index": "0",
        "training.kubeflow.org/job-role": "master",
    }
    assert "training.kubeflow.org/job-role" not in worker["metadata"]["labels"]
    assert launcher["spec"]["serviceAccountName"] == "j-launcher"
    for pod in (launcher, worker):
        assert pod["spec"]["containers"][0]["volumeMounts"] == [{"name": "mpi-job-config", "mountPath": "/etc/mpi"}]
        assert pod["spec"]["volumes"][0]["configMap"]["name"] == "j-config"
        assert pod["spec"]["restartPolicy"] == "Never"
        assert "annotations" not in pod["metadata"]
    assert (worker["spec"]["containers"][0]["command"], worker["spec"]["containers"][0]["args"]) == (
        ["sleep"],
        ["365d"],
    )
    assert run.env("j-worker-0") == {}
    assert run.env("j-launcher") == {
        "OMPI_MCA_plm_rsh_agent": "/etc/mpi/kubexec.sh",
        "OMPI_MCA_orte_default_hostfile": "/etc/mpi/hostfile",
        "PRTE_MCA_plm_ssh_agent": "/etc/mpi/kubexec.sh",
        "PRTE_MCA_prte_default_hostfile": "/etc/mpi/hostfile",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_ALLOW_RUN_AS_ROOT": "1",
        "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "I_MPI_HYDRA_BOOTSTRAP": "rsh",
        "I_MPI_HYDRA_BOOTSTRAP_EXEC": "/etc/mpi/kubexec.sh",
        "I_MPI_HYDRA_HOST_FILE": "/etc/mpi/hostfile",
        "NVIDIA_VISIBLE_DEVICES": "",
        "NVIDIA_DRIVER_CAPABILITIES": "",
    }, "and nothing of what only holds on one machine"
    assert run.world.list(SERVICE) == []
    assert _file(run, "hostfile") == "j-worker-0 slots=2\nj-worker-1 slots=2\n"


def test_the_launcher_may_run_commands_in_the_workers_and_nowhere_else() -> None:
    run = Run(job_of(V1, _REPLICAS), V1)
    rules = run.world.objects[Key(ROLE, "ns", "j-launcher")]["rules"]
    assert rules[1] == {
        "apiGroups": [""],
        "resources": ["pods/exec"],
        "verbs": ["create", "get"],
        "resourceNames": ["j-worker-0", "j-worker-1"],
    }
    binding = run.world.objects[Key(ROLE_BINDING, "ns", "j-launcher")]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "j-launcher", "namespace": "ns"}]
    for kind in (CONFIG_MAP, SERVICE_ACCOUNT, ROLE, ROLE_BINDING):
        assert [o["metadata"]["ownerReferences"][0]["uid"] for o in run.world.list(kind)] == ["job-uid"]


def test_a_launcher_with_gpus_is_a_host_too() -> None:
    template = _template(resources={"limits": {"nvidia.com/gpu": 1}})
    run = Run(job_of(V1, _REPLICAS, template=template), V1)
    assert _file(run, "hostfile") == "j-launcher slots=1\nj-worker-0 slots=1\nj-worker-1 slots=1\n"
    assert "NVIDIA_VISIBLE_DEVICES" not in run.env("j-launcher")
    assert run.world.objects[Key(ROLE, "ns", "j-launcher")]["rules"][1]["resourceNames"][0] == "j-launcher"


@pytest.mark.parametrize("field", ["command", "args"])
@pytest.mark.parametrize(
    ("words", "is_idle"),
    [(["/usr/sbin/sshd", "-De", "-f", "/home/mpiuser/.sshd_config"], True), (["python", "serve.py"], False)],
)
def test_workers_need_no_ssh_server(field: str, words: list[str], is_idle: bool) -> None:
    probe = {"tcpSocket": {"port": 2222}}
    run = Run(_v2(template=_template(**{field: words}, readinessProbe=probe)), V2)
    worker, launcher = (run.pod(name)["spec"]["containers"][0] for name in ("j-worker-0", "j-launcher"))
    assert (worker.get("command") == ["sleep"]) == is_idle
    assert ("readinessProbe" in worker) != is_idle
    assert (launcher[field], launcher["readinessProbe"]) == (words, probe)


def test_discover_hosts_follows_the_workers_that_run() -> None:
    run = Run(job_of(V1, _REPLICAS, slotsPerWorker=4), V1)
    assert _file(run, "discover_hosts.sh") == "#!/bin/sh\n"
    run.start("j-worker-1")
    assert _file(run, "discover_hosts.sh") == "#!/bin/sh\necho j-worker-1:4\n"
    run.start()
    assert _file(run, "discover_hosts.sh") == "#!/bin/sh\necho j-worker-0:4\necho j-worker-1:4\n"
    run.job["spec"]["mpiReplicaSpecs"]["Worker"]["replicas"] = 1
    run.settle()
    assert _file(run, "hostfile") == "j-worker-0 slots=4\n"


def test_pods_of_v2beta1() -> None:
    run = Run(_v2(), V2)
    launcher, worker = run.pod("j-launcher"), run.pod("j-worker-1")
    assert launcher["metadata"]["labels"] == {
        "training.kubeflow.org/operator-name": "mpi-operator",
        "training.kubeflow.org/job-name": "j",
        "training.kubeflow.org/replica-type": "launcher",
        "training.kubeflow.org/replica-index": "0",
        "training.kubeflow.org/job-role": "launcher",
    }
    assert worker["metadata"]["labels"]["training.kubeflow.org/job-role"] == "worker"
    assert worker["metadata"]["labels"]["training.kubeflow.org/replica-index"] == "1"
    assert (worker["spec"]["hostname"], worker["spec"]["subdomain"]) == ("j-worker-1", "j")
    service = run.world.objects[Key(SERVICE, "ns", "j")]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= worker["metadata"]["labels"].items()
    assert _file(run, "hostfile") == "j-worker-0.j.ns.svc slots=1\nj-worker-1.j.ns.svc slots=1\n"
    assert run.env("j-worker-0") == {"K_MPI_JOB_ROLE": "worker"}
    assert run.env("j-launcher")["OMPI_MCA_orte_keep_fqdn_hostnames"] == "true"
    assert run.env("j-launcher")["OMPI_MCA_orte_set_default_slots"] == "1"


@pytest.mark.parametrize(
    ("implementation", "line", "variable"),
    [
        ("Intel", "j-worker-0.j.ns.svc:1", "I_MPI_HYDRA_BOOTSTRAP_EXEC"),
        ("MPICH", "j-worker-0.j.ns.svc:1", "HYDRA_LAUNCHER_EXEC"),
        ("OpenMPI", "j-worker-0.j.ns.svc slots=1", "OMPI_MCA_plm_rsh_agent"),
    ],
)
def test_implementations(implementation: str, line: str, variable: str) -> None:
    run = Run(_v2(mpiImplementation=implementation), V2)
    assert _file(run, "hostfile").splitlines()[0] == line
    env = run.env("j-launcher")
    assert env[variable] == "/etc/mpi/kubexec.sh"
    assert len([name for name in env if re.search("HYDRA.*EXEC|plm_rsh_agent", name)]) == 1


def test_on_one_machine_its_open_mpi_stands_in_for_the_image_s_implementation() -> None:
    run = Run(_v2(mpiImplementation="Intel"), MPIJobV2Beta1(is_on_loopback=True))
    env = run.env("j-launcher")
    assert env["OMPI_MCA_orte_default_hostfile"] == "/etc/mpi/openmpi-hostfile"
    assert env["I_MPI_HYDRA_HOST_FILE"] == "/etc/mpi/hostfile"
    assert _file(run, "openmpi-hostfile") == "j-worker-0.j.ns.svc slots=1\nj-worker-1.j.ns.svc slots=1\n"
    (volume,) = (v for v in run.pod("j-launcher")["spec"]["volumes"] if "configMap" in v)
    assert {item["key"] for item in volume["configMap"]["items"]} == set(run.world.list(CONFIG_MAP)[0]["data"])


def test_the_launcher_as_worker() -> None:
    run = Run(_v2(runLauncherAsWorker=True), V2)
    assert _file(run, "hostfile").splitlines()[0] == "j-launcher.j.ns.svc slots=1"
    assert run.pod("j-worker-0")["metadata"]["labels"]["training.kubeflow.org/replica-index"] == "1"


def test_the_account_that_a_template_names_is_used() -> None:
    template = {"spec": {"serviceAccountName": "mine", "containers": [{"name": "c", "image": "i"}]}}
    run = Run(_v2(template=template), V2)
    assert run.pod("j-launcher")["spec"]["serviceAccountName"] == "mine"
    assert run.world.list(SERVICE_ACCOUNT) == []
    assert run.world.list(ROLE_BINDING)[0]["subjects"][0]["name"] == "mine"


def test_a_launcher_that_waits_for_its_workers() -> None:
    run = Run(_v2(launcherCreationPolicy="WaitForWorkersReady"), V2, gang="scheduler-plugins")
    assert run.pods == ["j-worker-0", "j-worker-1"]
    assert run.world.list(POD_GROUP)[0]["spec"]["minMember"] == 2
    run.start()
    assert run.pods == ["j-worker-0", "j-worker-1"], "running is not ready"
    for name in run.pods:
        run.pod(name)["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    run.settle()
    assert run.pods == ["j-launcher", "j-worker-0", "j-worker-1"]


@pytest.mark.parametrize("framework", [V1, V2], ids=["v1", "v2beta1"])
def test_the_way_to_success(framework: Framework) -> None:
    job = _v2() if framework is V2 else job_of(V1, _REPLICAS)
    job["spec"]["runPolicy"] = {"cleanPodPolicy": "All"}
    run = Run(job, framework)
    assert run.message == "MPIJob ns/j is created."
    run.start("j-launcher", "j-worker-0")
    assert run.conditions == ["Created=True"]
    run.start()
    assert run.conditions == ["Created=True", "Running=True"]
    assert run.message == "MPIJob ns/j is running."
    run.end("j-launcher", 0)
    assert run.conditions == ["Created=True", "Running=False", "Succeeded=True"]
    assert run.message == "MPIJob ns/j successfully completed."
    run.end_pods_being_deleted()
    assert run.pods == ["j-launcher"], "its log is the job's"
    assert run.counts("Worker") == {"succeeded": 2}


def test_the_end_of_a_launcher_of_v1_is_the_jobs() -> None:
    run = Run(job_of(V1, _REPLICAS), V1)
    run.start()
    run.end("j-worker-0", 1)
    assert run.conditions == ["Created=True", "Running=True"], "that is for the launcher to see"
    run.end("j-launcher", 3)
    assert run.conditions == ["Created=True", "Running=False", "Failed=True"]
    assert run.message == "MPIJob ns/j has failed"
    assert ("ExitedWithCode", "Pod: ns.j-launcher exited with code 3") in said(run.world.events)


def test_evicted_workers_fail_the_job() -> None:
    run = Run(job_of(V1, _REPLICAS), V1)
    run.start()
    run.pod("j-worker-0")["status"] = {"phase": "Failed", "reason": "Evicted"}
    run.settle()
    assert run.message == "1/2 workers are evicted"
    assert run.job["status"]["conditions"][-1]["reason"] == "MPIJobEvicted"


def test_a_launcher_of_v2beta1_is_tried_again() -> None:
    run = Run(_v2(run_policy={"backoffLimit": 1}), V2)
    run.start()
    run.end("j-launcher", 1)
    assert run.conditions == ["Created=True", "Restarting=True"]
    run.end_pods_being_deleted()
    run.start()
    assert run.conditions == ["Created=True", "Running=True"]
    run.end("j-launcher", 1)
    assert run.conditions == ["Created=True", "Running=False", "Failed=True"]
    assert "backoff limit" in run.message


def test_on_the_loopback_network_open_mpi_is_told_so() -> None:
    run = Run(job_of(V1, _REPLICAS), MPIJob(is_on_loopback=True))
    for pod in run.pods:
        assert run.env(pod)["OMPI_MCA_btl_tcp_if_include"] == "lo"
        assert run.env(pod)["OMPI_MCA_pml"] == "ob1"
        assert run.env(pod)["KUBEXEC_SCHEME"] == "http"
        spec = run.pod(pod)["spec"]
        [session] = [volume["name"] for volume in spec["volumes"] if "emptyDir" in volume]
        paths = [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == session]
        assert paths == [run.env(pod)["OMPI_MCA_orte_tmpdir_base"]]
        assert run.pod(pod)["metadata"]["annotations"] == {"network.beamhall/chosen-ports": "loopback"}


def test_on_the_loopback_network_what_a_user_chose_of_open_mpi_stays_where_it_can() -> None:
    chosen = [{"name": "OMPI_MCA_pml", "value": "ucx"}, {"name": "OMPI_MCA_btl_tcp_if_include", "value": "eth0"}]
    framework = MPIJob(is_on_loopback=True)
    env = Run(job_of(framework, _REPLICAS, template=_template(env=chosen)), framework).env("j-launcher")
    assert env["OMPI_MCA_pml"] == "ucx"
    assert env["OMPI_MCA_btl_tcp_if_include"] == "lo"
    assert env["OMPI_MCA_mpi_yield_when_idle"] == "1"


def test_on_the_loopback_network_xgboost_listens_there() -> None:
    for is_on_loopback, expected in ((True, {"network.beamhall/chosen-ports": "loopback"}), (False, None)):
        framework = XGBoostJob(is_on_loopback=is_on_loopback)
        run = Run(job_of(framework, {"Master": 1}), framework)
        assert run.pod("j-master-0")["metadata"].get("annotations") == expected


def test_each_version_runs_its_own_jobs() -> None:
    assert Run.of_nothing(V1, _v2()) == "the job is of the kind's other version"
    assert Run.of_nothing(V2, job_of(V1, _REPLICAS)) == "the job is of the kind's other version"


@pytest.mark.parametrize(
    ("framework", "job", "field", "message"),
    [
        (V1, job_of(V1, {"Worker": 1}), "spec.mpiReplicaSpecs[Launcher]", "must be present"),
        (V1, job_of(V1, {"Launcher": 2}), "spec.mpiReplicaSpecs[Launcher].replicas", "only 1 launcher replica"),
        (V1, job_of(V1, {"Master": 1}), "spec.mpiReplicaSpecs", "supported values: Launcher, Worker"),
        (V2, _v2({"Worker": 1}), "spec.mpiReplicaSpecs[Launcher]", "must have Launcher replica spec"),
        (V2, _v2({"Launcher": 0}), "spec.mpiReplicaSpecs[Launcher].replicas", "must be 1"),
        (V2, _v2({"Launcher": 1, "Worker": 0}), "spec.mpiReplicaSpecs[Worker].replicas", "greater than or equal to 1"),
        (V2, _v2(restart="ExitCode"), "spec.mpiReplicaSpecs[Launcher].restartPolicy", "Never, OnFailure"),
        (V2, _v2(slotsPerWorker=-1), "spec.slotsPerWorker", "greater than or equal to 0"),
    ],
)
def test_bad_jobs(framework: Framework, job: Any, field: str, message: str) -> None:
    cause = validate(framework, job)[0]
    assert cause.field == field
    assert message in cause.message


def test_a_job_stays_in_its_version() -> None:
    one, two = job_of(V1, _REPLICAS), _v2()
    for framework, new, old in ((V1, one, two), (V2, two, one)):
        assert "can be changed in that version only" in validate(framework, new, old)[0].message
    assert validate(V1, {**two, "spec": {**two["spec"], "slotsPerWorker": 2}}, two) == [], "nothing is lost"
    assert validate(V2, _v2(slotsPerWorker=2), two) == []


def test_a_launcher_without_workers_may_run_commands_nowhere() -> None:
    run = Run(job_of(V1, {"Launcher": 1}), V1)
    rules = run.world.objects[Key(ROLE, "ns", "j-launcher")]["rules"]
    assert [rule["resources"] for rule in rules] == [["pods"]], "a rule without names would be for every Pod"
