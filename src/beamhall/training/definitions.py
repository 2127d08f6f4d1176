"""The definitions (CRDs) of the training jobs, kind by kind: the fields of each spec. The rest is shared: ``crds``.

Source: kubeflow/training-operator v1.9, ``pkg/apis/kubeflow.org/v1``, for names and types. A test compares them with
the models of the ``kubeflow-training`` SDK.
"""

from beamhall.kernel.kinds import JAX_JOB, PADDLE_JOB, PYTORCH_JOB, TF_JOB, XGBOOST_JOB
from beamhall.kernel.objects import Object
from beamhall.training.crds import (
    Schema,
    integer,
    job_definition,
    object_schema,
    replica_schema,
    run_policy_schema,
    text,
)


def tf_job_definition() -> Object:
    """Make the CustomResourceDefinition of TFJob."""
    more = {
        "successPolicy": text("When the job has succeeded without a chief: empty (worker 0 did) or AllWorkers."),
        "enableDynamicWorker": _boolean("Workers may come and go while the job runs."),
    }
    return job_definition(TF_JOB, spec_schema("tfReplicaSpecs", "Chief or Master, Worker, PS, Evaluator", more))


def pytorch_job_definition() -> Object:
    """Make the CustomResourceDefinition of PyTorchJob."""
    pair = object_schema({"key": text(""), "value": text("")}, "")
    elastic = {
        **_elastic_fields(),
        "nProcPerNode": integer("Deprecated: use nprocPerNode of the job.", "int32"),
        "rdzvBackend": text("How torchrun's agents meet: c10d (the default), etcd or etcd-v2."),
        "rdzvConf": {"type": "array", "items": pair, "description": "Settings of the rendezvous."},
        "rdzvHost": text("Where they meet; worker 0 if left out."),
        "rdzvId": text("The rendezvous' name."),
        "rdzvPort": integer("The port there; that of worker 0's container if left out.", "int32"),
        "standalone": _boolean("Run a local rendezvous in each Pod."),
    }
    more = {
        "elasticPolicy": object_schema(elastic, "How many workers the job can run with, and how they find each other."),
        "nprocPerNode": text(
            "How many processes torchrun starts in each Pod: a number, auto (the default), cpu or gpu."
        ),
    }
    spec = spec_schema("pytorchReplicaSpecs", "Master, Worker", more)
    return job_definition(PYTORCH_JOB, spec, scaled="pytorchReplicaSpecs")


def paddle_job_definition() -> Object:
    """Make the CustomResourceDefinition of PaddleJob."""
    elastic = object_schema(_elastic_fields(), "How many workers the job can run with.")
    spec = spec_schema("paddleReplicaSpecs", "Master, Worker", {"elasticPolicy": elastic})
    return job_definition(PADDLE_JOB, spec, scaled="paddleReplicaSpecs")


def jax_job_definition() -> Object:
    """Make the CustomResourceDefinition of JAXJob."""
    return job_definition(JAX_JOB, spec_schema("jaxReplicaSpecs", "Worker", {}), scaled="jaxReplicaSpecs")


def xgboost_job_definition() -> Object:
    """Make the CustomResourceDefinition of XGBoostJob."""
    return job_definition(XGBOOST_JOB, spec_schema("xgbReplicaSpecs", "Master (exactly one), Worker", {}))


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
    return object_schema(fields, "What the job shall run.", required=(replicas_field,))


def _elastic_fields() -> dict[str, Schema]:
    metric = {
        **object_schema({"type": text("The metric's sort, as of autoscaling/v2.")}, "", required=("type",)),
        "x-kubernetes-preserve-unknown-fields": True,
    }
    return {
        "minReplicas": integer("The fewest workers to run with; all of them if left out.", "int32"),
        "maxReplicas": integer("The most workers to run with; the job's number if left out.", "int32"),
        "maxRestarts": integer("How often the workers may restart together.", "int32"),
        "metrics": {"type": "array", "items": metric, "description": "What an autoscaler would follow."},
    }


def _boolean(description: str) -> Schema:
    return {"type": "boolean", "description": description}
