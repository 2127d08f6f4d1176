"""ServiceAccounts: every namespace has one that is called ``default``.

Source: Kubernetes "Managing Service Accounts", section "ServiceAccount controller".
"""

from beamhall.kernel.kinds import SERVICE_ACCOUNT
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, name_of
from beamhall.kernel.plan import Create, Plan, View

DEFAULT = "default"


def plan_namespace_accounts(namespace: ReadOnlyObject, view: View) -> Plan:
    """Make the default ServiceAccount of a namespace, unless it is going."""
    if is_being_deleted(namespace) or (namespace.get("status") or {}).get("phase") == "Terminating":
        return Plan()
    if view.get(SERVICE_ACCOUNT, DEFAULT, name_of(namespace)) is not None:
        return Plan()
    account = {
        "apiVersion": SERVICE_ACCOUNT.api_version,
        "kind": SERVICE_ACCOUNT.kind,
        "metadata": {"name": DEFAULT, "namespace": name_of(namespace)},
    }
    return Plan((Create(SERVICE_ACCOUNT, account),))
