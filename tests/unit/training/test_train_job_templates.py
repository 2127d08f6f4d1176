"""From a TrainJob and a runtime to a JobSet: policies, patches, initializers, and what the TrainJob itself says."""

from typing import Any

import pytest

from beamhall.training.trainjobs.jobset import build_job_set
from beamhall.training.trainjobs.mpi import build_hostfile
from beamhall.training.trainjobs.runtime import read_runtime
from tests.models.trainer import job_template, runtime, train_job

_MEET = "--rdzv_endpoint=t-node-0-0.t:29500"
_INDEX = {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}


def _built(job: Any, over: Any) -> Any:
    job["metadata"]["uid"] = "u"
    return build_job_set(job, read_runtime(over))


def _job(built: Any, name: str = "node") -> Any:
    return next(job for job in built["spec"]["replicatedJobs"] if job["name"] == name)["template"]["spec"]


def _pod(built: Any, name: str = "node") -> Any:
    return _job(built, name)["template"]["spec"]


def _container(built: Any, name: str = "node") -> Any:
    return _pod(built, name)["containers"][0]


def _env(container: Any) -> dict[str, Any]:
    return {v["name"]: v.get("value", v.get("valueFrom")) for v in container.get("env", [])}


def test_the_trainer_says_what_the_nodes_are() -> None:
    trainer = {
        "image": "mine", "command": ["run"], "args": ["-x"], "numNodes": 3, "env": [{"name": "A", "value": "1"}],
        "resourcesPerNode": {"limits": {"cpu": 1.0, "memory": "1Gi"}},
    }  # fmt: skip
    over = runtime({"name": "node", "template": job_template(step="trainer", env=[{"name": "A", "value": "0"}])})
    built = _built(train_job(trainer=trainer), over)
    node = _container(built)
    assert (_job(built)["parallelism"], _job(built)["completions"]) == (3, 3)
    assert (node["image"], node["command"], node["args"]) == ("mine", ["run"], ["-x"])
    assert node["env"] == [{"name": "A", "value": "1"}]
    assert node["resources"] == {"limits": {"cpu": "1", "memory": "1Gi"}}
    owner = built["metadata"]["ownerReferences"][0]
    assert (built["metadata"]["name"], owner["kind"], owner["uid"]) == ("t", "TrainJob", "u")


def test_without_a_trainer_the_runtime_stands() -> None:
    built = _built(train_job(), runtime(policy={"numNodes": 2}))
    assert _job(built)["completions"] == 2
    assert _container(built)["image"] == "i"


def test_torch() -> None:
    over = runtime(policy={"torch": {}})
    node = _container(_built(train_job(trainer={"numNodes": 2}), over))
    assert _env(node) == {
        "PET_NNODES": "2",
        "PET_NPROC_PER_NODE": "auto",
        "PET_NODE_RANK": _INDEX,
        "PET_MASTER_ADDR": "t-node-0-0.t",
        "PET_MASTER_PORT": "29500",
    }
    assert node["ports"] == [{"containerPort": 29500}]


@pytest.mark.parametrize(
    ("policy", "trainer", "processes"),
    [
        ({}, {"numProcPerNode": 4}, "4"),
        ({}, {"resourcesPerNode": {"limits": {"cpu": "2500m"}}}, "3"),
        ({}, {"resourcesPerNode": {"requests": {"cpu": 2}}}, "2"),
        ({}, {"resourcesPerNode": {"limits": {"cpu": 0.5}}}, "1"),
        ({}, {"resourcesPerNode": {"limits": {"cpu": 8, "nvidia.com/gpu": 2}}}, "2"),
        ({"numProcPerNode": "cpu"}, {"resourcesPerNode": {"limits": {"cpu": 8, "nvidia.com/gpu": 2}}}, "8"),
        ({"numProcPerNode": "cpu"}, {}, "1"),
        ({"numProcPerNode": "gpu"}, {"resourcesPerNode": {"limits": {"cpu": 8}}}, "gpu"),
        ({"numProcPerNode": 3}, {}, "3"),
    ],
)
def test_torchs_processes_of_a_node(policy: Any, trainer: Any, processes: str) -> None:
    node = _container(_built(train_job(trainer=trainer), runtime(policy={"torch": policy})))
    assert _env(node)["PET_NPROC_PER_NODE"] == processes


def test_torchs_elastic_policy_of_earlier_releases() -> None:
    policy = {"torch": {"elasticPolicy": {"minNodes": 1, "maxNodes": 4, "maxRestarts": 2}}}
    found = _env(_container(_built(train_job(trainer={"numNodes": 4}), runtime(policy=policy))))
    assert found["PET_NNODES"] == "1:4"
    assert found["PET_MAX_RESTARTS"] == "2"
    assert found["PET_RDZV_ENDPOINT"] == "t-node-0-0.t:29500"
    assert "PET_MASTER_ADDR" not in found


def test_torchs_variables_in_further_containers() -> None:
    targets = [{"jobName": "other", "containerNames": ["node"]}]
    jobs = ({"name": "node", "template": job_template(step="trainer")}, {"name": "other", "template": job_template()})
    built = _built(train_job(), runtime(*jobs, policy={"torch": {"envInjection": {"targets": targets}}}))
    assert "PET_NNODES" in _env(_container(built, "other"))


