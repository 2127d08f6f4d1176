"""What all tests with other people's clients need."""

from tests.leftovers import forget_sockets

__all__ = ["forget_sockets"]
