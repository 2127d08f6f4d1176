"""What can be set about the node agent, each with a default that works.

The composition root fills this in; nothing here reads the environment or a file. Next: ``agent``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

PASSED_THROUGH = (
    "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "TZ", "LD_LIBRARY_PATH", "CUDA_HOME",
)  # fmt: skip
"""Variables of the service's own environment that containers get too: how to reach the network and the drivers."""


@dataclass(frozen=True, slots=True)
class BackOff:
    """Delays that double.

    Attributes:
        first_s: The delay after the first failure that waits.
        max_s: Delays grow up to this.
        reset_s: A container that ran for so long starts over with no delay.
    """

    first_s: float = 10.0
    max_s: float = 300.0
    reset_s: float = 600.0

    def delay_s(self, failures: int) -> float:
        """Give the delay after so many failures in a row that each came quickly; none after none."""
        return 0.0 if failures <= 0 else min(self.max_s, self.first_s * 2.0 ** min(failures - 1, 30))


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Settings of the node agent.

    Attributes:
        node_name: Name of the Node object; empty: the host's name in lower case.
        max_pods: Pods that the node takes.
        gpus: How many simulated GPUs; None: as many as NVML finds.
        gpu_shared_by: How many Pods may be given the same GPU.
        restart: Back-off between restarts of a container. As in Kubernetes the first restart is immediate.
        retry: Back-off of what may heal by itself and is quickly tried: unknown images, missing ConfigMaps, volumes.
        remake: Back-off of making an environment that failed, which costs downloads.
        warm_start: Whether containers may start by forking a warm parent process.
        step_environments: Whether what the command lines of pipelines' steps install is installed once, in environments
            that are kept, and not by them.
        allow_host_path: Whether Pods may mount the host's directories.
        private_tmp: Whether each container has a ``/tmp`` of its own, where the machine permits that.
        passed_through: Names of host variables that containers get.
        env: Variables that every container gets, for instance a proxy of the laboratory.
        heartbeat_s: How often the Lease that says that this node is alive is renewed; it holds four times as long.
        log_max_bytes: A container's log is rotated when a file of it would grow larger.
        log_max_files: How many files of a container's log are kept.
        storage_check_s: How often it is looked how much Pods with limits on storage hold.
        minimum_grace_s: What a Pod whose object is gone already gets between SIGTERM and SIGKILL.
        pod_network: Where Pod addresses are taken from, in 127.0.0.0/8.
        usage_period_s: How often usage is looked at while containers run.
        cgroups: Whether limits are kept by control groups, where the machine permits that.
        pod_pids_limit: Processes and threads that a Pod may have, where control groups permit that; 0: no limit.
    """

    node_name: str = ""
    max_pods: int = 1000
    gpus: int | None = None
    gpu_shared_by: int = 1
    restart: BackOff = field(default_factory=BackOff)
    retry: BackOff = field(default_factory=lambda: BackOff(first_s=2.0, max_s=20.0))
    remake: BackOff = field(default_factory=BackOff)
    warm_start: bool = True
    step_environments: bool = True
    allow_host_path: bool = False
    private_tmp: bool = True
    passed_through: tuple[str, ...] = PASSED_THROUGH
    env: Mapping[str, str] = field(default_factory=dict)
    heartbeat_s: float = 60.0
    log_max_bytes: int = 10 << 20
    log_max_files: int = 5
    storage_check_s: float = 10.0
    minimum_grace_s: float = 2.0
    pod_network: str = "127.64.0.0/11"
    usage_period_s: float = 15.0
    cgroups: bool = True
    pod_pids_limit: int = 0
