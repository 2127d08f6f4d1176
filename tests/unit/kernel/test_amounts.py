"""What a whole Pod comes to."""

from decimal import Decimal

import pytest

from beamhall.kernel.amounts import add, maximum, pod_total


def container(cpu, **fields):
    return {"cpu": cpu, **fields}


@pytest.mark.parametrize(
    ("containers", "inits", "expected"),
    [
        ([1, 2], [], 3),
        ([1], [(5, "")], 5),
        ([3], [(1, ""), (2, "")], 3),
        ([1], [(1, "Always")], 2),
        ([1], [(1, "Always"), (4, "")], 5),
        ([1], [(4, ""), (1, "Always")], 4),
        ([2], [(1, "Always"), (1, "Always"), (1, "")], 4),
    ],
)
def test_init_containers_count_by_their_maximum_and_sidecars_from_their_start(containers, inits, expected):
    spec = {
        "containers": [container(cpu) for cpu in containers],
        "initContainers": [container(cpu, restartPolicy=policy) for cpu, policy in inits],
    }
    assert pod_total({"spec": spec}, lambda one: {"cpu": one["cpu"]}) == {"cpu": expected}


def test_amounts_of_any_number_are_added_by_name():
    assert add([{"a": Decimal("0.5")}, {"a": Decimal("0.5"), "b": Decimal(2)}, {}]) == {"a": 1, "b": 2}
    assert maximum({"a": 1, "b": 5}, {"a": 2, "c": 3}) == {"a": 2, "b": 5, "c": 3}