@pytest.mark.parametrize(
    ("n_nodes", "processes", "command"),
    [
        (1, 1, ["full_finetune_single_device", "--config", "llama3_2/1B_full_single_device"]),
        (1, 2, [_MEET, "full_finetune_distributed", "--config", "llama3_2/1B_full"]),
        (2, 1, [_MEET, "full_finetune_distributed", "--config", "llama3_2/1B_full_multinode"]),
    ],
)  # fmt: skip
def test_torchtune_gets_a_recipe_and_the_runtimes_paths(n_nodes: int, processes: int, command: list[str]) -> None:
    own = ["tune", "run", "x", "dataset.source=parquet", "output_dir=/o", "other=1"]
    over = runtime({"name": "node", "template": job_template(step="trainer", command=own)}, policy={"torch": {}})
    trainer = {"command": ["tune", "run"], "args": ["epochs=1"], "numNodes": n_nodes, "numProcPerNode": processes}
    job = train_job(trainer=trainer)
    job["spec"]["runtimeRef"]["name"] = "torchtune-llama3.2-1b"
    node = _container(_built(job, over))
    assert node["command"] == ["tune", "run", *command, "dataset.source=parquet", "output_dir=/o"]
    assert node["args"] == ["epochs=1"]


def test_where_the_trainer_tells_of_its_progress() -> None:
    job = train_job()
    job["metadata"]["uid"] = "u"
    jobs = ({"name": "node", "template": job_template(step="trainer")}, {"name": "other", "template": job_template()})
    built = build_job_set(job, read_runtime(runtime(*jobs)), reports=True)
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert _env(_container(built)) == {
        "KUBEFLOW_TRAINER_SERVER_URL": "https://$(KUBERNETES_SERVICE_HOST):$(KUBERNETES_SERVICE_PORT)"
        "/apis/trainer.kubeflow.org/v1alpha1/namespaces/ns/trainjobs/t/status",
        "KUBEFLOW_TRAINER_SERVER_CA_CERT": f"{account}/ca.crt",
        "KUBEFLOW_TRAINER_SERVER_TOKEN": f"{account}/token",
    }
    assert _env(_container(built, "other")) == {}


def test_jax() -> None:
    found = _env(_container(_built(train_job(trainer={"numNodes": 2}), runtime(policy={"jax": {}}))))
    assert found == {
        "JAX_NUM_PROCESSES": "2",
        "JAX_PROCESS_ID": _INDEX,
        "JAX_COORDINATOR_ADDRESS": "t-node-0-0.t:29500",
    }


@pytest.mark.parametrize(("gpus", "n"), [(0, "2"), (3, "6")])
def test_xgboost(gpus: int, n: str) -> None:
    trainer = {"numNodes": 2, "resourcesPerNode": {"limits": {"nvidia.com/gpu": gpus}}}
    found = _env(_container(_built(train_job(trainer=trainer), runtime(policy={"xgboost": {}}))))
    assert found == {
        "DMLC_TRACKER_URI": "t-node-0-0.t",
        "DMLC_TRACKER_PORT": "29500",
        "DMLC_TASK_ID": _INDEX,
        "DMLC_NUM_WORKER": n,
    }


@pytest.mark.parametrize(
    ("as_node", "slots", "hosts"),
    [
        (True, 1, ["t-node-0-0.t slots=1", "t-node-0-1.t slots=1", "t-launcher-0-0.t slots=1"]),
        (False, 2, ["t-node-0-0.t slots=2", "t-node-0-1.t slots=2", "t-node-0-2.t slots=2"]),
    ],
)
def test_mpi(as_node: bool, slots: int, hosts: list[str]) -> None:
    jobs = (
        {"name": "node", "template": job_template()},
        {"name": "launcher", "template": job_template(step="trainer")},
    )
    over = runtime(*jobs, policy={"mpi": {"runLauncherAsNode": as_node, "numProcPerNode": 1}})
    job = train_job(trainer={"numNodes": 3, "numProcPerNode": slots})
    built = _built(job, over)
    assert _job(built, "launcher")["parallelism"] == 1
    found = _env(_container(built, "launcher"))
    assert found["OMPI_MCA_orte_default_hostfile"] == "/etc/mpi/hostfile"
    assert found["OMPI_MCA_orte_set_default_slots"] == str(slots)
    assert found["OMPI_MCA_plm_rsh_agent"] == "/etc/mpi/kubexec.sh"
    assert "OMPI_MCA_btl_tcp_if_include" not in found
    for name in ("node", "launcher"):
        assert _container(built, name)["volumeMounts"] == [{"name": "mpi-hostfile", "mountPath": "/etc/mpi"}]
        files = {item["key"]: item["mode"] for item in _pod(built, name)["volumes"][0]["configMap"]["items"]}
        assert files == {"hostfile": 0o444, "selector": 0o444, "kubexec.sh": 0o555, "kubexec.py": 0o444}
        assert "metadata" not in _job(built, name)["template"]
    assert _pod(built, "launcher")["serviceAccountName"] == "t-mpi-launcher"
    assert "serviceAccountName" not in _pod(built, "node")
    hostfile = build_hostfile(job, read_runtime(over), built)
    assert hostfile["metadata"]["name"] == "t-mpi-hostfile"
    assert hostfile["data"]["hostfile"].splitlines() == hosts
    assert hostfile["data"]["selector"] == "jobset.sigs.k8s.io/jobset-name=t\n"
    assert hostfile["data"].keys() == files.keys()


