"""Which means of isolation work on this machine, for starting containers and for ``beamhall doctor``.

Found by trying, in a process of its own (``child.probe``), since each of kernel, distribution, container runtime and
user decides along. Knows no sandbox.
"""

import json
import subprocess
import sys
from pathlib import Path

from beamhall.embedded.agent.sandbox.specification import Capabilities, Capability

ZYGOTE = Path(__file__).parent / "child" / "zygote.py"
_ADVICE_NAMESPACES = (
    "run as root, or permit user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
    "kernel.apparmor_restrict_unprivileged_userns)"
)


def detect_capabilities() -> Capabilities:
    """Try what works here. Blocks for the start of a small Python, about 50 ms."""
    command = [sys.executable, "-S", "-E", str(ZYGOTE), "probe"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        broken = Capability(works=False, reason=f"the probe failed: {done.stderr.strip()[-300:]}")
        return Capabilities(broken, broken, broken)
    found: dict[str, str] = json.loads(done.stdout)
    return Capabilities(
        mounts=_namespace(found, "mounts", "volumes at absolute paths and names of Pods"),
        hostname=_namespace(found, "hostname", "host names of Pods"),
        network=Capability(
            works=not found["network"],
            reason=found["network"]
            and f"{found['network']}: servers of two Pods that listen on the same port of all addresses will collide; "
            "Linux 5.6 or newer with seccomp user notification is needed",
        ),
    )


def _namespace(found: dict[str, str], name: str, purpose: str) -> Capability:
    for how in ("root", "user"):
        if not found[f"{how} {name}"]:
            return Capability(works=True, how="root" if how == "root" else "user namespace")
    why = f"as root: {found[f'root {name}']}; in a user namespace: {found[f'user {name}']}"
    return Capability(works=False, reason=f"no {purpose} ({why}); {_ADVICE_NAMESPACES}")
