"""A Pod's address on the loopback network: what its ``bind`` and ``connect`` calls are turned into.

``bind`` to the wildcard address, or to 127.0.0.1 or ::1 with a port, happens at the Pod's own address instead. So two
Pods can have the same port, and a server of one Pod is not reached by another's loopback. ``connect`` to the loopback
goes to the Pod's address where something of the Pod listens on that port, else to the host's. Ports that the kernel
chooses (0) cannot collide: there only TCP's wildcard is confined, to the Pod's address, or to 127.0.0.1 for programs
that tell their peers the addresses of interfaces, where a Pod's is none (MPI). Everything else is left alone.
``getsockname`` shows the Pod's address. This keeps Pods from colliding; it is no security boundary.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct

from beamhall.embedded.agent.sandbox.child import linux, seccomp

_MAPPED = bytes(10) + b"\xff\xff"
_ANY4 = bytes(4)
_LOOPBACK4 = bytes((127, 0, 0, 1))
_ANY6 = bytes(16)
_LOOPBACK6 = bytes(15) + b"\x01"
_IPV6_FREEBIND = 78
_ADDRESS_BYTES_LIMIT = 128
_CALLS_IN_A_ROW = 64
_LISTENING = ("0A", "07")  # TCP in LISTEN; UDP, which has only this state


class Name:
    """A socket address as the kernel reads it: family, port, IP address."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.family = struct.unpack_from("=H", data)[0] if len(data) >= 2 else 0
        self.ip = b""
        self.port = 0
        if self.family == socket.AF_INET and len(data) >= 8:
            self.port = struct.unpack_from(">H", data, 2)[0]
            self.ip = data[4:8]
        elif self.family == socket.AF_INET6 and len(data) >= 24:
            self.port = struct.unpack_from(">H", data, 2)[0]
            self.ip = data[8:24]

    @property
    def ip4(self) -> bytes:
        """The IPv4 address, also where it is written as an IPv6 one; empty if it is none."""
        if len(self.ip) == 16:
            return self.ip[12:] if self.ip.startswith(_MAPPED) else b""
        return self.ip

    @property
    def is_any(self) -> bool:
        """Whether this is the wildcard address."""
        return self.ip == _ANY6 or self.ip4 == _ANY4

    @property
    def is_loopback(self) -> bool:
        """Whether this is 127.0.0.1 or ::1; the rest of 127.0.0.0/8 is not meant."""
        return self.ip == _LOOPBACK6 or self.ip4 == _LOOPBACK4

    def at(self, ip4: bytes) -> Name:
        """Give the same port at an IPv4 address, for a socket of the same family."""
        if self.family == socket.AF_INET:
            return Name(self.data[:4] + ip4 + self.data[8:])
        return Name(self.data[:8] + _MAPPED + ip4 + self.data[24:])

    def at_nowhere(self, ip4: bytes) -> Name:
        """Give the same port at an IPv6 address that is this Pod's only and that nothing leads to."""
        return Name(self.data[:8] + b"\xfd\xbe\xa8" + bytes(9) + ip4 + self.data[24:])

    @property
    def python(self) -> tuple[str, int]:
        """The address as Python's sockets take it."""
        return socket.inet_ntop(self.family, self.ip), self.port


def bind_name(name: Name, pod: bytes, *, is_stream: bool, is_v6_only: bool, chosen: bytes | None = None) -> Name | None:
    """Decide where a ``bind`` goes.

    Args:
        name: What the program asks for.
        pod: The Pod's IPv4 address, four bytes.
        is_stream: Whether the socket is TCP's.
        is_v6_only: Whether it takes IPv6 only. Such a socket is bound where nobody comes: its Pod has IPv4 only, as on
            a cluster, and the program's IPv4 socket of the same port must find its place free.
        chosen: Where TCP ports go that the kernel chooses; None: the Pod's address.

    Returns:
        None to leave it as it is.
    """
    if not (name.is_any or name.is_loopback):
        return None
    if name.port == 0 and not (is_stream and name.is_any):
        return None
    if is_v6_only:
        return name.at_nowhere(pod)
    return name.at(chosen if chosen and name.port == 0 else pod)


def connect_name(name: Name, pod: bytes, *, is_stream: bool) -> Name | None:
    """Decide where a ``connect`` goes; None to leave it as it is."""
    if not name.port or not (name.is_any or name.is_loopback):
        return None
    return name.at(pod) if listens(pod, name.port, "tcp" if is_stream else "udp") else None


