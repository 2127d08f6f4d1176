"""Resources of containers as control groups are told them."""

import pytest

from beamhall.embedded.agent.limits.amounts import Amounts, amounts_of, pod_shares, shares_of, weight_of


@pytest.mark.parametrize(
    ("resources", "amounts", "quota_us"),
    [
        ({}, Amounts(None, None, 102), None),
        (None, Amounts(None, None, 102), None),
        ({"limits": {"cpu": "2", "memory": "1Gi"}}, Amounts(2.0, 2**30, 2048), 200_000),
        ({"limits": {"cpu": "1500m"}, "requests": {"cpu": "250m"}}, Amounts(1.5, None, 256), 150_000),
        ({"requests": {"cpu": 1, "memory": "1Gi"}}, Amounts(None, None, 1024), None),
        ({"limits": {"cpu": "1m", "memory": "1.5M"}}, Amounts(0.001, 1_500_000, 2), 1000),
        ({"limits": {"cpu": "0", "memory": "0"}}, Amounts(None, None, 102), None),
    ],
)
def test_what_a_container_may_use(resources, amounts, quota_us):
    found = amounts_of({"name": "c", "resources": resources})
    assert found == amounts
    assert found.quota_us == quota_us


@pytest.mark.parametrize(
    ("cpus", "shares", "weight"), [(0, 102, 4), (0.001, 2, 1), (1, 1024, 39), (2, 2048, 79), (1e6, 262144, 10000)]
)
def test_weights(cpus, shares, weight):
    assert shares_of(cpus) == shares
    assert weight_of(shares) == weight


def asking(cpu, **fields):
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}} | fields


def test_a_pod_weighs_what_runs_together_or_its_largest_init_container():
    pod = {"spec": {"containers": [asking("1"), asking("500m")]}}
    assert pod_shares(pod) == 1536
    pod["spec"]["initContainers"] = [asking("1"), asking("250m", restartPolicy="Always")]
    assert pod_shares(pod) == 1792
    pod["spec"]["initContainers"] = [asking("4")]
    assert pod_shares(pod) == 4096
