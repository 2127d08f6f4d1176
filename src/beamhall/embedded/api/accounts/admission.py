"""Whose Pod it is: a new Pod's service account is looked up, and the Pod gets what the account gives.

Source: ``kubernetes/plugin/pkg/admission/serviceaccount``.
"""

from beamhall.embedded.api.accounts.pod_access import add_access, wants_access
from beamhall.embedded.api.accounts.upkeep import DEFAULT, Upkeep
from beamhall.embedded.api.core import Operation
from beamhall.kernel.errors import Forbidden
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import Object, annotations_of, name_of, namespace_of, uid_of

_MIRROR = "kubernetes.io/config.mirror"
_SUFFIX_LENGTH = 5


class ServiceAccountAdmission:
    """An ``Admission`` of new Pods.

    Args:
        upkeep: Knows the accounts, and makes what a namespace that was just made does not have yet.
    """

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep

    async def admit(self, operation: Operation) -> None:
        """Give a new Pod what its account gives.

        Raises:
            Forbidden: There is no such account.
        """
        if operation.resource.kind != POD or operation.verb != "create" or operation.subresource:
            return
        pod = operation.object
        if _MIRROR in annotations_of(pod):
            return
        spec = pod["spec"]
        account = await self._account(pod, str(spec.get("serviceAccountName") or DEFAULT), dry_run=operation.dry_run)
        if self._upkeep.gives_access and wants_access(spec, account):
            if not operation.dry_run:
                await self._upkeep.ensure_authority(namespace_of(pod))
            add_access(spec, uid_of(pod).replace("-", "")[:_SUFFIX_LENGTH])
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]

    async def _account(self, pod: Object, name: str, *, dry_run: bool) -> Object:
        namespace = namespace_of(pod)
        account = self._upkeep.account(namespace, name)
        if account is None and name == DEFAULT:
            # The namespace may be so new that the controller has not come round to it: no Pod has to try again.
            account = {} if dry_run else await self._upkeep.make_default_account(namespace)
        if account is None:
            raise Forbidden(
                f'pods "{name_of(pod)}" is forbidden: error looking up service account {namespace}/{name}: '
                f'serviceaccount "{name}" not found',
                details={"name": name_of(pod), "kind": POD.plural},
            )
        return account
