"""The definitions (CRDs) of the training jobs, kind by kind: the fields of each spec. The rest is shared: ``crds``.

Source: kubeflow/training-operator v1.9, ``pkg/apis/kubeflow.org/v1``, for names and types. A test compares them with
the models of the ``kubeflow-training`` SDK.
"""

from collections.abc import Sequence

from beamhall.kernel.kinds import JAX_JOB, MPI_JOB, MPI_JOB_V2BETA1, PADDLE_JOB, PYTORCH_JOB, TF_JOB, XGBOOST_JOB
from beamhall.kernel.objects import Object
from beamhall.training.crds import job_definition, job_version, replica_schema, run_policy_schema
from beamhall.training.frameworks.mpijobv2beta1 import CREATION_POLICIES, IMPLEMENTATIONS
from beamhall.training.schemas import Schema, flag, integer, mapping, open_mapping, text


def tf_job_definition() -> Object:
    """Make the CustomResourceDefinition of TFJob."""
    more = {
        "successPolicy": text("When the job has succeeded without a chief: empty (worker 0 did) or AllWorkers."),
        "enableDynamicWorker": flag("Workers may come and go while the job runs."),
    }
    return job_definition(TF_JOB, spec_schema("tfReplicaSpecs", "Chief or Master, Worker, PS, Evaluator", more))


def pytorch_job_definition() -> Object:
    """Make the CustomResourceDefinition of PyTorchJob."""
    pair = mapping({"key": text(), "value": text()})
    elastic = {
        **_elastic_fields(),
        "nProcPerNode": integer("Deprecated: use nprocPerNode of the job."),
        "rdzvBackend": text("How torchrun's agents meet: c10d (the default), etcd or etcd-v2."),
        "rdzvConf": {"type": "array", "items": pair, "description": "Settings of the rendezvous."},
        "rdzvHost": text("Where they meet; worker 0 if left out."),
        "rdzvId": text("The rendezvous' name."),
        "rdzvPort": integer("The port there; that of worker 0's container if left out."),
        "standalone": flag("Run a local rendezvous in each Pod."),
    }
    more = {
        "elasticPolicy": mapping(elastic, "How many workers the job can run with, and how they find each other."),
        "nprocPerNode": text(
            "How many processes torchrun starts in each Pod: a number, auto (the default), cpu or gpu."
        ),
    }
    spec = spec_schema("pytorchReplicaSpecs", "Master, Worker", more)
    return job_definition(PYTORCH_JOB, spec, scaled="pytorchReplicaSpecs")


def paddle_job_definition() -> Object:
    """Make the CustomResourceDefinition of PaddleJob."""
    elastic = mapping(_elastic_fields(), "How many workers the job can run with.")
    spec = spec_schema("paddleReplicaSpecs", "Master, Worker", {"elasticPolicy": elastic})
    return job_definition(PADDLE_JOB, spec, scaled="paddleReplicaSpecs")


def jax_job_definition() -> Object:
    """Make the CustomResourceDefinition of JAXJob."""
    return job_definition(JAX_JOB, spec_schema("jaxReplicaSpecs", "Worker", {}), scaled="jaxReplicaSpecs")


def xgboost_job_definition() -> Object:
    """Make the CustomResourceDefinition of XGBoostJob."""
    return job_definition(XGBOOST_JOB, spec_schema("xgbReplicaSpecs", "Master (exactly one), Worker", {}))


def mpi_job_definition() -> Object:
    """Make the CustomResourceDefinition of MPIJob, with both of its versions.

    They differ in fields, and Kubernetes converts nothing between versions without a webhook. So v1 is what is stored,
    and it knows the fields of v2beta1 too, without their defaults: nothing is lost however an object is read. Objects
    that are written as v2beta1 get that version's defaults, and are known by them.
    """
    later = {
        "launcherCreationPolicy": _choice("When the launcher starts.", CREATION_POLICIES),
        "mpiImplementation": _choice("Which MPI the images have.", IMPLEMENTATIONS),
        "runLauncherAsWorker": flag("The launcher is a host for processes too."),
        "sshAuthMountPath": text("Taken for upstream's sake: daemons are started through the API, not by SSH."),
    }
    defaults = {
        "launcherCreationPolicy": CREATION_POLICIES[0],
        "mpiImplementation": IMPLEMENTATIONS[0],
        "runLauncherAsWorker": False,
        "sshAuthMountPath": "/root/.ssh",
    }
    slots = integer("How many processes each worker may run; 1 if left out.")
    own = {
        "cleanPodPolicy": text("As in runPolicy, which counts for more."),
        "mainContainer": text("The name of the container that runs MPI."),
        "slotsPerWorker": slots,
    }
    v1 = spec_schema("mpiReplicaSpecs", "Launcher (exactly one), Worker", own | later)
    newer = {name: schema | {"default": defaults[name]} for name, schema in later.items()}
    v2beta1 = spec_schema(
        "mpiReplicaSpecs", "Launcher (exactly one), Worker", newer | {"slotsPerWorker": slots | {"default": 1}}
    )
    return job_definition(MPI_JOB, v1, others=(job_version(MPI_JOB_V2BETA1, v2beta1),))


def spec_schema(replicas_field: str, types: str, more: dict[str, Schema]) -> Schema:
    """Make the schema of a spec: the replicas, the run policy, and what only this kind has.

    Args:
        replicas_field: The field that holds the replicas.
        types: The replica types, for people.
        more: The kind's own fields.
    """
    replicas = {
        "type": "object",
        "description": f"Replicas by type: {types}.",
        "additionalProperties": replica_schema(),
    }
    fields = {replicas_field: replicas, "runPolicy": run_policy_schema(), **more}
    return mapping(fields, "What the job shall run.", required=(replicas_field,))


def _elastic_fields() -> dict[str, Schema]:
    metric = open_mapping("", ("type",), type=text("The metric's sort, as of autoscaling/v2."))
    return {
        "minReplicas": integer("The fewest workers to run with; all of them if left out."),
        "maxReplicas": integer("The most workers to run with; the job's number if left out."),
        "maxRestarts": integer("How often the workers may restart together."),
        "metrics": {"type": "array", "items": metric, "description": "What an autoscaler would follow."},
    }


def _choice(description: str, values: Sequence[str]) -> Schema:
    return text(f"{description} One of {', '.join(values)}.") | {"enum": list(values)}
