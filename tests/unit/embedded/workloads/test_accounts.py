"""The default ServiceAccount of each namespace."""

from beamhall.embedded.workloads.accounts import plan_namespace_accounts
from beamhall.kernel.kinds import NAMESPACE, SERVICE_ACCOUNT
from tests.planning import World


def test_a_namespace_has_a_default_account() -> None:
    world = World((NAMESPACE, {"metadata": {"name": "ns"}}))
    world.settle(plan_namespace_accounts, NAMESPACE, "ns", "")
    assert [(a["metadata"]["namespace"], a["metadata"]["name"]) for a in world.list(SERVICE_ACCOUNT)] == [
        ("ns", "default")
    ]


def test_a_namespace_that_is_going_gets_nothing() -> None:
    world = World((NAMESPACE, {"metadata": {"name": "ns"}, "status": {"phase": "Terminating"}}))
    assert plan_namespace_accounts(world.list(NAMESPACE)[0], world).actions == ()
