"""What other people's clients leave behind."""

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def forget_sockets() -> Iterator[None]:
    """Collect the sockets that clients did not close, where the warning of it cannot fail another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
