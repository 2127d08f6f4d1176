"""Several streams in one WebSocket: each message begins with the number of its channel. Pure.

Source: Kubernetes, ``staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go`` and
``staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand/websocket.go``; KEP-4006.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass

from beamhall.kernel.errors import BadRequest
from beamhall.kernel.objects import Object

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
"""The channels of a remote command."""

CLOSE = 255
"""Of v5 on: a message on this channel names one whose input has ended."""

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io")


@dataclass(frozen=True, slots=True)
class Channels:
    """How channels are written.

    Attributes:
        protocol: The subprotocol that was agreed on; empty: the client offered none, and v4 is meant.
    """

    protocol: str

    @property
    def is_base64(self) -> bool:
        """Whether messages are text: the channel's digit, then base64."""
        return "base64" in self.protocol

    def encode(self, channel: int, data: bytes) -> bytes:
        """Write a message."""
        if self.is_base64:
            return b"%d" % channel + base64.b64encode(data)
        return bytes((channel,)) + data

    def decode(self, message: bytes) -> tuple[int, bytes]:
        """Read a message: its channel and data. ``CLOSE`` comes with the number of the channel that ends.

        Raises:
            BadRequest: It is none.
        """
        if not message:
            raise BadRequest("a message without a channel")
        if not self.is_base64:
            return message[0], message[1:]
        try:
            return int(message[:1]), base64.b64decode(message[1:], validate=True)
        except (ValueError, binascii.Error) as error:
            raise BadRequest(f"a message that is no digit and base64: {error}") from error


def choose(offered: Sequence[str], served: Sequence[str] = PROTOCOLS) -> str:
    """Choose the first protocol that the client offers and is served; empty if it offers none at all.

    Raises:
        BadRequest: It offers others only.
    """
    if not offered:
        return ""
    for protocol in offered:
        if protocol in served:
            return protocol
    raise BadRequest(f"unable to upgrade: none of the protocols is served: {list(offered)}; served are: {list(served)}")


def read_size(data: bytes) -> tuple[int, int] | None:
    """Read the size of a window: rows and columns. None if there is none in it, or it is no size."""
    try:
        size = json.loads(data)
        rows, columns = int(size["Height"]), int(size["Width"])
    except (ValueError, TypeError, KeyError):
        return None
    return (rows, columns) if 0 <= rows < 65536 and 0 <= columns < 65536 else None


def exit_status(code: int) -> Object:
    """Say in a ``Status`` how a command ended."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
