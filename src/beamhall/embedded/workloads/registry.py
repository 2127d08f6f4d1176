"""The planners and definitions of the embedded cluster itself, for ``beamhall.app``."""

from collections.abc import Sequence

from beamhall.embedded.workloads import orphans, pod_groups
from beamhall.embedded.workloads.accounts import plan_namespace_accounts
from beamhall.embedded.workloads.aggregation import plan_aggregation
from beamhall.embedded.workloads.claim_protection import plan_protection, used_claims
from beamhall.embedded.workloads.claiming import selected_by
from beamhall.embedded.workloads.claims import plan_claims
from beamhall.embedded.workloads.crds import pod_group_definition
from beamhall.embedded.workloads.cron_jobs import plan_cron_job
from beamhall.embedded.workloads.deployments import concerned_deployments, plan_deployment
from beamhall.embedded.workloads.evictions import plan_evictions
from beamhall.embedded.workloads.jobs import plan_job
from beamhall.embedded.workloads.lost_nodes import plan_lost_nodes
from beamhall.embedded.workloads.orphans import plan_orphans
from beamhall.embedded.workloads.pod_groups import plan_pod_groups
from beamhall.embedded.workloads.replica_sets import plan_replica_set
from beamhall.embedded.workloads.scheduling import plan_scheduling
from beamhall.embedded.workloads.services import concerned_services, plan_endpoints
from beamhall.embedded.workloads.stateful_sets import STATEFUL_WATCHES, plan_stateful_set
from beamhall.kernel.kinds import (
    CLUSTER_ROLE,
    CRON_JOB,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    ENDPOINTS,
    JOB,
    LEASE,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_GROUP,
    REPLICA_SET,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    STORAGE_CLASS,
)
from beamhall.kernel.objects import Object
from beamhall.kernel.planner import Planner


def workload_planners(own_node: str = "") -> Sequence[Planner]:
    """Give the planners that make Pods, nodes and Services into a cluster; ``own_node`` is where this service runs."""
    return (
        Planner("scheduler", POD, plan_scheduling, watches=(NODE, POD_GROUP, NAMESPACE), singleton=True),
        Planner("role-aggregation", CLUSTER_ROLE, plan_aggregation, singleton=True),
        Planner("evictions", NODE, plan_evictions, watches=(POD,), singleton=True),
        Planner("orphans", NODE, plan_orphans, watches=(POD,), singleton=True, rest_s=orphans.REST_S),
        Planner("lost-nodes", NODE, lambda _, view: plan_lost_nodes(view, own_node), watches=(LEASE,), singleton=True),
        Planner("pod-groups", POD_GROUP, plan_pod_groups, watches=(POD,), singleton=True, rest_s=pod_groups.REST_S),
        Planner("job", JOB, plan_job, watches=(POD,)),
        Planner("cronjob", CRON_JOB, plan_cron_job, watches=(JOB,)),
        Planner("replicaset", REPLICA_SET, plan_replica_set, watches=(POD,), concerns=selected_by(REPLICA_SET)),
        Planner("deployment", DEPLOYMENT, plan_deployment, watches=(REPLICA_SET, POD), concerns=concerned_deployments),
        Planner("statefulset", STATEFUL_SET, plan_stateful_set, STATEFUL_WATCHES, concerns=selected_by(STATEFUL_SET)),
        Planner("endpoints", SERVICE, plan_endpoints, (POD, ENDPOINTS, ENDPOINT_SLICE), concerns=concerned_services),
        Planner("claims", PERSISTENT_VOLUME_CLAIM, plan_claims, (PERSISTENT_VOLUME, STORAGE_CLASS), singleton=True),
        Planner("claim-protection", PERSISTENT_VOLUME_CLAIM, plan_protection, (POD,), concerns=used_claims),
        Planner("accounts", NAMESPACE, plan_namespace_accounts, watches=(SERVICE_ACCOUNT,)),
    )


def workload_definitions() -> Sequence[Object]:
    """Give the definitions of the kinds that these planners work on and that are not built in."""
    return (pod_group_definition(),)
