"""The definitions (CRDs) of TrainJob, TrainingRuntime and ClusterTrainingRuntime, made from our own declarations.

Rules that upstream states in CEL stand in ``validation``: the library for it costs as much memory as a fifth of this
service, and these kinds are always there.

Source: kubeflow/trainer v2.3, ``pkg/apis/trainer/v1alpha1``, for names, types, defaults and columns.
"""

from beamhall.kernel.kinds import CLUSTER_TRAINING_RUNTIME, TRAIN_JOB, TRAINING_RUNTIME, Kind
from beamhall.kernel.objects import Object
from beamhall.training.jobsets.definition import job_set_spec_schema
from beamhall.training.schemas import (
    TIME,
    Schema,
    array,
    conditions,
    flag,
    integer,
    mapping,
    open_mapping,
    quantity,
    template_metadata,
    text,
    texts,
    texts_by_name,
    trainer_status_schema,
)

_NAME = 253


def train_job_definition() -> Object:
    """Make the CustomResourceDefinition of TrainJob."""
    schema = _root("TrainJob is a training run over a runtime.", _train_job_spec())
    schema["properties"]["status"] = _train_job_status()
    definition = _definition(TRAIN_JOB, "trainjob", schema)
    version = definition["spec"]["versions"][0]
    version["subresources"] = {"status": {}}
    version["additionalPrinterColumns"] = [
        {"name": "State", "type": "string", "jsonPath": ".status.conditions[-1:].type"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    return definition


def training_runtime_definition() -> Object:
    """Make the CustomResourceDefinition of TrainingRuntime."""
    schema = _root("TrainingRuntime is what TrainJobs of its namespace run over.", _runtime_spec())
    return _definition(TRAINING_RUNTIME, "trainingruntime", schema)


def cluster_training_runtime_definition() -> Object:
    """Make the CustomResourceDefinition of ClusterTrainingRuntime."""
    schema = _root("ClusterTrainingRuntime is what TrainJobs of any namespace run over.", _runtime_spec())
    return _definition(CLUSTER_TRAINING_RUNTIME, "clustertrainingruntime", schema)


def _root(description: str, spec: Schema) -> Schema:
    metadata: Schema = {"type": "object"}
    return mapping({"apiVersion": text(), "kind": text(), "metadata": metadata, "spec": spec}, description)


def _definition(kind: Kind, singular: str, schema: Schema) -> Object:
    version = {"name": kind.version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.resource},
        "spec": {
            "group": kind.group,
            "names": {"kind": kind.kind, "listKind": f"{kind.kind}List", "plural": kind.plural, "singular": singular},
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [version],
        },
    }


def _train_job_spec() -> Schema:
    ref = mapping(
        {
            "name": text("Its name.", minLength=1, maxLength=_NAME),
            "apiGroup": text("Its API group.", default=TRAIN_JOB.group, maxLength=_NAME),
            "kind": text("Its kind.", default=CLUSTER_TRAINING_RUNTIME.kind, maxLength=_NAME),
        },
        "The runtime.",
        ("name",),
    )
    properties = {
        "runtimeRef": ref,
        "initializer": mapping(
            {"dataset": _initializer("dataset"), "model": _initializer("model")}, "What is fetched before training."
        ),
        "trainer": _trainer(),
        "runtimePatches": array(_runtime_patch(), "Changes of the runtime, by who makes them.", key="manager", most=16),
        "suspend": flag("Take the Pods away until this is false.", default=False),
        "activeDeadlineSeconds": integer("Fail so many seconds after it started or resumed.", "int64", minimum=1),
        "managedBy": text(
            "Who runs this TrainJob.", default="trainer.kubeflow.org/trainjob-controller", maxLength=_NAME
        ),
    }
    return mapping(properties, "What shall be trained, and on what.", ("runtimeRef",))


def _variables() -> Schema:
    return array(open_mapping("", ("name",), name=text()), "Environment variables.", key="name", most=128)


def _initializer(what: str) -> Schema:
    return mapping(
        {
            "storageUri": text(f"Where the {what} is, as a URI.", maxLength=2048),
            "env": _variables(),
            "secretRef": mapping({"name": text()}, "The Secret with credentials, whose keys become variables."),
        },
        f"How the {what} is fetched.",
    )


def _trainer() -> Schema:
    amounts: Schema = {"type": "object", "additionalProperties": {"x-kubernetes-preserve-unknown-fields": True}}
    claim = mapping({"name": text(), "request": text()}, "", ("name",))
    resources = mapping({"limits": amounts, "requests": amounts, "claims": array(claim, key="name")}, "For each node.")
    return mapping(
        {
            "image": text("The image of the container that trains.", maxLength=500),
            "command": texts("Its command.", most=128),
            "args": texts("Its arguments.", most=128),
            "env": _variables(),
            "numNodes": integer("How many nodes train."),
            "resourcesPerNode": resources,
            "numProcPerNode": integer("How many processes each node has."),
        },
        "How training is done.",
    )


def _runtime_patch() -> Schema:
    pod = mapping(
        {
            "serviceAccountName": text(maxLength=_NAME),
            "nodeSelector": texts_by_name(),
            "terminationGracePeriodSeconds": integer("", "int64", minimum=0),
            "affinity": open_mapping(),
            "securityContext": open_mapping(),
            "tolerations": array(open_mapping(), most=128),
            "volumes": array(open_mapping("", ("name",), name=text()), key="name", most=128),
            "imagePullSecrets": array(mapping({"name": text(default="")}), key="name", most=64),
            "schedulingGates": array(mapping({"name": text()}, "", ("name",)), key="name", most=16),
            **{field: _container_patches() for field in ("containers", "initContainers")},
        },
        "What may be changed of the Pods.",
    )
    metadata = template_metadata()
    pod_template = mapping({"metadata": metadata, "spec": pod}, "Changes of the Pods.")
    job = mapping({"metadata": metadata, "spec": mapping({"template": pod_template})}, "Changes of the Job.")
    replicated = mapping({"name": text(minLength=1, maxLength=_NAME), "template": job}, "", ("name",))
    spec = mapping({"replicatedJobs": array(replicated, "", key="name", most=100)}, "Changes of its Jobs.")
    template = mapping({"metadata": metadata, "spec": spec}, "Changes of the JobSet.")
    return mapping(
        {
            "manager": text("Who makes this change.", minLength=1, maxLength=_NAME),
            "time": {**TIME, "description": "When it was written."},
            "trainingRuntimeSpec": mapping({"template": template}, "What is changed."),
        },
        "What somebody changes of the runtime.",
        ("manager",),
    )


def _container_patches() -> Schema:
    container = mapping(
        {
            "name": text("The container's name.", minLength=1, maxLength=_NAME),
            "env": _variables(),
            "volumeMounts": array(open_mapping("", ("mountPath", "name"), mountPath=text(), name=text()), most=128),
            "securityContext": open_mapping(),
        },
        "Changes of a container.",
        ("name",),
    )
    return array(container, "", key="name", most=64)


def _train_job_status() -> Schema:
    count = integer(minimum=0)
    job = mapping(
        {
            "name": text("Which of its Jobs.", minLength=1, maxLength=_NAME),
            **dict.fromkeys(("ready", "succeeded", "failed", "active", "suspended"), count),
        },
        "How one of its Jobs is.",
        ("active", "failed", "name", "ready", "succeeded", "suspended"),
    )
    return mapping(
        {
            "conditions": conditions() | {"maxItems": 8},
            "jobsStatus": array(job, "How its Jobs are.", key="name", most=100),
            "trainerStatus": trainer_status_schema(),
        },
        "How the TrainJob is.",
    )


def _runtime_spec() -> Schema:
    template = mapping(
        {"metadata": template_metadata(), "spec": job_set_spec_schema(with_defaults=False)},
        "The JobSet that a TrainJob becomes.",
    )
    coscheduling = mapping({"scheduleTimeoutSeconds": integer("How long Pods may wait.", default=60)})
    topology = mapping(
        {"highestTierAllowed": integer("", "int64"), "mode": text(default="hard", enum=["hard", "soft"])}
    )
    groups = {"coscheduling": coscheduling, "volcano": mapping({"networkTopology": topology})}
    properties = {
        "mlPolicy": _policy(),
        "podGroupPolicy": mapping(groups, "Who starts the Pods together, or none of them."),
        "template": template,
    }
    return mapping(properties, "What a TrainJob runs over.") | {"minProperties": 1}


def _policy() -> Schema:
    target = mapping(
        {"jobName": text("A replicated Job."), "containerNames": texts("Containers of it.")},
        "",
        ("containerNames", "jobName"),
    )
    injection = mapping({"targets": array(target, "", key="jobName")}, "Further containers that get the variables.")
    # The next two are of releases before 2.3; manifests have them.
    elastic = mapping(
        {
            "minNodes": integer(),
            "maxNodes": integer(),
            "maxRestarts": integer(),
            "metrics": array(open_mapping()),
        },
        "torchrun's elastic training.",
    )
    torch = {"envInjection": injection, "numProcPerNode": quantity(), "elasticPolicy": elastic}
    mpi = {
        "numProcPerNode": integer("Slots of each node.", default=1),
        "mpiImplementation": text("Which MPI it is.", default="OpenMPI", enum=["OpenMPI", ""]),
        "sshAuthMountPath": text("Where SSH keys are mounted.", default="/root/.ssh"),
        "runLauncherAsNode": flag("Whether the launcher trains too.", default=False),
    }
    properties = {
        "numNodes": integer("How many nodes train; 1 if left out."),
        "torch": mapping(torch, "PyTorch, by torchrun or torchtune."),
        "mpi": mapping(mpi, "MPI, by a launcher."),
        "jax": {"type": "object", "description": "JAX."},
        "xgboost": {"type": "object", "description": "XGBoost."},
        "flux": mapping({"numProcPerNode": integer("Processes of each node.", default=1)}, "Flux; not served."),
    }
    return mapping(properties, "How the processes of the Pods find each other.")
