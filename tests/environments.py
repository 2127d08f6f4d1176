"""Python environments that tests share: large ones are made once for all tests and runs, not once for each service."""

from pathlib import Path

SHARED = Path(__file__).parent.parent / ".cache" / "environments"


def share_environments(data: Path) -> None:
    """Let a service whose data directory this will be make its environments in the shared place.

    Services lock each environment that they make, so those of several tests at once do not meet.
    """
    SHARED.mkdir(parents=True, exist_ok=True)
    data.mkdir(parents=True, exist_ok=True)
    (data / "environments").symlink_to(SHARED)