def listens(pod: bytes, port: int, protocol: str) -> bool:
    """Tell whether a socket listens on exactly this address and port (``tcp`` or ``udp``)."""
    ip4 = f"{struct.unpack('=I', pod)[0]:08X}:{port:04X}"
    for table, local in ((protocol, ip4), (protocol + "6", "0000000000000000FFFF0000" + ip4)):
        try:
            with open(f"/proc/net/{table}", encoding="utf-8") as file:
                for line in file:
                    if local in line:
                        fields = line.split()
                        if fields[1] == local and fields[3] in _LISTENING:
                            return True
        except OSError:
            continue
    return False


class Proxy:
    """Answers the calls of one container.

    Args:
        fd: The listener, to be polled.
        address: The Pod's address.
        chosen_ports: Where TCP ports go that the kernel chooses; empty: the Pod's address.
    """

    def __init__(self, fd: int, address: str, chosen_ports: str = "") -> None:
        self.fd = fd
        self._pod = socket.inet_aton(address)
        self._chosen = socket.inet_aton(chosen_ports) if chosen_ports else None
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def serve(self) -> bool:
        """Answer the calls that wait now, but not without end. False when the container is gone, with its listener."""
        for _ in range(_CALLS_IN_A_ROW):
            ready = self._poll.poll(0)
            if not ready:
                return True
            if not ready[0][1] & select.POLLIN:
                return False
            try:
                call = seccomp.receive(self.fd)
                if call is not None:
                    seccomp.answer(self.fd, call, self._do(call))
            except OSError:
                return False
        return True

    def _do(self, call: seccomp.Call) -> int | None:
        """Do one call. Gives its errno, or None: let the kernel do it."""
        if not 8 <= call.length_bytes <= _ADDRESS_BYTES_LIMIT:
            return None
        try:
            name = Name(self._read(call))
            if not (name.is_any or name.is_loopback):
                return None
            sock = self._socket(call)
        except OSError:
            return None
        with sock:
            if sock.family != name.family or not seccomp.is_waiting(self.fd, call):
                return None
            return self._bind(sock, name) if call.number == linux.SYS_BIND else self._connect(sock, name, call)

    def _bind(self, sock: socket.socket, name: Name) -> int | None:
        v6_only = sock.family == socket.AF_INET6 and bool(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
        is_stream = sock.type == socket.SOCK_STREAM
        target = bind_name(name, self._pod, is_stream=is_stream, is_v6_only=v6_only, chosen=self._chosen)
        if target is None:
            return None
        try:
            if v6_only:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            sock.bind(target.python)
        except OSError as error:
            return error.errno or errno.EINVAL
        return 0

    def _connect(self, sock: socket.socket, name: Name, call: seccomp.Call) -> int | None:
        if sock.family == socket.AF_INET6 and sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
            return None
        target = connect_name(name, self._pod, is_stream=sock.type == socket.SOCK_STREAM)
        if target is None:
            return None
        if os.get_blocking(sock.fileno()):
            # The shim must not wait for a peer: the program does the call itself, with the address changed in place.
            self._write(call, target.data)
            return None
        # Python's own waiting must stay out of it: connect_ex on a socket that has no timeout is the bare call.
        return sock.connect_ex(target.python)

    def _socket(self, call: seccomp.Call) -> socket.socket:
        process = linux.pidfd_open(_group(call.thread))
        try:
            fd = linux.syscall(linux.SYS_PIDFD_GETFD, process, call.fd, 0)
        finally:
            os.close(process)
        # With family and type asked from the kernel; the constructor leaves the blocking mode alone.
        return socket.socket(fileno=fd)

    def _read(self, call: seccomp.Call) -> bytes:
        with open(f"/proc/{call.thread}/mem", "rb", buffering=0) as memory:
            memory.seek(call.address)
            return memory.read(call.length_bytes)

    def _write(self, call: seccomp.Call, data: bytes) -> None:
        with open(f"/proc/{call.thread}/mem", "r+b", buffering=0) as memory:
            memory.seek(call.address)
            memory.write(data)


def _group(thread: int) -> int:
    """Give the process that a thread belongs to. Raises OSError if it is gone."""
    with open(f"/proc/{thread}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("Tgid:"):
                return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, "no such thread")
