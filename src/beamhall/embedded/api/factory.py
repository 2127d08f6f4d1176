"""How the API server is made: what ``app`` and tests call.

    api = create_resource_api(store, clock, random)     # the verbs; client.local.LocalClient(api, user) is a Client
    app = create_app(api, pod_logs)                     # the HTTP surface; mount it at /k8s behind authentication
    task_group.create_task(api.run())                   # first namespaces, garbage collection; until cancelled

Authentication is not done here: the ASGI scope carries ``state["user"]``, a ``kernel.identity.User``; without one every
request is answered 401.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from starlette.types import ASGIApp

from beamhall.embedded.api.accounts.admission import ServiceAccountAdmission
from beamhall.embedded.api.accounts.upkeep import Upkeep
from beamhall.embedded.api.addresses import ServiceAddresses
from beamhall.embedded.api.admission import standard_admissions
from beamhall.embedded.api.builtin_rules import built_in_resources
from beamhall.embedded.api.core import Admission, Core, Validator
from beamhall.embedded.api.definition_names import DefinitionNames
from beamhall.embedded.api.http import KubernetesApp
from beamhall.embedded.api.node_ports import NodePorts
from beamhall.embedded.api.owners import Owners
from beamhall.embedded.api.pod_streams import PodStreams
from beamhall.embedded.api.priorities import PodPriority
from beamhall.embedded.api.quota.admission import QuotaAdmission
from beamhall.embedded.api.quota.ledger import Ledger
from beamhall.embedded.api.rbac.authorizer import RbacAuthorizer
from beamhall.embedded.api.rbac.escalation import Escalation
from beamhall.embedded.api.rbac.index import RbacIndex
from beamhall.embedded.api.registry import Registry
from beamhall.embedded.api.reviews import Reviews
from beamhall.embedded.api.signing import SigningKey
from beamhall.embedded.api.subresources import bind, evict
from beamhall.embedded.api.token_requests import TokenRequests
from beamhall.embedded.api.tokens import ServiceAccountTokens
from beamhall.embedded.api.usage_source import UsageSource
from beamhall.embedded.api.verbs import Api, PodLogs
from beamhall.embedded.store.store import Store
from beamhall.kernel.clock import Clock
from beamhall.kernel.kinds import Kind

__all__ = ["Api", "Identity", "PodLogs", "create_app", "create_resource_api"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What an API server is known by.

    Attributes:
        signing_key: What service-account tokens are signed with (PEM, P-256); empty: a new key for this process.
        authority: Certificate authority that its own certificate is signed with (PEM). Pods get it, with a token;
            empty: they get no access to the API.
    """

    signing_key: str = ""
    authority: str = ""


def create_resource_api(
    store: Store,
    clock: Clock,
    random: Random,
    *,
    admissions: Sequence[Admission] = (),
    validators: Mapping[Kind, Validator] | None = None,
    identity: Identity | None = None,
) -> Api:
    """Make the resource API on an open store; stored CustomResourceDefinitions are served at once.

    Args:
        store: Where objects are kept; it must outlive the API.
        clock: The time.
        random: Source of uids, generated names and addresses.
        admissions: What else is asked before each write, in order.
        validators: What else is asked by kind of objects that are right by their schema, as webhooks would be.
        identity: What the server is known by; None: nothing that outlives the process.
    """
    identity = identity or Identity()
    addresses = ServiceAddresses(store, random)
    registry = Registry(built_in_resources(addresses.allocate))
    ledger = Ledger(store, registry)
    node_ports = NodePorts(store, random)
    roles = RbacIndex(store)
    authorizer = RbacAuthorizer(roles)
    priorities = PodPriority(store)
    core = Core(store, clock, registry, authorizer, (), random, Owners(clock), validators=validators or {})
    tokens = ServiceAccountTokens(store, clock, SigningKey(identity.signing_key))
    upkeep = Upkeep(core, tokens, identity.authority)
    core.admissions = (
        ServiceAccountAdmission(upkeep),
        priorities,
        *standard_admissions(store),
        DefinitionNames(store, clock),
        node_ports,
        Escalation(roles, authorizer),
        *admissions,
        QuotaAdmission(ledger),
    )
    core.observers += [priorities, roles, ledger, node_ports, addresses, upkeep]
    api = Api(core, ledger, tokens, Reviews(core, authorizer, tokens))
    api.errands.append(upkeep.run)
    api.creators.update({
        ("pods", "binding"): partial(bind, api),
        ("pods", "eviction"): partial(evict, api),
        ("serviceaccounts", "token"): TokenRequests(core, tokens).create,
    })  # fmt: skip
    return api


def create_app(
    api: Api, logs: PodLogs | None = None, streams: PodStreams | None = None, usage: UsageSource | None = None
) -> ASGIApp:
    """Make the HTTP surface of an API.

    Args:
        api: The verbs.
        logs: Where Pod logs come from (``embedded.agent.logs.PodLogs``); None: logs are answered 503.
        streams: Who reaches into Pods (``embedded.agent.remote.PodStreams``); None: exec is answered 503.
        usage: Who knows what Pods and nodes use (``Agent.metering``); None: ``kubectl top`` is answered 503.
    """
    if logs is not None:
        api.logs_of = logs
    if streams is not None:
        api.streams_of = streams
    if usage is not None:
        api.usage_of = usage
    return KubernetesApp(api)
