"""What SQLite's errors mean to a client: try again later, or the file is damaged and what mends that."""

import sqlite3

from beamhall.kernel.errors import ApiError, InternalError, ServiceUnavailable


def write_failure(err: sqlite3.Error) -> ApiError:
    """Give the error for a write that was not made."""
    if isinstance(err, sqlite3.OperationalError):
        return ServiceUnavailable(
            f"the object store could not write ({err}); make room on the disk of the data directory and try again",
            retry_after_s=5,
        )
    return _damage(err)


def read_failure(err: sqlite3.Error) -> ApiError:
    """Give the error for what could not be read."""
    if isinstance(err, sqlite3.OperationalError):
        return ServiceUnavailable(f"the object store could not be read ({err}); try again", retry_after_s=5)
    return _damage(err)


def _damage(err: sqlite3.Error) -> ApiError:
    return InternalError(
        f"the object store is damaged ({err}): stop the service, see `beamhall doctor`, and put a backup back with"
        " `beamhall restore FILE --force`"
    )
