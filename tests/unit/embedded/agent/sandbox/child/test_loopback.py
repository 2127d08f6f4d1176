import socket
import struct

import pytest

from beamhall.embedded.agent.sandbox.child.loopback import Name, bind_name, connect_name, listens

POD = socket.inet_aton("127.5.6.7")


def name(host: str, port: int = 80) -> Name:
    if ":" in host:
        ip = socket.inet_pton(socket.AF_INET6, host)
        return Name(struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", port, 7) + ip + struct.pack("=I", 9))
    return Name(struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8))


@pytest.mark.parametrize(
    ("asked", "is_stream", "is_v6_only", "bound"),
    [
        (name("0.0.0.0"), True, False, ("127.5.6.7", 80)),
        (name("0.0.0.0"), False, False, ("127.5.6.7", 80)),
        (name("127.0.0.1"), True, False, ("127.5.6.7", 80)),
        (name("::"), True, False, ("::ffff:127.5.6.7", 80)),
        (name("::1"), True, False, ("::ffff:127.5.6.7", 80)),
        (name("::ffff:0.0.0.0"), True, False, ("::ffff:127.5.6.7", 80)),
        (name("::ffff:127.0.0.1"), True, False, ("::ffff:127.5.6.7", 80)),
        (name("::"), True, True, ("fdbe:a800::7f05:607", 80)),
        (name("0.0.0.0", 0), True, False, ("127.5.6.7", 0)),
        (name("0.0.0.0", 0), False, False, None),
        (name("127.0.0.1", 0), True, False, None),
        (name("127.5.6.7"), True, False, None),
        (name("127.0.0.2"), True, False, None),
        (name("192.168.1.1"), True, False, None),
        (name("2001:db8::1"), True, False, None),
        (Name(struct.pack("=H", socket.AF_UNIX) + b"/run/socket"), True, False, None),
        (Name(b""), True, False, None),
        (Name(struct.pack("=H", socket.AF_INET) + b"\0\0"), True, False, None),
    ],
)
def test_where_a_server_is_bound(asked, is_stream, is_v6_only, bound):
    target = bind_name(asked, POD, is_stream=is_stream, is_v6_only=is_v6_only)
    assert (target and target.python) == bound
    if target:
        assert len(target.data) == len(asked.data)
        assert target.family == asked.family


@pytest.mark.parametrize(
    ("asked", "bound"),
    [
        (name("0.0.0.0", 0), ("127.0.0.1", 0)),
        (name("::", 0), ("::ffff:127.0.0.1", 0)),
        (name("0.0.0.0", 80), ("127.5.6.7", 80)),
    ],
)
def test_ports_that_the_kernel_chooses_may_be_on_the_loopback(asked, bound):
    target = bind_name(asked, POD, is_stream=True, is_v6_only=False, chosen=socket.inet_aton("127.0.0.1"))
    assert target is not None
    assert target.python == bound


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_call_goes_to_the_pod_only_if_it_listens_there(family, kind):
    is_stream = kind == socket.SOCK_STREAM
    with socket.socket(family, kind) as server:
        server.bind(("::ffff:127.5.6.7" if family == socket.AF_INET6 else "127.5.6.7", 0))
        port = server.getsockname()[1]
        if is_stream:
            assert connect_name(name("127.0.0.1", port), POD, is_stream=True) is None
            server.listen()
        called = connect_name(name("127.0.0.1", port), POD, is_stream=is_stream)
        assert called is not None
        assert called.python == ("127.5.6.7", port)
        assert connect_name(name("::1", port), POD, is_stream=is_stream) is not None
        assert connect_name(name("127.0.0.1", port), socket.inet_aton("127.5.6.8"), is_stream=is_stream) is None
        assert connect_name(name("10.0.0.1", port), POD, is_stream=is_stream) is None
        assert not listens(POD, port, "udp" if is_stream else "tcp")