def test_nodes_of_mpi_sleep_in_the_place_of_a_server_of_ssh() -> None:
    server: dict[str, Any] = {
        "command": ["/usr/sbin/sshd"],
        "args": ["-De"],
        "readinessProbe": {"tcpSocket": {"port": 2222}},
    }
    built = _built(train_job(), runtime({"name": "node", "template": job_template(**server)}, policy={"mpi": {}}))
    node = _container(built)
    assert (node["command"], node["args"], node.get("readinessProbe")) == (["sleep"], ["365d"], None)
    own = runtime({"name": "node", "template": job_template(command=["mine"])}, policy={"mpi": {}})
    assert _container(_built(train_job(), own))["command"] == ["mine"]


@pytest.mark.parametrize(
    ("policy", "names"), [({"mpi": {}}, ["node", "launcher"]), ({"xgboost": {}}, ["launcher"]), ({"jax": {}}, [])]
)
def test_what_tells_peers_addresses_of_interfaces_listens_there(policy: Any, names: list[str]) -> None:
    jobs = (
        {"name": "node", "template": job_template()},
        {"name": "launcher", "template": job_template(step="trainer")},
    )
    job = train_job()
    job["metadata"]["uid"] = "u"
    built = build_job_set(job, read_runtime(runtime(*jobs, policy=policy)), is_on_loopback=True)
    templates = {one["name"]: one["template"]["spec"]["template"] for one in built["spec"]["replicatedJobs"]}
    marked = [name for name, template in templates.items() if (template.get("metadata") or {}).get("annotations")]
    assert marked == names
    if "mpi" in policy:
        for name in names:
            assert _env(_container(built, name))["OMPI_MCA_btl_tcp_if_include"] == "lo"
            assert "mpi-session" in [volume["name"] for volume in _pod(built, name)["volumes"]]
            assert "mpi-session" in [mount["name"] for mount in _container(built, name)["volumeMounts"]]


def test_initializers() -> None:
    names = ("dataset-initializer", "model-initializer")
    jobs = [{"name": name, "template": job_template(step=name, name=name)} for name in names]
    initializer = {
        "dataset": {"storageUri": "hf://d", "env": [{"name": "E", "value": "1"}], "secretRef": {"name": "s"}},
        "model": {"storageUri": "s3://m"},
    }
    built = _built(train_job(initializer=initializer), runtime(*jobs))
    dataset, model = (_container(built, name) for name in names)
    assert _env(dataset) == {"STORAGE_URI": "hf://d", "E": "1"}
    assert dataset["envFrom"] == [{"secretRef": {"name": "s"}}]
    assert _env(model) == {"STORAGE_URI": "s3://m"}
    assert "envFrom" not in model


def _patch(pod: Any, of_set: Any = None, **of_pods: Any) -> Any:
    changed = {"name": "node", "template": {"spec": {"template": {"spec": pod, **of_pods}}}}
    spec = {"template": {"metadata": of_set or {}, "spec": {"replicatedJobs": [changed]}}}
    return {"manager": "m", "trainingRuntimeSpec": spec}


def test_patches_are_merged_in_order() -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    over = runtime({"name": "node", "template": job_template(step="trainer", volumeMounts=mounts)})
    patches = [
        _patch({"nodeSelector": {"a": "1"}, "serviceAccountName": "x"}, {"labels": {"team": "a"}}),
        _patch(
            {
                "serviceAccountName": "y",
                "tolerations": [{"key": "k"}],
                "containers": [{"name": "node", "volumeMounts": [{"name": "w", "mountPath": "/w"}]}],
            },
            {"labels": {"team": "b"}, "annotations": {"n": "1"}},
            metadata={"labels": {"on": "pods"}},
        ),
    ]
    built = _built(train_job(runtimePatches=patches), over)
    pod = _job(built)["template"]
    assert pod["spec"]["nodeSelector"] == {"a": "1"}
    assert pod["spec"]["serviceAccountName"] == "y"
    assert pod["spec"]["tolerations"] == [{"key": "k"}]
    assert [m["mountPath"] for m in pod["spec"]["containers"][0]["volumeMounts"]] == ["/v", "/w"]
    assert pod["spec"]["containers"][0]["image"] == "i"
    assert pod["metadata"]["labels"] == {"on": "pods"}
    assert built["metadata"]["labels"] == {"team": "b"}
    assert built["metadata"]["annotations"] == {"n": "1"}
    assert over["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"].keys() == {
        "containers"
    }, "the runtime is shared"
