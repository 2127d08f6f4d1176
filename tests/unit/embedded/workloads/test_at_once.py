"""Which Pods get their node when they are made."""

import pytest

from beamhall.embedded.workloads.scheduling.at_once import may_go_at_once
from tests.unit.embedded.workloads.cluster import node, pod

_, NODE = node()
_AWAY = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}


def test_a_pod_that_asks_for_nothing_may_go_at_once():
    assert may_go_at_once(pod()[1], NODE, 0)
    assert may_go_at_once(pod(nodeSelector={"kubernetes.io/hostname": "n"})[1], NODE, 109)


@pytest.mark.parametrize(
    "asked",
    [
        pod(cpu="1m"),
        pod(gpu=1),
        pod(group="g"),
        pod(on="n"),
        pod(schedulerName="mine"),
        pod(schedulingGates=[{"name": "g"}]),
        pod(nodeSelector={"kubernetes.io/hostname": "other"}),
        pod(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_AWAY]}}),
        pod(containers=[{"name": "c", "image": "i", "ports": [{"containerPort": 1, "hostPort": 1}]}]),
        pod(phase="Succeeded"),
    ],
)
def test_a_pod_for_which_there_is_something_to_weigh_goes_by_the_scheduler(asked):
    assert not may_go_at_once(asked[1], NODE, 0)


@pytest.mark.parametrize(
    ("there", "others"),
    [
        (node(), 110),
        (node(unschedulable=True), 0),
        (node(taints=[{"key": "k", "effect": "NoSchedule"}]), 0),
        ((0, {**NODE, "status": {**NODE["status"], "conditions": [{"type": "Ready", "status": "False"}]}}), 0),
    ],
)
def test_a_node_that_takes_nobody_now_is_left_to_the_scheduler(there, others):
    assert not may_go_at_once(pod()[1], there[1], others)
