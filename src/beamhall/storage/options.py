"""How stores are reached: addresses and credentials, as values that show no secret when they are printed."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from beamhall.storage.locations import Location


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How a store is reached, for all of a scheme or for a part of it.

    Attributes:
        scheme: ``s3``, ``minio`` or ``gs``.
        bucket: The bucket that this is for; empty: all of them.
        prefix: Beginning of the keys that this is for, in whole directories.
        endpoint: Address of the service, ``https://host:port`` or ``host:port``; empty: the provider's own, or what
            ``AWS_ENDPOINT_URL`` says.
        region: The provider's region.
        is_secure: Whether an endpoint without ``http://`` or ``https://`` is spoken to by TLS.
        is_path_style: Whether buckets are named in paths and not in host names.
        retries: How often a request is tried again.
        key: Public part of the credentials; empty: what the environment says (``AWS_ACCESS_KEY_ID``, ...).
        secret: Secret part of the credentials; for ``gs`` the JSON text of a service account's key.
        problem: Why there are no credentials, where they are said to be somewhere; whoever uses the store is told.
    """

    scheme: str
    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    is_secure: bool = True
    is_path_style: bool = True
    retries: int = 5
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    problem: str = ""

    @property
    def endpoint_url(self) -> str:
        """The endpoint with how it is spoken to; empty where none is set."""
        if not self.endpoint or "://" in self.endpoint:
            return self.endpoint
        return f"{'https' if self.is_secure else 'http'}://{self.endpoint}"

    def is_for(self, location: Location) -> bool:
        """Tell whether they are for a place."""
        prefix = self.prefix.strip("/")
        return (
            self.scheme == location.scheme
            and self.bucket in ("", location.bucket)
            and (not prefix or f"{location.path}/".startswith(f"{prefix}/"))
        )

    def anywhere(self) -> "StoreOptions":
        """Give the same without what they are for: equal ones reach the same store in the same way."""
        return replace(self, bucket="", prefix="")


def options_for(location: Location, options: Iterable[StoreOptions]) -> StoreOptions:
    """Give the first options that are for a place; none: those that leave everything to the environment."""
    return next((one.anywhere() for one in options if one.is_for(location)), StoreOptions(location.scheme))
