"""The SDK of Kubeflow Pipelines inside of steps: a newer one stands in for one that cannot be installed any more.

Each step installs the SDK that its pipeline was compiled with, to have the program that runs components. Any later SDK
has one that reads the same; but some releases were withdrawn, and old ones need packages that no longer build. Before
2.0 the program was called ``kfp.components.executor_main``.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from beamhall.catalog.installs import Install, normalised

_PINNED = re.compile(r"kfp==(?:2\.|1\.8\.)[^;,]*")
_STAND_IN = "kfp>=2.1,<3"
_BRIDGE = '''"""The name that this program had before kfp 2.0. Written by Beamhall."""

from kfp.dsl.executor_main import executor_main

if __name__ == "__main__":
    executor_main()
'''


def stand_in(install: Install) -> Install | None:
    """Give the install with a newer SDK in the place of the one that it names; None: it names none."""
    texts = tuple(_STAND_IN if _PINNED.fullmatch(normalised(text)) else text for text in install.requirements)
    return None if texts == install.requirements else replace(install, requirements=texts)


def bridge_old_name(prefix: Path) -> None:
    """Let the SDK of an environment, if there is one, be found by the name that old pipelines call it by."""
    for package in _packages(prefix):
        old = package / "components" / "executor_main.py"
        if (package / "dsl" / "executor_main.py").exists() and old.parent.is_dir() and not old.exists():
            old.write_text(_BRIDGE, encoding="utf-8")


def _packages(prefix: Path) -> Iterator[Path]:
    return prefix.glob("lib/python3*/site-packages/kfp")
