"""Which framework a script is for, by what it imports."""

import ast
from collections.abc import Iterator

PLAIN = "python"
"""What a script is for that imports no framework."""

_FRAMEWORKS = {
    "torch": "pytorch",
    "lightning": "pytorch",
    "pytorch_lightning": "pytorch",
    "transformers": "pytorch",
    "accelerate": "pytorch",
    "tensorflow": "tensorflow",
    "keras": "tensorflow",
    "jax": "jax",
    "flax": "jax",
    "optax": "jax",
    "xgboost": "xgboost",
    "mpi4py": "mpi",
    "horovod": "mpi",
    "paddle": "paddle",
}
_STRONGEST = ("mpi", "paddle", "jax", "xgboost", "tensorflow", "pytorch")
"""Where several are imported: MPI starts whatever else is, and helpers of the last two are imported anywhere."""


def guess_framework(source: str) -> tuple[str, str]:
    """Guess the framework of a script.

    Args:
        source: Its text.

    Returns:
        The framework, and the imported module that says so; ``PLAIN`` and nothing if none does.

    Raises:
        SyntaxError: It is no Python of this version.
    """
    found = {_FRAMEWORKS[module]: module for module in _imported(source) if module in _FRAMEWORKS}
    return next(((framework, found[framework]) for framework in _STRONGEST if framework in found), (PLAIN, ""))


def _imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
