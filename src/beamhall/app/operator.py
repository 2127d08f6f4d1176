"""The operator: the planners of the capabilities as a process of its own, on a real cluster, over HTTP."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from beamhall.app.clock import SystemClock
from beamhall.app.controllers import operator_controllers
from beamhall.app.definitions import install_definitions
from beamhall.app.logs import configure_logs
from beamhall.client.http import HttpClient
from beamhall.client.kubeconfig import load_kubeconfig
from beamhall.runtime.leases import Lease
from beamhall.runtime.manager import Manager
from beamhall.training.planner import TrainingSettings
from beamhall.training.registry import training_definitions

_LEASE = "beamhall-operator"


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """How an operator runs.

    Attributes:
        kubeconfig: File that says where the cluster is; None: as kubectl finds it, or in-cluster.
        context: A context of it; empty: its current one.
        gang: The gang scheduler of the cluster; empty: none.
        cluster_domain: Put after ``.svc`` in host names; empty: nothing.
        namespace: Where the Lease is kept.
        install: Whether missing CustomResourceDefinitions are made.
        log_level: Level of the log.
    """

    kubeconfig: Path | None
    context: str = ""
    gang: Literal["", "scheduler-plugins", "volcano"] = ""
    cluster_domain: str = ""
    namespace: str = "kube-system"
    install: bool = True
    log_level: str = "info"


async def operate(settings: OperatorSettings, say: Callable[[str], None]) -> None:
    """Run until cancelled.

    Args:
        settings: How.
        say: Prints one line: when it begins to work.

    Raises:
        ApiError: The cluster refuses what the operator needs.
    """
    configure_logs(settings.log_level, "auto")
    clock = SystemClock()
    config = load_kubeconfig(settings.kubeconfig, settings.context)
    async with HttpClient(config) as client:
        if settings.install:
            await install_definitions(client, training_definitions(), update=False)
        controllers = operator_controllers(TrainingSettings(gang=settings.gang), settings.cluster_domain)
        identity = f"{socket.gethostname()}_{os.getpid()}"

        async def work() -> None:
            say(f"beamhall operator {identity} works on {config.cluster.server}")
            await Manager(client, controllers, clock).run()

        while True:
            await Lease(client, clock, (settings.namespace, _LEASE), identity).lead(work)
