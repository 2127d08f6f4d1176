"""Fetching a package from an address that a user named: the service must not become a way into what only it can reach.

Names are resolved here, all their addresses are looked at, and the connection goes to one of those, so that a name
cannot mean another address a moment later. That holds for each redirection. No proxy is asked: it would resolve names
itself. Nothing of an answer but a package is ever shown.

Source: OWASP, "Server-Side Request Forgery Prevention Cheat Sheet".
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

import httpx2

from beamhall.kernel.errors import BadRequest, TooLarge
from beamhall.pipelines.packages import MAX_PACKAGE_BYTES

TIMEOUT_S = 30.0
"""How long all of a download may take."""

REDIRECTIONS = 5

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_TRANSIENT = (httpx2.ConnectError, httpx2.ConnectTimeout)


async def fetch(url: str, *, may_be_private: bool = False, timeout_s: float = TIMEOUT_S) -> bytes:
    """Fetch a package.

    Args:
        url: Its address, http or https.
        may_be_private: Whether it may be where only this machine, or only this network, reaches.
        timeout_s: How long it may take.

    Raises:
        BadRequest: The address is none that is fetched from, or gives no package.
        TooLarge: It gives more than a package may have.
    """
    try:
        async with asyncio.timeout(timeout_s), httpx2.AsyncClient(trust_env=False, timeout=timeout_s) as client:
            here = _parsed(url)
            for _ in range(REDIRECTIONS + 1):
                answer = await _ask(client, here, may_be_private=may_be_private)
                if isinstance(answer, bytes):
                    return answer
                here = _parsed(str(here.join(answer)))
            raise _refusal(url, f"it redirects more than {REDIRECTIONS} times")
    except TimeoutError:
        raise _refusal(url, f"nothing came of it within {timeout_s:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise _refusal(url, f"it cannot be fetched: {' '.join(str(error).split()) or type(error).__name__}") from error


def _refusal(url: str, why: str) -> BadRequest:
    return BadRequest(f"package_url.pipeline_url: {url[:200]!r}: {why}")


def _parsed(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError) as error:
        raise _refusal(url, f"it is no address: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise _refusal(url, "only http:// and https:// are fetched from")
    if parsed.userinfo:
        raise _refusal(url, "it must hold no user and no password: everybody who sees the version would see them")
    return parsed


async def _ask(client: httpx2.AsyncClient, url: httpx2.URL, *, may_be_private: bool) -> bytes | str:
    """Give what an address answers with: a package, or where it is instead."""
    addresses = await _addresses(url)
    if not may_be_private:
        for address in addresses:
            if not is_public(address):
                raise _refusal(
                    str(url),
                    "it is on this machine or in a private network, where packages are not fetched from; upload the"
                    " file, or let whoever runs the service allow it",
                )
    failure: httpx2.HTTPError | None = None
    for address in addresses:
        try:
            return await _ask_address(client, url, address)
        except _TRANSIENT as error:
            failure = error
    assert failure is not None, "a name that is resolved has an address"
    raise failure


async def _ask_address(client: httpx2.AsyncClient, url: httpx2.URL, address: str) -> bytes | str:
    headers = {"Host": url.netloc.decode(), "Accept-Encoding": "identity"}
    request = client.build_request(
        "GET", url.copy_with(host=address), headers=headers, extensions={"sni_hostname": url.host}
    )
    answer = await client.send(request, stream=True, follow_redirects=False)
    try:
        if answer.is_redirect:
            return answer.headers["location"]
        if answer.status_code != httpx2.codes.OK:
            raise _refusal(str(url), f"it answers {answer.status_code} {answer.reason_phrase}".rstrip())
        content = bytearray()
        async for chunk in answer.aiter_raw():
            content += chunk
            if len(content) > MAX_PACKAGE_BYTES:
                raise TooLarge(
                    f"package_url.pipeline_url: {str(url)[:200]!r} gives more than {MAX_PACKAGE_BYTES} bytes"
                )
        return bytes(content)
    finally:
        await answer.aclose()


async def _addresses(url: httpx2.URL) -> Sequence[str]:
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _refusal(str(url), f"its host cannot be found: {error}") from None
    return [str(address[0]) for _, _, _, _, address in found]


def is_public(address: str) -> bool:
    """Tell whether an address is one of the internet, also where IPv6 holds one of IPv4."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)
        if inner is not None:
            parsed = inner
    return parsed.is_global and not parsed.is_multicast
