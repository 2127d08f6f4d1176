"""What the agent asks of the catalog: which local environment stands for an image.

A protocol, so that tests can hand in an environment without making one; ``beamhall.catalog`` is the real one.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from beamhall.catalog.installs import Install


class Image(Protocol):
    """An entry of the catalog."""

    @property
    def path(self) -> Sequence[str]:
        """Directories of the image's own Python modules."""
        ...


class Prepared(Protocol):
    """An environment that is ready to use."""

    @property
    def image(self) -> Image:
        """The entry it was made for."""
        ...

    @property
    def environment(self) -> str:
        """Its name."""
        ...

    @property
    def prefix(self) -> Path:
        """Its directory."""
        ...

    @property
    def python(self) -> Path:
        """Its interpreter."""
        ...

    @property
    def bin(self) -> Path:
        """The directory of its programs."""
        ...

    @property
    def env(self) -> Mapping[str, str]:
        """Variables of the environment and of the image."""
        ...

    @property
    def workdir(self) -> str:
        """The image's working directory; empty: none."""
        ...

    @property
    def entrypoint(self) -> Sequence[str]:
        """The image's entrypoint; empty: none."""
        ...

    @property
    def command(self) -> Sequence[str]:
        """The image's default arguments."""
        ...

    @property
    def warm(self) -> Sequence[str]:
        """Modules that a warm parent process has imported."""
        ...


class Catalog(Protocol):
    """Finds and makes environments."""

    def find(self, reference: str) -> Any:
        """Give the entry for an image reference. Raises an ``ApiError`` that says how to add it."""
        ...

    def with_installs(self, image: Any, installs: Sequence[Install]) -> Any:
        """Give an image with more installed than its environment has."""
        ...

    def is_ready(self, image: Any) -> Prepared | None:
        """Give the environment if it stands already; cheap."""
        ...

    async def prepare(self, image: Any, progress: Callable[[str], None]) -> Prepared:
        """Make the environment, once. Raises an error whose text says what failed."""
        ...
