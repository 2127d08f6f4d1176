"""URIs read into what they name. Pure; which store serves a scheme is ``stores``' business."""

from dataclasses import dataclass, replace
from urllib.parse import unquote

from beamhall.kernel.errors import BadRequest

LOCAL = ""
_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Location:
    """A place.

    Attributes:
        uri: As it was given, to be said in messages.
        scheme: In lower case; empty for a file of this machine.
        bucket: The bucket, or the host of a web address; empty for a file of this machine.
        path: The key below the bucket, without a slash at either end; of a file of this machine its absolute path.
    """

    uri: str
    scheme: str
    bucket: str
    path: str

    @property
    def is_local(self) -> bool:
        """Whether it is a file or directory of this machine."""
        return self.scheme == LOCAL

    def below(self, name: str) -> "Location":
        """Give what lies below it under a relative path."""
        path = f"{self.path}/{name}" if self.path.strip("/") else f"/{name}" if self.is_local else name
        return replace(self, uri=f"{self.uri.rstrip('/')}/{name}", path=path)


def locate(uri: str) -> Location:
    """Read a URI: an absolute path, ``file:///path``, or ``scheme://bucket/key``.

    Raises:
        BadRequest: It is neither, or its path goes upward.
    """
    if len(uri) > _LIMIT or "\0" in uri or "\n" in uri:
        raise BadRequest(f"{uri[:80]!r} is no URI: it is too long, or has characters that none has")
    scheme, separator, rest = uri.partition("://")
    if not separator:
        scheme, rest = "file", uri
    scheme = scheme.lower()
    if ".." in rest.split("/"):
        raise BadRequest(f'{uri} has ".." in its path; write where it leads')
    if scheme != "file":
        bucket, _, path = rest.partition("/")
        if not bucket or not scheme.isalnum():
            raise BadRequest(f"{uri} is no URI; write scheme://bucket/path")
        return Location(uri, scheme, bucket, path if scheme in ("http", "https") else path.strip("/"))
    path = unquote(rest.removeprefix("localhost")) if separator else rest
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise BadRequest(f"{uri!r} is no URI and no absolute path; write scheme://bucket/path or /path")
    return Location(uri, LOCAL, "", path.rstrip("/") or "/")
