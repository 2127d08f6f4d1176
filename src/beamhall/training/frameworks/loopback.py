"""Programs that tell their peers addresses which a Pod on the loopback network does not have.

Open MPI names the addresses of interfaces; XGBoost names the one that its connection to the tracker comes from, which
is 127.0.0.1 where Pods have addresses on loopback. So there they must listen.
"""

from beamhall.kernel.names import CHOSEN_PORTS_ANNOTATION
from beamhall.kernel.objects import Object


def choose_ports_on_loopback(pod: Object) -> None:
    """Let the TCP servers of a Pod, or of a template's Pods, listen at 127.0.0.1 where the kernel chooses the port.

    In place.
    """
    metadata = pod["metadata"] = pod.get("metadata") or {}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), CHOSEN_PORTS_ANNOTATION: "loopback"}
